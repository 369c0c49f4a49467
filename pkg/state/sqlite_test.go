package state_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"chefsync/pkg/replication"
	"chefsync/pkg/state"
	"chefsync/pkg/state/statetest"
)

func TestSQLiteIsAState(t *testing.T) {
	statetest.Run(t, func(t *testing.T) func() replication.State {
		path := filepath.Join(t.TempDir(), "state.db")
		return func() replication.State { return open(t, path) }
	})
}

func engineering() replication.PairID {
	return replication.PairID{Replica: "eu", Org: "engineering"}
}

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func open(t *testing.T, path string, options ...state.Option) *state.SQLite {
	t.Helper()
	s, err := state.OpenSQLite(context.Background(), path, options...)
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
