// Package healthtest is the suite that every [health.Store] passes.
package healthtest

import (
	"testing"
	"time"

	"chefsync/pkg/health"
)

func noon() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

// Run tests a store. New returns a function that opens the same store, empty at
// first, as another process would.
func Run(t *testing.T, newStore func(t *testing.T) func() health.Store) {
	t.Run("servers", func(t *testing.T) { testServers(t, newStore(t)) })
	t.Run("processes", func(t *testing.T) { testProcesses(t, newStore(t)) })
}

func testServers(t *testing.T, open func() health.Store) {
	s := open()
	if all, err := s.Servers(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("an empty store: %v, %v", all, err)
	}
	up := health.Server{Name: "eu", CheckedAt: noon(), UpAt: noon(), Latency: 12 * time.Millisecond}
	down := health.Server{Name: "eu", CheckedAt: noon().Add(time.Minute), UpAt: noon(), DownSince: noon().Add(time.Minute),
		Error: "no route to host", Hint: "check the network"}
	primary := health.Server{Name: "primary", CheckedAt: noon(), UpAt: noon()}
	for _, rec := range []health.Server{primary, up, down} {
		if err := s.SaveServer(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	all, err := open().Servers(t.Context())
	if err != nil || len(all) != 2 || all[0] != down || all[1] != primary {
		t.Errorf("%+v, %v; want the newest of eu, then primary", all, err)
	}
	if all, err := s.Processes(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("servers among the processes: %+v, %v", all, err)
	}
}

func testProcesses(t *testing.T, open func() health.Store) {
	s := open()
	now := time.Now().UTC().Truncate(time.Millisecond) // old records may expire by the clock of the store
	first := health.Process{Role: health.RoleDaemon, Owner: "a:1:x", Host: "a", PID: 1, Started: now.Add(-time.Hour), Seen: now.Add(-time.Minute), Pairs: 3,
		Version: "devel", Config: "chef-sync.toml", ConfigModified: now.Add(-2 * time.Hour)}
	second := health.Process{Role: health.RoleDaemon, Owner: "b:2:y", Host: "b", PID: 2, Started: now.Add(-time.Hour), Seen: now}
	manager := health.Process{Role: health.RoleManager, Owner: "manager", Started: now, Seen: now}
	stopped := first
	stopped.Stopped = now.Add(-time.Second)
	for _, rec := range []health.Process{manager, first, second, stopped} {
		if err := s.SaveProcess(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	all, err := open().Processes(t.Context())
	if err != nil || len(all) != 3 || all[0] != second || all[1] != stopped || all[2] != manager {
		t.Errorf("%+v, %v; want b, a as stopped, manager", all, err)
	}
	old := health.Process{Role: health.RoleDaemon, Owner: "old", Seen: now.Add(-2 * health.KeepProcesses)}
	for _, rec := range []health.Process{old, second} {
		if err := s.SaveProcess(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	all, err = open().Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Owner == old.Owner {
			t.Errorf("%+v is older than what is kept", p)
		}
	}
}
