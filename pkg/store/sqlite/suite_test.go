package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/sqlite"
	"chefsync/pkg/store/storetest"
)

func engineeringPair() replication.PairID {
	return replication.PairID{Replica: "eu", Org: "engineering"}
}

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

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

func TestStore(t *testing.T) {
	storetest.RunSuites(t, func(t *testing.T) func() store.KV {
		path := filepath.Join(t.TempDir(), "state.db")
		return func() store.KV { return openState(t, path).DB }
	})
}
