package scan_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
)

// between is a store at which something happens before the n-th step of a scan.
type between struct {
	journal.ScanStore
	n  int
	do func()
}

func (b *between) Commit(ctx context.Context, source string, fence int64, now time.Time, s journal.Step) (journal.Head, error) {
	if b.n--; b.n == 0 {
		b.do()
	}
	return b.ScanStore.Commit(ctx, source, fence, now, s)
}

// TestAPassInTheMiddleOfAScanSaysWhatItSaw: the rows of the first step are there,
// and the memory that they come with isn't.
func TestAPassInTheMiddleOfAScanSaysWhatItSaw(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	p.turn()
	for i := range 100 {
		p.org.PutRole(fmt.Sprintf("r%03d", i), `{}`)
	}
	alive := p.store
	p.store = &between{alive, 2, func() {
		p.org.PutRole("r000", `{"description":"for a moment"}`)
		if run := p.pass(); run.Counts.Created != 90 {
			t.Errorf("%+v", run)
		}
	}}
	if _, err := p.world.scanner().Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.store = alive
	p.pass()
	p.org.PutRole("r000", `{}`)
	p.now = p.now.Add(time.Minute)
	p.byChanges()
	p.wantEqual("gone back")
}

// What a pass says again of an object that is in doubt since an earlier scan isn't
// noted again: the scanner knows.
func TestAnObjectThatIsStillInDoubtIsNotNotedAgain(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	forced := map[string]string{"/cookbooks/apt/2.0.0": "forced"}
	w.saw(forced)
	w.wantRows("update /cookbooks/apt/2.0.0")
	w.primary.Fault(cheftest.Fault{Path: "*/cookbooks/apt/2.0.0", Status: 403})
	for n := range 3 {
		w.org.PutRole("web", fmt.Sprintf(`{"description":"so that the memory is written %d"}`, n))
		w.scanWants("update /roles/web")
		w.saw(forced)
		w.wantRows()
	}
}

// reading counts what is read of the rows.
type reading struct {
	journal.ScanStore
	calls, rows int
}

func (r *reading) Rows(ctx context.Context, source string, after int64, limit int) (journal.Page, error) {
	page, err := r.ScanStore.Rows(ctx, source, after, limit)
	r.calls++
	r.rows += len(page.Rows)
	return page, err
}

// TestALongCompareReadsEachRowOnce, however many windows differ from what the
// scanner knows, and however often others note rows.
func TestALongCompareReadsEachRowOnce(t *testing.T) {
	const windows, size = 30, 40
	w := newWorld(t)
	w.begin()
	store := &reading{ScanStore: w.store}
	w.store = store
	pass := w.reader()
	for i := range windows {
		sights := map[string]string{}
		for j := range size {
			sights[fmt.Sprintf("/roles/r%02d-%02d", i, j)] = "new"
		}
		w.says(pass, sights)
	}
	if got := len(w.rows()); got != windows*size {
		t.Errorf("%d rows, want %d", got, windows*size)
	}
	if got := store.rows - windows*size; got > windows*size { // those that the test read are not counted
		t.Errorf("%d rows were read, want each once", got)
	}
}

// The rows that came with the memory are told from those of others also when some
// of them were dropped.
func TestARowBehindDroppedOnesIsInDoubt(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	w.org.PutRole("base", `{"description":"two"}`)
	w.org.PutRole("web", `{"description":"two"}`)
	w.scanWants("update /roles/base", "update /roles/web")
	if _, err := w.store.Trim(t.Context(), source, w.now, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Append(t.Context(), source, w.now, []journal.Entry{{Action: "update", Path: "/roles/base"}}); err != nil {
		t.Fatal(err)
	}
	w.rows()
	if got := w.scan(); got.Changes == 0 {
		t.Errorf("%+v, want the object that was pushed noted again", got)
	}
	w.rows()
	w.scanWants()
}

// A doubt outlives the row that it comes from, and an object that can't be read
// doesn't make every scan read or write something.
func TestADoubtIsRemembered(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	w.saw(map[string]string{"/cookbooks/apt/2.0.0": "forced"})
	w.primary.Fault(cheftest.Fault{Path: "*/cookbooks/apt/2.0.0", Status: 403})
	writes := &counting{ScanStore: w.store}
	store := &reading{ScanStore: writes}
	w.store = store
	w.scan()
	for range 2 { // a push of what is in doubt, and one that tells nothing of an object
		for _, path := range []string{"/cookbooks/apt/2.0.0", "/roles"} {
			if _, err := w.store.Append(t.Context(), source, w.now, []journal.Entry{{Action: "update", Path: path}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := w.scanner()
	w.scanWith(s)
	store.calls = 0
	writes.writes.Store(0)
	for range 3 {
		w.scanWith(s)
	}
	if n := writes.writes.Load(); store.calls != 0 || n != 0 {
		t.Errorf("idle scans read the journal %d times and wrote %d times", store.calls, n)
	}
	if _, err := w.store.Trim(t.Context(), source, w.now, 1); err != nil {
		t.Fatal(err)
	}
	w.rows()
	w.primary.ClearFaults()
	w.scanWants("update /cookbooks/apt/2.0.0")
	w.scanWants()
}

// lying is a search that shows roles otherwise than they are.
type lying struct {
	scan.Searcher
	until func() bool
}

func (l lying) Fingerprints(ctx context.Context, s object.Scope) (map[object.Ref]string, error) {
	found, err := l.Searcher.Fingerprints(ctx, s)
	for ref := range found {
		if ref.Kind == object.Role && !l.until() {
			found[ref] += "?"
		}
	}
	return found, err
}

// TestASearchThatShowsSomethingElseComesToRest: pairs read objects one by one, and
// would say for ever that the scanner knows them otherwise.
func TestASearchThatShowsSomethingElseComesToRest(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	honest := false
	p.config.Search = lying{scan.NewSearch(p.client.Org("acme"), 0), func() bool { return honest }}
	p.scanner = p.world.scanner()
	p.turn()
	p.resync()
	p.rows()
	for range 3 {
		p.byChanges()
	}
	if got := p.rows(); len(got) == 0 || len(got) > 4 {
		t.Errorf("noted %q, want each role once or twice", got)
	}
	for range 3 {
		p.byChanges()
	}
	p.wantRows()
	p.org.PutRole("web", `{"description":"changed"}`)
	p.byChanges()
	p.wantEqual("changed")
	p.rows()
	honest = true
	p.byChanges()
	p.asked()
	p.byChanges()
	for _, line := range p.asked() {
		if line == "GET /organizations/acme/roles/web" {
			t.Errorf("the role is still read alone")
		}
	}
	p.wantRows()
}
