package assembly_test

import (
	"context"
	"database/sql"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/assembly"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func TestSourcesMergePairs(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	w.rest = `kinds = ["roles"]
[[organization]]
source = "acme"
destination = "copy"
kinds = ["data_bags", "roles"]
[[organization]]
source = "other"
`
	got := w.newFleet().Sources()
	eu := func(org string) replication.PairID { return replication.PairID{Replica: "eu", Org: org} }
	want := []assembly.Source{
		{Org: "acme", Kinds: []object.Kind{object.Role, object.DataBag}, Pairs: []replication.PairID{eu("acme"), eu("copy")}},
		{Org: "other", Kinds: []object.Kind{object.Cookbook, object.Environment, object.Role, object.DataBag}, Pairs: []replication.PairID{eu("other")}},
	}
	for i := range got {
		if got[i].Space == "" || got[i].Space != w.newFleet().Pairs()[2*i].Space {
			t.Errorf("space %q", got[i].Space)
		}
		got[i].Space = ""
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// The record only says how the last scan went: the next one replaces it, or the pairs of the
// source would stay unknown.
func TestADamagedRecordOfAScanIsReplaced(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	f := w.newFleet()
	w.runScan(f)
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE items SET data = 'x' WHERE partition = 'SCANS'"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.LastScan(t.Context(), "acme"); err == nil {
		t.Fatal("the record isn't damaged")
	}
	w.runScan(f)
	began := w.clock.currentTime().UTC()
	if last, err := f.LastScan(t.Context(), "acme"); err != nil || !last.Ended.Equal(began) || !last.Good.Equal(began) {
		t.Errorf("after the next scan: %+v, %v", last, err)
	}
}

func TestScansAreRecorded(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	w.org.PutRole("web", `{}`)
	w.org.PutEnvironment("prod", `{}`)
	f := w.newFleet()
	w.runScan(f)
	began := w.clock.currentTime().UTC()
	last, err := f.LastScan(t.Context(), "acme")
	if err != nil || !last.Ended.Equal(began) || !last.Good.Equal(began) || last.Listed != 2 || last.Failures != 0 {
		t.Errorf("a good scan: %+v, %v", last, err)
	}
	w.primary.Fault(cheftest.Fault{Status: 403})
	for n := range 2 {
		w.clock.advance(time.Minute)
		if _, err := f.Scan(t.Context(), "acme"); err == nil {
			t.Fatal("a scan that is refused succeeded")
		}
		last, err = f.LastScan(t.Context(), "acme")
		if err != nil || last.Failures != n+1 || !last.Good.Equal(began) || !last.Ended.Equal(w.clock.currentTime().UTC()) || last.Error == "" {
			t.Errorf("a refused scan: %+v, %v", last, err)
		}
	}
	w.primary.ClearFaults()
	w.primary.Fault(cheftest.Fault{Path: "/roles", Status: 500})
	w.runScan(f)
	if last, err = f.LastScan(t.Context(), "acme"); err != nil || last.Failures != 0 || last.Partial != 1 {
		t.Errorf("a scan that could not read a list: %+v, %v", last, err)
	}
	// Since when the kind isn't read stays, also while whole scans fail.
	wantUnread := func(what string) {
		t.Helper()
		last, err := f.LastScan(t.Context(), "acme")
		role := slices.IndexFunc(last.Unread, func(u changelog.Unread) bool { return u.Kind == object.Role })
		if err != nil || role < 0 || !last.Unread[role].Since.Equal(began) || !last.ReadUpTo().Equal(began) {
			t.Errorf("%s: unread %+v, read up to %s, %v; want roles since %s", what, last.Unread, last.ReadUpTo(), err, began)
		}
	}
	wantUnread("once")
	w.clock.advance(time.Minute)
	w.runScan(f)
	wantUnread("twice")
	w.primary.Fault(cheftest.Fault{Status: 403})
	w.clock.advance(time.Minute)
	if _, err := f.Scan(t.Context(), "acme"); err == nil {
		t.Fatal("a scan that is refused succeeded")
	}
	wantUnread("while whole scans fail")
	w.primary.ClearFaults()
	w.runScan(f)
	if last, err = f.LastScan(t.Context(), "acme"); err != nil || last.Failures != 0 || last.Partial != 0 || last.Error != "" || len(last.Unread) != 0 || !last.ReadUpTo().Equal(w.clock.currentTime()) {
		t.Errorf("a good scan again: %+v, %v", last, err)
	}
}

// TestIdleScansAreRecordedRarely: each write costs money on AWS. Scans with news are
// recorded at once.
func TestIdleScansAreRecordedRarely(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	w.recordEvery = 4 * time.Minute
	f := w.newFleet()
	w.runScan(f)
	noted := func() bool {
		t.Helper()
		last, err := f.LastScan(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		return last.Ended.Equal(w.clock.currentTime().UTC())
	}
	for _, c := range []struct {
		what   string
		happen func()
		want   bool
	}{
		{"nothing after a minute", func() {}, false},
		{"a change", func() { w.org.PutRole("web", `{}`) }, true},
		{"nothing after a change", func() {}, false},
		{"a push that an idle scan passes by", func() {
			store, err := f.ChangeLogs(t.Context())
			if err == nil {
				_, err = store.Append(t.Context(), f.Sources()[0].Space, w.clock.currentTime(), []changelog.Change{{Action: changelog.Update, Path: "/roles/web"}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}, true},
		{"a list that can't be read", func() { w.primary.Fault(cheftest.Fault{Path: "/roles", Status: 500}) }, true},
		{"a failure", func() { w.primary.Fault(cheftest.Fault{Status: 403}) }, true},
		{"the same failure", func() {}, true},
		{"recovery", w.primary.ClearFaults, true},
		{"nothing after recovery", func() {}, false},
		{"nothing for long", func() { w.clock.advance(3 * time.Minute) }, true},
		{"nothing after a clock that was ahead", func() { w.clock.advance(-24 * time.Hour) }, true},
	} {
		w.clock.advance(time.Minute)
		c.happen()
		_, _ = f.Scan(t.Context(), "acme")
		if got := noted(); got != c.want {
			t.Errorf("%s: noted %v, want %v", c.what, got, c.want)
		}
	}
	store, err := f.ChangeLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := store.Rows(t.Context(), f.Sources()[0].Space, 0, 1)
	all, allErr := f.LastScans(t.Context())
	last := all["acme"]
	if err != nil || allErr != nil || len(all) != 1 || last.Epoch != page.Head.Epoch || last.Newest != page.Head.Newest || last.Generation != page.Generation || page.Generation == 0 {
		t.Errorf("records %+v, %v; want %+v, %v", all, allErr, page, err)
	}
}

// TestAScanThatTimesOutIsRecorded: a function's deadline is a failure that its
// operator must see; the end of a process is not.
func TestAScanThatTimesOutIsRecorded(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	f := w.newFleet()
	w.runScan(f)
	for _, c := range []struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want int
	}{
		{context.WithCancel, 0},
		{func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		}, 1},
	} {
		ctx, cancel := c.end(t.Context())
		hang := w.primary.Fault(cheftest.Fault{Path: "/environments", Do: func(*http.Request) {
			if c.want == 0 {
				cancel()
			}
			<-ctx.Done()
		}})
		if _, err := f.Scan(ctx, "acme"); err == nil {
			t.Fatal("a scan was broken off without an error")
		}
		hang.Remove()
		cancel()
		if last, err := f.LastScan(t.Context(), "acme"); err != nil || last.Failures != c.want {
			t.Errorf("%+v, %v; want %d failures", last, err, c.want)
		}
	}
}

// TestScannersOfTwoProcesses: a scan that meets another one sends the primary nothing,
// not even a probe of its feed, and is no failure.
func TestScannersOfTwoProcesses(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	a, b := w.newFleet(), w.newFleet()
	w.runScan(a)
	w.org.PutRole("web", `{}`)
	w.primary.Fault(cheftest.Fault{Path: "/environments", Times: 1, Do: func(*http.Request) {
		w.primary.ResetRequests()
		other, err := b.ScanIfNeeded(t.Context(), "acme")
		if err != nil || !other.Needed || !other.Elsewhere {
			t.Errorf("the second scan: %+v, %v; want it to say that another process is scanning", other, err)
		}
		if sent := w.primary.Requests(); len(sent) > 0 {
			t.Errorf("the second scanner sent %d requests", len(sent))
		}
	}})
	report, err := a.Scan(t.Context(), "acme")
	if err != nil || report.Changes != 1 {
		t.Errorf("the first scan: %+v, %v", report, err)
	}
	if last, err := a.LastScan(t.Context(), "acme"); err != nil || last.Failures != 0 {
		t.Errorf("%+v, %v", last, err)
	}
	w.runScan(b)
}

// TestAScanThatCannotBeginIsRecorded: the probe of the primary's feed, which tells
// whether a scan is needed, may fail.
func TestAScanThatCannotBeginIsRecorded(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	f := w.newFleet()
	w.primary.Fault(cheftest.Fault{Path: "/updated_since", Status: http.StatusUnauthorized, Times: 100})
	failScan := func() {
		t.Helper()
		if r, err := f.ScanIfNeeded(t.Context(), "acme"); err == nil || r.Needed {
			t.Fatalf("%+v, %v; want an error", r, err)
		}
	}
	failScan()
	if last, err := f.LastScan(t.Context(), "acme"); err != nil || !last.Ended.IsZero() {
		t.Errorf("a source that was never scanned: %+v, %v", last, err)
	}
	w.runScan(f)
	began := w.clock.currentTime().UTC()
	for n := range 2 {
		w.clock.advance(time.Minute)
		failScan()
		last, err := f.LastScan(t.Context(), "acme")
		if err != nil || last.Failures != n+1 || !last.Good.Equal(began) || !last.FailingSince.Equal(began.Add(time.Minute)) || last.Class != fault.Denied {
			t.Errorf("%+v, %v; want %d failures since the first, and good at %s", last, err, n+1, began)
		}
	}
}
