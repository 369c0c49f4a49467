package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"chefsync/pkg/replication"
	"chefsync/pkg/store/kvtest"
)

// previousFile returns the path of a copy of a file that the previous version wrote.
func previousFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, kvtest.Previous(t, "state.db"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAFileOfThePreviousVersion: everything is there, once and for all.
func TestAFileOfThePreviousVersion(t *testing.T) {
	path := previousFile(t)
	for range 2 {
		kvtest.SamePrevious(t, "sqlite.json", openState(t, path).Store)
	}
	s := openState(t, path)
	held := replication.PairID{Replica: "us", Org: "engineering"}
	st, err := s.Pair(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), held, st.Lease.Fence, st.Lease.Expires.Add(-time.Second),
		replication.Update{Progress: st.Progress}); err != nil {
		t.Errorf("the holder of a lease of the previous version can't go on: %v", err)
	}
}
