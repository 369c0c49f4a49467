package scan_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/scan"
)

// allowed is a context whose time is over when the test says so.
type allowed struct {
	context.Context
	over chan struct{}
}

func (a allowed) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }
func (a allowed) Done() <-chan struct{}       { return a.over }

func (a allowed) Err() error {
	select {
	case <-a.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// scanUntil scans until the time is over, which it is at the n-th request that
// matches. That one and all after it are not answered.
func (w *world) scanUntil(n int, path string) scan.Report {
	w.t.Helper()
	ctx, ended := allowed{w.t.(*testing.T).Context(), make(chan struct{})}, make(chan struct{})
	var once sync.Once
	fault := w.primary.Fault(cheftest.Fault{Method: "GET", Path: path, Nth: n, Drop: true, Do: func(*http.Request) {
		once.Do(func() { close(ctx.over) })
		<-ended
	}})
	defer fault.Remove()
	defer close(ended)
	report, err := w.scanner().Scan(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		w.t.Fatalf("%v, want the deadline", err)
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
	w.org.PutEnvironment("prod", `{}`)
	for i := range 60 {
		w.org.PutCookbook(fmt.Sprintf("book%02d", i), "1.0.0", files("one"), true)
	}
	first := w.scanUntil(21, "/cookbooks/*/*")
	if !first.Begun || first.Read == 0 || first.Read > 20 {
		t.Fatalf("%+v, want it begun with a part", first)
	}
	w.wantRows("begin /")
	w.scanUntil(21, "/cookbooks/*/*")
	second := w.rows()
	w.scan()
	third := w.rows()
	if !slices.Contains(third, "update /environments") {
		t.Errorf("%q, want a row for the list that was read for the first time", third)
	}
	third = slices.DeleteFunc(third, func(r string) bool { return r == "update /environments" })
	all := slices.Sorted(slices.Values(slices.Concat(second, third)))
	if len(second) == 0 || len(second) > 20 || len(all) != 60-first.Read || len(slices.Compact(all)) != len(all) ||
		slices.ContainsFunc(all, func(r string) bool { return !strings.HasPrefix(r, "update /cookbooks/") }) {
		t.Errorf("after %d: %q, then %q; want each of the other cookbooks once", first.Read, second, third)
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
	w.config.Reader = singly{endpoint.NewSource(w.client.Org("acme"), nil)}
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
