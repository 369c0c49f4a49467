package scan_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/scan"
)

// writeCounter counts the writes to a store, without those of the lease.
type writeCounter struct {
	changelog.ScanStore
	writes atomic.Int64
	blobs  atomic.Int64 // bytes
}

func (c *writeCounter) Append(ctx context.Context, source string, at time.Time, e []changelog.Change) (changelog.Head, error) {
	c.writes.Add(1)
	return c.ScanStore.Append(ctx, source, at, e)
}

func (c *writeCounter) Commit(ctx context.Context, source string, fence int64, now time.Time, s changelog.ScanUpdate) (changelog.Head, error) {
	c.writes.Add(1)
	c.blobs.Add(int64(len(s.Blob)))
	return c.ScanStore.Commit(ctx, source, fence, now, s)
}

// TestRequestsPerScan counts the requests of scans of the organization that
// docs/chef-server-api.md §6.4 gives formulas for.
func TestRequestsPerScan(t *testing.T) {
	const (
		versions, unfrozen = 500, 100
		roles, envs        = 300, 20
		bags, itemsEach    = 50, 40
		rows               = 250 // of a search
		period             = 40  // scans, one a minute
	)
	w := newFixture(t)
	for i := range versions {
		w.org.PutCookbook(fmt.Sprint("c", i/5), fmt.Sprintf("%d.0.0", i%5), cookbookFiles(fmt.Sprint(i)), i >= unfrozen)
	}
	for i := range roles {
		w.org.PutRole(fmt.Sprint("r", i), `{}`)
	}
	for i := range envs {
		w.org.PutEnvironment(fmt.Sprint("e", i), `{}`)
	}
	for b := range bags {
		for i := range itemsEach {
			w.org.PutDataBagItem(fmt.Sprint("b", b), fmt.Sprint("i", i), fmt.Sprintf(`{"id":"i%d","n":%d}`, i, i))
		}
	}
	store := &writeCounter{ScanStore: w.store}
	w.store = store
	w.config.Rotation = period * time.Minute

	pages := func(n int) int { return (n + rows - 1) / rows }
	lists := 4 + bags
	searches := pages(roles) + pages(envs+1) + bags*pages(itemsEach) // search returns _default, too
	checks := 3                                                      // of search rows, one of each kind
	want := func(what string, r scan.Report, reads int) {
		t.Helper()
		n := 0
		for _, line := range w.takeRequests() {
			_ = line
			n++
		}
		if n != lists+searches+reads+checks || r.Read != reads {
			t.Errorf("%s: %d requests, %d single reads; want %d lists + %d searches + %d reads + %d checks", what, n, r.Read, lists,
				searches, reads, checks)
		}
		t.Logf("%s: %d lists + %d searches + %d reads = %d requests, %d store writes, %d bytes of state", what, lists, searches,
			reads, n, store.writes.Load(), store.blobs.Load())
		store.writes.Store(0)
		store.blobs.Store(0)
	}
	s := w.newScanner()
	want("first scan", w.mustScanWith(s), versions)
	checks = 0
	idle := w.mustScanWith(s)
	if idle.Listed != versions+roles+envs+bags+bags*itemsEach || idle.Read < unfrozen || idle.Read > unfrozen+60 {
		t.Errorf("%+v", idle)
	}
	if n := store.writes.Load(); n != 0 {
		t.Errorf("an idle scan wrote %d times", n)
	}
	want("idle scan", idle, idle.Read)
	reads := idle.Read
	for range period - 1 {
		reads += w.mustScanWith(s).Read
	}
	w.primary.ResetRequests()
	if got, all := reads, unfrozen*period+versions-unfrozen; got != all {
		t.Errorf("%d cookbook versions read in a period, want %d: the unfrozen ones each time and the frozen ones once", got, all)
	}
	t.Logf("a period of 40 scans: %.1f requests a scan, %d store writes", float64(lists+searches)+float64(reads)/period, store.writes.Load())

	w.config.Reader = withoutBulk{endpoint.NewSource(w.client.Org("acme"), nil)}
	s = w.newScanner()
	searches = 0
	r := w.mustScanWith(s)
	want("without search", r, r.Read)
	if least := roles + envs + bags*itemsEach + unfrozen; r.Read < least {
		t.Errorf("%d reads, want at least %d", r.Read, least)
	}
}

func TestEmptyOrganizationCostsFourRequests(t *testing.T) {
	w := newFixture(t)
	w.beginChangeLog()
	w.takeRequests()
	w.scanAndWantRows()
	if got := w.takeRequests(); len(got) != 4 {
		t.Errorf("%q", got)
	}
}
