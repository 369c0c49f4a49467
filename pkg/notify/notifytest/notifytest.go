// Package notifytest is the suite that every [notify.Store] passes.
package notifytest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"chefsync/pkg/notify"
)

// Run tests a store. New returns a function that opens the same store, empty at first, as
// another process would.
func Run(t *testing.T, newStore func(t *testing.T) func() notify.Store) {
	open := newStore(t)
	first, second := open(), open()
	state, version, err := first.LoadNotified(t.Context())
	if err != nil || version != "" || !reflect.DeepEqual(state, notify.State{}) {
		t.Fatalf("an empty store: %+v, version %q, %v", state, version, err)
	}
	noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	want := notify.State{
		Evaluated: noon,
		Conditions: []notify.ConditionGroup{
			{Kind: notify.KindServer, Status: "unreachable", Active: true, At: noon, Told: []string{"a"}, Names: []string{"eu"}},
			{Kind: notify.KindPair, Status: "held", Pending: noon.Add(time.Millisecond), Unsure: []string{"b"}, Names: []string{"eu/x", "eu/y"}},
		},
		Channels: []notify.ChannelState{{Name: "b", Failures: 2, NextTry: noon}},
	}
	if version, err = first.SaveNotified(t.Context(), want, ""); err != nil || version == "" {
		t.Fatalf("version %q, %v", version, err)
	}
	got, loaded, err := second.LoadNotified(t.Context())
	if err != nil || loaded != version || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, version %q, %v; want %+v, version %q", got, loaded, err, want, version)
	}
	if _, err := second.SaveNotified(t.Context(), notify.State{}, ""); !errors.Is(err, notify.ErrConflict) {
		t.Errorf("a save as if there were none: %v", err)
	}
	next, err := second.SaveNotified(t.Context(), notify.State{Evaluated: noon}, version)
	if err != nil || next == version {
		t.Fatalf("version %q after %q, %v", next, version, err)
	}
	if _, err := first.SaveNotified(t.Context(), want, version); !errors.Is(err, notify.ErrConflict) {
		t.Errorf("a save of an old version: %v", err)
	}
	if got, _, err := first.LoadNotified(t.Context()); err != nil || !reflect.DeepEqual(got, notify.State{Evaluated: noon}) {
		t.Errorf("%+v, %v", got, err)
	}
}
