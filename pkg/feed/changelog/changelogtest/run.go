// Package changelogtest tests implementations of changelog.ScanStore.
package changelogtest

import (
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/feed/changelog"
)

// Run tests an implementation. Prepare creates an empty store for one test; each call of
// its result opens the store again, as another process does, and closes it when the test
// ends.
func Run(t *testing.T, prepare func(*testing.T) (open func() changelog.ScanStore)) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func() changelog.ScanStore)
	}{
		{"an unknown source has no change log", testNoChangeLog},
		{"a change log begins with a begin row", testBegin},
		{"ids are contiguous, in the order of the changes", testAppend},
		{"sources are independent", testSources},
		{"invalid changes change nothing", testInvalidChanges},
		{"pages join without gaps", testPages},
		{"a reopened store has the same change log", testReopen},
		{"a new change log has another epoch and higher ids", testNewChangeLog},
		{"trim drops old rows and keeps the newest", testTrim},
		{"trim limits the number of rows", testTrimCount},
		{"trim without old rows writes nothing", testTrimUnchanged},
		{"the lease: held, expired, own, released", testLease},
		{"the lease: renewed until it ended or was lost", testRenew},
		{"a commit without the lease writes nothing", testCommitWithoutLease},
		{"a commit of another version writes nothing", testCommitOfAnotherVersion},
		{"rows and scan state are committed together", testCommit},
		{"a commit keeps the generation of the same snapshot", testCommitOfSameSnapshot},
		{"a large scan state is returned unchanged", testLargeState},
		{"the last scan of each source is stored", testLastScan},
		{"concurrent writers: no id twice, none skipped", testWriters},
		{"canceled writers: no id twice, none skipped", testCanceledWriters},
		{"two scanners: one generation each, no row lost", testScanners},
		{"readers see no gap while others write and trim", testReaders},
		{"a reader that reads only newer rows misses none", testReaderAtTheEnd},
		{"readers find out that rows were dropped", testLostPositions},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, prepare(t)) })
	}
}

const (
	source      = "chef.example.com-acme"
	otherSource = "chef.example.com-other"
	ttl         = time.Minute
)

func t0() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// mustBegin begins a change log and returns its head.
func mustBegin(t testing.TB, s changelog.ScanStore, source, epoch string, at time.Time) changelog.Head {
	t.Helper()
	return mustCommit(t, s, source, at, changelog.ScanUpdate{Begin: epoch})
}

// mustCommit takes the lease, commits an update at the current version and releases the
// lease.
func mustCommit(t testing.TB, s changelog.ScanStore, source string, at time.Time, update changelog.ScanUpdate) changelog.Head {
	t.Helper()
	known, err := s.Acquire(t.Context(), source, "me", at, ttl)
	if err != nil {
		t.Fatal(err)
	}
	update.Version = known.Version
	head, err := s.Commit(t.Context(), source, known.Lease.Fence, at, update)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Release(t.Context(), source, known.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	return head
}

func mustAppend(t testing.TB, s changelog.Store, at time.Time, changes ...changelog.Change) changelog.Head {
	t.Helper()
	head, err := s.Append(t.Context(), source, at, changes)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func roleChange(n int) changelog.Change {
	return changelog.Change{Action: changelog.Update, Path: fmt.Sprintf("/roles/r%d", n)}
}

func roleChanges(from, to int) (changes []changelog.Change) {
	for n := from; n <= to; n++ {
		changes = append(changes, roleChange(n))
	}
	return changes
}

// mustReadRows returns all rows, and fails the test unless they fill the range of the head
// without gaps.
func mustReadRows(t testing.TB, s changelog.Store, source string) (changelog.Head, []changelog.Row) {
	t.Helper()
	page, err := s.Rows(t.Context(), source, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range page.Rows {
		if r.ID != page.Head.Oldest+int64(i) {
			t.Fatalf("row %d of a change log from %d has the id %d", i, page.Head.Oldest, r.ID)
		}
	}
	if n := page.Head.Newest - page.Head.Oldest + 1; page.Head.Epoch != "" && int64(len(page.Rows)) != n {
		t.Fatalf("%d rows between %d and %d", len(page.Rows), page.Head.Oldest, page.Head.Newest)
	}
	return page.Head, page.Rows
}

func rowPaths(rows []changelog.Row) (out []string) {
	for _, r := range rows {
		out = append(out, r.Path)
	}
	return out
}
