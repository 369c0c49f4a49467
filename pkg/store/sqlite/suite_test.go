package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
	"chefsync/pkg/store/sqlite"
)

func engineeringPair() replication.PairID {
	return replication.PairID{Replica: "eu", Org: "engineering"}
}

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// newState returns a function that opens a file of its own.
func newState(t *testing.T) func() *sqlite.State {
	path := filepath.Join(t.TempDir(), "state.db")
	return func() *sqlite.State { return openState(t, path) }
}

func openState(t testing.TB, path string) *sqlite.State {
	t.Helper()
	s, err := sqlite.OpenState(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestKV(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) func() store.KV {
		open := newState(t)
		return func() store.KV { return open().DB }
	})
}
