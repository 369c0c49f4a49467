package scan_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/feed/scan"
)

// scanUntil scans until the time is over, which it is at the n-th request that
// matches.
func (w *world) scanUntil(n int, path string) scan.Report {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	fault := w.primary.Fault(cheftest.Fault{Method: "GET", Path: path, Nth: n, Do: func(*http.Request) { <-ctx.Done() }})
	defer fault.Remove()
	report, err := w.scanner().Scan(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || fault.Hits() == 0 {
		w.t.Fatalf("%v after %d requests at its end, want the deadline", err, fault.Hits())
	}
	w.now = w.now.Add(time.Minute)
	return report
}

// TestAScanThatRunsOutOfItsTimeNotesWhatItFound. Else an organization that takes
// longer than a function may would never be replicated by its journal.
func TestAScanThatRunsOutOfItsTimeNotesWhatItFound(t *testing.T) {
	w := newWorld(t)
	w.begin()
	w.org.PutRole("web", `{}`)
	w.org.PutEnvironment("prod", `{}`)
	w.scanUntil(1, "/environments")
	w.wantRows("create /roles/web")
	w.scanWants("create /environments/prod")
}

// TestAFirstScanThatRunsOutOfItsTimeBeginsTheJournal: scans go on where it ended,
// and say what may have changed before they came to it.
func TestAFirstScanThatRunsOutOfItsTimeBeginsTheJournal(t *testing.T) {
	w := newWorld(t)
	w.org.PutRole("web", `{}`)
	w.org.PutEnvironment("prod", `{}`)
	for i := range 60 {
		w.org.PutCookbook(fmt.Sprintf("book%02d", i), "1.0.0", files("one"), true)
	}
	if r := w.scanUntil(21, "/cookbooks/*/*"); !r.Begun || r.Read < 20 {
		t.Fatalf("%+v, want it begun with a part", r)
	}
	w.wantRows("begin /")
	w.scanUntil(21, "/cookbooks/*/*")
	rows := w.rows()
	if len(rows) < 15 || len(rows) > 24 || slices.ContainsFunc(rows, func(r string) bool { return !strings.HasPrefix(r, "update /cookbooks/") }) {
		t.Errorf("%q, want about twenty cookbooks read for the first time", rows)
	}
	rest := 60 - 20 - len(rows)
	w.scan()
	rows = w.rows()
	if books := slices.DeleteFunc(slices.Clone(rows), func(r string) bool { return !strings.HasPrefix(r, "update /cookbooks/") }); len(books) != rest {
		t.Errorf("%q, want the %d cookbooks that were left", rows, rest)
	}
	if !slices.Contains(rows, "update /environments") {
		t.Errorf("%q, want a row for the list that was read for the first time", rows)
	}
	w.asked()
	w.scanWants()
	if n := len(w.asked()); n > 10 {
		t.Errorf("%d requests, want frozen versions left to their turn", n)
	}
}

// TestManyObjectsThatAreReadLateAreOneRow: readers compare a list of them for less.
func TestManyObjectsThatAreReadLateAreOneRow(t *testing.T) {
	w := newWorld(t)
	w.config.Search = nowhere{}
	for i := range 120 {
		w.org.PutRole(fmt.Sprintf("role%03d", i), `{}`)
	}
	w.scanUntil(6, "/roles/*")
	w.wantRows("begin /")
	w.org.PutRole("role007", `{"description":"changed"}`)
	w.scan()
	if rows := w.rows(); !slices.Contains(rows, "update /roles") || len(rows) > 8 {
		t.Errorf("%q", rows)
	}
	w.scanWants()
}

// TestMoreThanCanBeWrittenInTimeIsOneRowAKind: rows that are written without the
// memory would be written again by each scan.
func TestMoreThanCanBeWrittenInTimeIsOneRowAKind(t *testing.T) {
	w := newWorld(t)
	w.org.PutDataBagItem("users", "gone", `{}`)
	w.org.PutRole("gone", `{}`)
	w.begin()
	w.org.DeleteRole("gone")
	w.org.DeleteDataBag("users")
	for i := range 1900 {
		w.org.PutRole(fmt.Sprintf("role%04d", i), `{}`)
	}
	r := w.scanUntil(1, "/environments")
	if rows := w.rows(); r.Changes > 3 || !slices.Contains(rows, "update /roles") || !slices.Contains(rows, "update /data") {
		t.Errorf("%d changes, %q", r.Changes, rows)
	}
	w.scanWants()
}
