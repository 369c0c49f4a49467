package scan_test

import (
	"net/http"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/feed/scan"
)

// TestScanWithoutChangesKeepsTheGeneration: scans save how far the rotation has come, and
// pairs don't read the snapshot because of it.
func TestScanWithoutChangesKeepsTheGeneration(t *testing.T) {
	p := newTestPair(t)
	p.addObjects()
	saved, read := &writeCounter{ScanStore: p.store}, &loadCounter{ScanStore: p.store}
	p.engine.Feed, p.store, p.config.Rotation = scan.NewFeed(read, source), saved, time.Hour
	s := p.newScanner()
	p.scanner = s
	p.scanAndPass()
	p.scanAndPassChanges()
	before := p.mustScanWith(s).Generation
	saved.writes.Store(0)
	read.n = 0
	for range 10 {
		if r := p.mustScanWith(s); r.Generation != before || r.Changes > 0 {
			t.Errorf("generation %d, %d changes; want generation %d", r.Generation, r.Changes, before)
		}
		p.mustPass()
	}
	if saved.writes.Load() == 0 || read.n > 0 {
		t.Errorf("the rotation was saved %d times, and the snapshot was read %d times", saved.writes.Load(), read.n)
	}
	p.org.PutRole("web", `{"description":"changed"}`)
	if r := p.mustScanWith(s); r.Generation != before+1 {
		t.Errorf("generation %d after a change, want %d", r.Generation, before+1)
	}
	p.mustPass()
	p.wantEqual("changed")
	if read.n != 1 {
		t.Errorf("after a change the snapshot was read %d times, want once", read.n)
	}
}

// TestUnconfirmedDeletionKeepsTheGeneration: that an object is missing from its list is
// saved, and the snapshot still has it.
func TestUnconfirmedDeletionKeepsTheGeneration(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	before := w.mustScan().Generation
	w.org.DeleteRole("web")
	w.primary.Fault(cheftest.Fault{Method: http.MethodGet, Path: "*/roles/web", Status: 500})
	if r := w.mustScan(); r.Pending != 1 || r.Generation != before {
		t.Errorf("%+v, want one deletion pending in generation %d", r, before)
	}
	if r := w.mustScan(); r.Pending != 0 || r.Changes != 1 || r.Generation != before+1 {
		t.Errorf("%+v, want the deletion in generation %d", r, before+1)
	}
}
