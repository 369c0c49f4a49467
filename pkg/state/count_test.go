package state_test

import (
	"path/filepath"
	"testing"

	"chefsync/pkg/replication"
	"chefsync/pkg/state"
	"chefsync/pkg/state/statetest"
)

func TestCounterIsAState(t *testing.T) {
	statetest.Run(t, func(t *testing.T) func() replication.State {
		path := filepath.Join(t.TempDir(), "state.db")
		return func() replication.State { return state.Counting(open(t, path)) }
	})
}

func TestCounterCounts(t *testing.T) {
	c := state.Counting(open(t, filepath.Join(t.TempDir(), "state.db")))
	ctx, id := t.Context(), engineering()
	_, _ = c.Pair(ctx, id)
	_, _ = c.Pair(ctx, id)
	_ = c.Note(ctx, id, 0, noon(), replication.Progress{})
	_ = c.Note(ctx, id, 7, noon(), replication.Progress{}) // refused, but asked
	want := state.Operations{Pair: 2, Note: 2}
	if got := c.Operations(); got != want || got.Reads() != 2 || got.Writes() != 2 || got.Total() != 4 {
		t.Errorf("%+v, want %+v", got, want)
	}
	c.Reset()
	if got := c.Operations().Total(); got != 0 {
		t.Errorf("%d operations after Reset", got)
	}
}
