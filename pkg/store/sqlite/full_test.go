package sqlite_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

// TestDiskFull limits the pages of the file, which SQLite reports as it reports
// a full disk.
func TestDiskFull(t *testing.T) {
	s, err := sqlite.OpenState(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	id := replication.PairID{Replica: "eu", Org: "engineering"}
	st, err := s.Acquire(t.Context(), id, "me", now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	s.LimitPages(t, 20)
	big := replication.Update{
		Progress: replication.Progress{Objects: 1},
		Entries:  replication.Entries{{Kind: object.Role, Name: "web"}: {Fingerprint: strings.Repeat("f", 1<<20)}},
	}
	err = s.Commit(t.Context(), id, st.Lease.Fence, now, big)
	if fault.ClassOf(err) != fault.Local || !strings.Contains(fault.HintOf(err), "disk is full") {
		t.Errorf("%v (class %s, hint %q), want local and what to do", err, fault.ClassOf(err), fault.HintOf(err))
	}
	if want := "commit state of eu/engineering: database or disk is full (13)"; err == nil || err.Error() != want {
		t.Errorf("%q, want %q alone", err, want)
	}
	if got, err := s.Pair(t.Context(), id); err != nil || got.Progress.Objects != 0 {
		t.Errorf("half of the commit was written: %+v, %v", got.Progress, err)
	}
	s.LimitPages(t, 100_000)
	if err := s.Commit(t.Context(), id, st.Lease.Fence, now, big); err != nil {
		t.Errorf("after space was freed: %v", err)
	}
}
