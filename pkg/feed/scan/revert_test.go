package scan_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// TestChangeRevertedBetweenScansIsRevertedOnTheReplica: a pass reads a version that no
// scan sees.
func TestChangeRevertedBetweenScansIsRevertedOnTheReplica(t *testing.T) {
	for name, c := range map[string]struct{ change, back func(p *pairFixture) }{
		"a role": {
			func(p *pairFixture) { p.org.PutRole("web", `{"description":"for a moment"}`) },
			func(p *pairFixture) { p.org.PutRole("web", `{"run_list":["role[base]"]}`) },
		},
		"an item": {
			func(p *pairFixture) { p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":3}`) },
			func(p *pairFixture) { p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`) },
		},
		"a frozen version": {
			func(p *pairFixture) { p.org.PutCookbook("apt", "2.0.0", cookbookFiles("forced"), true) },
			func(p *pairFixture) { p.org.PutCookbook("apt", "2.0.0", cookbookFiles("two"), true) },
		},
		"deleted and created again": {
			func(p *pairFixture) { p.org.DeleteEnvironment("prod") },
			func(p *pairFixture) { p.org.PutEnvironment("prod", `{}`) },
		},
		"a bag deleted and created again": {
			func(p *pairFixture) { p.org.DeleteDataBag("users") },
			func(p *pairFixture) {
				p.org.PutDataBagItem("users", "alice", `{"id":"alice","n":1}`)
				p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`)
			},
		},
		"created and deleted": {
			func(p *pairFixture) { p.org.PutDataBagItem("new", "i", `{"id":"i"}`) },
			func(p *pairFixture) { p.org.DeleteDataBag("new") },
		},
		"an item created and deleted": {
			func(p *pairFixture) { p.org.PutDataBagItem("users", "zoe", `{"id":"zoe"}`) },
			func(p *pairFixture) { p.org.DeleteDataBagItem("users", "zoe") },
		},
	} {
		for way, read := range map[string]func(p *pairFixture){
			"compare": func(p *pairFixture) { p.mustCompare() },
			"push": func(p *pairFixture) {
				var rows []changelog.Change
				for _, path := range []string{"/roles/web", "/data/users", "/cookbooks/apt/2.0.0", "/environments/prod", "/data/new"} {
					rows = append(rows, changelog.Change{Action: "update", Path: path})
				}
				if _, err := p.store.Append(t.Context(), source, p.now, rows); err != nil {
					t.Fatal(err)
				}
				p.mustPass()
			},
		} {
			t.Run(name+", read by a "+way, func(t *testing.T) {
				t.Parallel()
				p := newTestPair(t)
				p.addObjects()
				p.scanAndPass()
				c.change(p)
				read(p)
				p.wantEqual("before the revert")
				c.back(p)
				p.scanAndPassChanges()
				p.wantEqual("reverted")
				p.scanAndPassChanges()
				if run := p.scanAndPassChanges(); run.Counts != (replication.Counts{}) {
					t.Errorf("it doesn't converge: %+v", run.Counts)
				}
			})
		}
	}
}

// TestPolicyGroupRevertedBetweenScans: the list contains the revision,
// the ledger the fingerprint.
func TestPolicyGroupRevertedBetweenScans(t *testing.T) {
	p := newTestPair(t)
	p.engine.Pair.Kinds = []object.Kind{object.Policy, object.PolicyGroup}
	p.config.Kinds = p.engine.Pair.Kinds
	p.scanner = p.fixture.newScanner()
	p.org.PutPolicy("app", "r1", `{}`)
	p.org.PutPolicy("app", "r2", `{}`)
	p.org.BindPolicy("prod", "app", "r1")
	p.scanAndPass()
	p.org.BindPolicy("prod", "app", "r2")
	p.mustCompare()
	p.wantEqual("before the revert")
	p.org.BindPolicy("prod", "app", "r1")
	p.scanAndPassChanges()
	p.wantEqual("reverted")
	p.scanAndPassChanges()
	if run := p.scanAndPassChanges(); run.Counts != (replication.Counts{}) {
		t.Errorf("it doesn't converge: %+v", run.Counts)
	}
}

// TestItemDeletedAndRestoredBetweenScans: it is deleted on both
// sides when a pass reads the row of its bag; only the list of items shows it.
func TestItemDeletedAndRestoredBetweenScans(t *testing.T) {
	p := newTestPair(t)
	p.addObjects()
	p.scanAndPass()
	gone := func() { p.org.DeleteDataBagItem("users", "bob") }
	back := func() { p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`) }
	gone()
	if _, err := p.store.Append(t.Context(), source, p.now, []changelog.Change{{Action: "update", Path: "/data/users"}}); err != nil {
		t.Fatal(err)
	}
	p.mustPass()
	p.wantEqual("deleted")
	back()
	p.mustScan() // finds no change
	gone()
	p.mustPass()
	p.wantEqual("deleted again")
	back()
	p.scanAndPassChanges()
	p.wantEqual("reverted")
	p.scanAndPassChanges()
	if run := p.scanAndPassChanges(); run.Counts != (replication.Counts{}) {
		t.Errorf("it doesn't converge: %+v", run.Counts)
	}
}

// hookedStore calls a function before the n-th write of a scan is committed.
type hookedStore struct {
	changelog.ScanStore
	n  int
	do func()
}

func (b *hookedStore) Commit(ctx context.Context, source string, fence int64, now time.Time, s changelog.ScanUpdate) (changelog.Head, error) {
	if b.n--; b.n == 0 {
		b.do()
	}
	return b.ScanStore.Commit(ctx, source, fence, now, s)
}

// TestChangeRevertedDuringAScanIsRevertedOnTheReplica: the rows of
// the first write are there, and the scan state isn't yet.
func TestChangeRevertedDuringAScanIsRevertedOnTheReplica(t *testing.T) {
	p := newTestPair(t)
	p.addObjects()
	p.scanAndPass()
	for i := range 100 {
		p.org.PutRole(fmt.Sprintf("r%03d", i), `{}`)
	}
	alive := p.store
	p.store = &hookedStore{alive, 2, func() {
		p.org.PutRole("r000", `{"description":"for a moment"}`)
		if run := p.mustPass(); run.Counts.Created != 90 {
			t.Errorf("%+v", run)
		}
	}}
	if _, err := p.fixture.newScanner().Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.store = alive
	p.mustPass()
	p.org.PutRole("r000", `{}`)
	p.now = p.now.Add(time.Minute)
	p.scanAndPassChanges()
	p.wantEqual("reverted")
}

// wrongBulkReader returns wrong fingerprints of roles from bulk reads.
type wrongBulkReader struct {
	scan.Reader
	honest func() bool
}

func (l wrongBulkReader) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) map[object.Ref]object.Object {
	found := l.Reader.GetBulk(ctx, refs, o)
	for ref, obj := range found {
		if ref.Kind == object.Role && !l.honest() {
			obj.Fingerprint += "?"
			found[ref] = obj
		}
	}
	return found
}

// TestSearchThatDiffersFromGETIsReadLessOften: pairs read objects one by
// one, and must not read without end what search returns differently.
func TestSearchThatDiffersFromGETIsReadLessOften(t *testing.T) {
	p := newTestPair(t)
	p.addObjects()
	honest := false
	p.config.Reader = wrongBulkReader{endpoint.NewSource(p.client.Org("acme"), nil), func() bool { return honest }}
	p.scanner = p.fixture.newScanner()
	p.scanAndPass()
	p.newRows()
	countReads := func(rounds int) (n int) {
		p.takeRequests()
		for range rounds {
			p.scanAndPassChanges()
		}
		for _, line := range p.takeRequests() {
			if line == "GET /organizations/acme/roles/web" {
				n++
			}
		}
		return n
	}
	if n := countReads(200); n > 12 {
		t.Errorf("the role was read %d times in 200 rounds, want it less and less often", n)
	}
	p.wantRows()
	p.org.PutRole("web", `{"description":"changed"}`)
	p.scanAndPassChanges()
	p.wantEqual("changed")
	p.org.PutRole("new", `{}`)
	p.scanAndPassChanges()
	p.wantEqual("another one")
	honest = true
	countReads(70)
	if n := countReads(70); n > 0 {
		t.Errorf("the role is still read %d times", n)
	}
}

// TestIdlePollReadsNoSnapshot: it costs one read of the rows while it is recorded
// that the ledger equals the snapshot.
func TestIdlePollReadsNoSnapshot(t *testing.T) {
	p := newTestPair(t)
	p.addObjects()
	store := &loadCounter{ScanStore: p.store}
	p.engine.Feed, p.scanner = scan.NewFeed(store, source), p.fixture.newScanner()
	p.scanAndPass()
	p.scanAndPassChanges()
	store.n = 0
	for range 5 {
		p.scanAndPassChanges()
	}
	if store.n != 0 {
		t.Errorf("idle polls read the snapshot %d times", store.n)
	}
	p.org.PutRole("web", `{"description":"changed"}`)
	p.scanAndPassChanges()
	p.wantEqual("changed")
	if store.n != 1 {
		t.Errorf("after a change the snapshot was read %d times, want once", store.n)
	}
	for range 5 {
		p.scanAndPassChanges()
	}
	if store.n != 1 {
		t.Errorf("idle polls after a change read the snapshot %d times", store.n-1)
	}
}

// loadCounter counts the reads of the scan state.
type loadCounter struct {
	changelog.ScanStore
	n int
}

func (r *loadCounter) LoadScanState(ctx context.Context, source string) (changelog.ScanState, error) {
	r.n++
	return r.ScanStore.LoadScanState(ctx, source)
}
