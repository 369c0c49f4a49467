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

// testDeadline is a context whose deadline the test triggers.
type testDeadline struct {
	context.Context
	over chan struct{}
}

func (a testDeadline) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }
func (a testDeadline) Done() <-chan struct{}       { return a.over }

func (a testDeadline) Err() error {
	select {
	case <-a.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// scanUntil scans until its deadline, which is at the n-th request that matches. That
// request and all later ones get no answer.
func (w *fixture) scanUntil(n int, path string) scan.Report {
	w.t.Helper()
	ctx, ended := testDeadline{w.t.(*testing.T).Context(), make(chan struct{})}, make(chan struct{})
	var once sync.Once
	fault := w.primary.Fault(cheftest.Fault{Method: "GET", Path: path, Nth: n, Drop: true, Do: func(*http.Request) {
		once.Do(func() { close(ctx.over) })
		<-ended
	}})
	defer fault.Remove()
	defer close(ended)
	report, err := w.newScanner().Scan(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		w.t.Fatalf("%v, want the deadline", err)
	}
	w.now = w.now.Add(time.Minute)
	return report
}

// TestScanPastItsDeadlineKeepsWhatItFound: otherwise an organization that takes longer
// than the time limit of a function would never be replicated by its change log.
func TestScanPastItsDeadlineKeepsWhatItFound(t *testing.T) {
	w := newFixture(t)
	w.beginChangeLog()
	w.org.PutRole("web", `{}`)
	w.org.PutEnvironment("prod", `{}`)
	w.scanUntil(1, "/environments")
	w.wantRows("create /roles/web")
	w.scanAndWantRows("create /environments/prod")
}

// TestFirstScanPastItsDeadlineBeginsTheChangeLog: later scans continue
// where it ended, and add rows for what may have changed before they read it.
func TestFirstScanPastItsDeadlineBeginsTheChangeLog(t *testing.T) {
	w := newFixture(t)
	w.org.PutEnvironment("prod", `{}`)
	for i := range 60 {
		w.org.PutCookbook(fmt.Sprintf("book%02d", i), "1.0.0", cookbookFiles("one"), true)
	}
	first := w.scanUntil(21, "/cookbooks/*/*")
	if !first.Begun || first.Read == 0 || first.Read > 20 {
		t.Fatalf("%+v, want the change log begun with a part", first)
	}
	w.wantRows("begin /")
	w.scanUntil(21, "/cookbooks/*/*")
	second := w.newRows()
	w.mustScan()
	third := w.newRows()
	if !slices.Contains(third, "update /environments") {
		t.Errorf("%q, want a row for the list that was read for the first time", third)
	}
	third = slices.DeleteFunc(third, func(r string) bool { return r == "update /environments" })
	all := slices.Sorted(slices.Values(slices.Concat(second, third)))
	if len(second) == 0 || len(second) > 20 || len(all) != 60-first.Read || len(slices.Compact(all)) != len(all) ||
		slices.ContainsFunc(all, func(r string) bool { return !strings.HasPrefix(r, "update /cookbooks/") }) {
		t.Errorf("after %d: %q, then %q; want each of the other cookbooks once", first.Read, second, third)
	}
	w.takeRequests()
	w.scanAndWantRows()
	if n := len(w.takeRequests()); n > 10 {
		t.Errorf("%d requests, want frozen versions read by rotation only", n)
	}
}

// TestManyFirstReadsAreOneRow: readers compare a list of them for less.
func TestManyFirstReadsAreOneRow(t *testing.T) {
	w := newFixture(t)
	w.config.Reader = withoutBulk{endpoint.NewSource(w.client.Org("acme"), nil)}
	for i := range 120 {
		w.org.PutRole(fmt.Sprintf("role%03d", i), `{}`)
	}
	w.scanUntil(6, "/roles/*")
	w.wantRows("begin /")
	w.org.PutRole("role007", `{"description":"changed"}`)
	w.mustScan()
	if rows := w.newRows(); !slices.Contains(rows, "update /roles") || len(rows) > 8 {
		t.Errorf("%q", rows)
	}
	w.scanAndWantRows()
}

// TestTooManyRowsPastTheDeadlineAreOneRowPerKind: rows that are written without
// the scan state would be written again by each scan.
func TestTooManyRowsPastTheDeadlineAreOneRowPerKind(t *testing.T) {
	w := newFixture(t)
	w.org.PutDataBagItem("users", "gone", `{}`)
	w.org.PutRole("gone", `{}`)
	w.beginChangeLog()
	w.org.DeleteRole("gone")
	w.org.DeleteDataBag("users")
	for i := range 1900 {
		w.org.PutRole(fmt.Sprintf("role%04d", i), `{}`)
	}
	r := w.scanUntil(1, "/environments")
	if rows := w.newRows(); r.Changes > 3 || !slices.Contains(rows, "update /roles") || !slices.Contains(rows, "update /data") {
		t.Errorf("%d changes, %q", r.Changes, rows)
	}
	w.scanAndWantRows()
}
