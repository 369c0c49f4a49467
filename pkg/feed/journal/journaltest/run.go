// Package journaltest is the suite that every implementation of
// journal.ScanStore passes.
package journaltest

import (
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/feed/journal"
)

// Run tests an implementation. Prepare makes an empty store for one test; each
// call of its result opens the store once more, as another process would, and
// closes it when the test ends.
func Run(t *testing.T, prepare func(*testing.T) (open func() journal.ScanStore)) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func() journal.ScanStore)
	}{
		{"a source never seen has no journal", testUnseen},
		{"a journal begins with a row of its own", testBegin},
		{"ids are contiguous, in the order of the entries", testAppend},
		{"sources don't touch each other", testSources},
		{"entries that can't be stored change nothing", testRefused},
		{"pages join without gaps", testPages},
		{"a reopened journal goes on", testReopen},
		{"a journal made anew has another epoch and higher ids", testAnew},
		{"old rows go, the newest stays", testTrim},
		{"a bound on the rows holds too", testTrimCount},
		{"trimming again writes nothing", testTrimIdle},
		{"the lease: held, expired, own, released", testLease},
		{"the lease: renewed until it ended or was lost", testRenew},
		{"a commit without the lease writes nothing", testFenced},
		{"a commit of another generation writes nothing", testGeneration},
		{"rows and memory go together", testCommit},
		{"large memory comes back as it was", testBlob},
		{"the newest scan of each source is kept", testDiary},
		{"many writers: no id twice, none skipped", testWriters},
		{"broken-off writers: no id twice, none skipped", testBrokenOff},
		{"two scanners: one generation each, no row lost", testScanners},
		{"readers see no gap while others write and trim", testReaders},
		{"a reader that looks only ahead misses no row", testAhead},
		{"readers tell what they lost", testReadersLose},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, prepare(t)) })
	}
}

const (
	source = "chef.example.com-acme"
	other  = "chef.example.com-other"
	ttl    = time.Minute
)

func t0() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// begin makes a journal and returns its head.
func begin(t testing.TB, s journal.ScanStore, source, epoch string, at time.Time) journal.Head {
	t.Helper()
	return commit(t, s, source, at, journal.Step{Begin: epoch})
}

// commit takes the lease, commits a step at the current generation and frees the
// lease.
func commit(t testing.TB, s journal.ScanStore, source string, at time.Time, step journal.Step) journal.Head {
	t.Helper()
	known, err := s.Acquire(t.Context(), source, "me", at, ttl)
	if err != nil {
		t.Fatal(err)
	}
	step.Generation = known.Generation
	head, err := s.Commit(t.Context(), source, known.Lease.Fence, at, step)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Release(t.Context(), source, known.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	return head
}

func note(t testing.TB, s journal.Store, at time.Time, entries ...journal.Entry) journal.Head {
	t.Helper()
	head, err := s.Append(t.Context(), source, at, entries)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func role(n int) journal.Entry {
	return journal.Entry{Action: journal.Update, Path: fmt.Sprintf("/roles/r%d", n)}
}

func roles(from, to int) (entries []journal.Entry) {
	for n := from; n <= to; n++ {
		entries = append(entries, role(n))
	}
	return entries
}

// rows reads all rows and fails unless they lie without gaps between the bounds
// of the head.
func rows(t testing.TB, s journal.Store, source string) (journal.Head, []journal.Row) {
	t.Helper()
	page, err := s.Rows(t.Context(), source, 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range page.Rows {
		if r.ID != page.Head.Oldest+int64(i) {
			t.Fatalf("row %d of a journal from %d has the id %d", i, page.Head.Oldest, r.ID)
		}
	}
	if n := page.Head.Newest - page.Head.Oldest + 1; page.Head.Epoch != "" && int64(len(page.Rows)) != n {
		t.Fatalf("%d rows between %d and %d", len(page.Rows), page.Head.Oldest, page.Head.Newest)
	}
	return page.Head, page.Rows
}

func paths(rows []journal.Row) (out []string) {
	for _, r := range rows {
		out = append(out, r.Path)
	}
	return out
}
