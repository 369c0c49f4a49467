package scan_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// TestWhatGoesBackBetweenTwoScansGoesBackOnTheReplica: a pass reads what no scan
// ever sees.
func TestWhatGoesBackBetweenTwoScansGoesBackOnTheReplica(t *testing.T) {
	for name, c := range map[string]struct{ change, back func(p *pairWorld) }{
		"a role": {
			func(p *pairWorld) { p.org.PutRole("web", `{"description":"for a moment"}`) },
			func(p *pairWorld) { p.org.PutRole("web", `{"run_list":["role[base]"]}`) },
		},
		"an item": {
			func(p *pairWorld) { p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":3}`) },
			func(p *pairWorld) { p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`) },
		},
		"a frozen version": {
			func(p *pairWorld) { p.org.PutCookbook("apt", "2.0.0", files("forced"), true) },
			func(p *pairWorld) { p.org.PutCookbook("apt", "2.0.0", files("two"), true) },
		},
		"deleted and made again": {
			func(p *pairWorld) { p.org.DeleteEnvironment("prod") },
			func(p *pairWorld) { p.org.PutEnvironment("prod", `{}`) },
		},
		"a bag deleted and made again": {
			func(p *pairWorld) { p.org.DeleteDataBag("users") },
			func(p *pairWorld) {
				p.org.PutDataBagItem("users", "alice", `{"id":"alice","n":1}`)
				p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`)
			},
		},
		"made and deleted": {
			func(p *pairWorld) { p.org.PutDataBagItem("new", "i", `{"id":"i"}`) },
			func(p *pairWorld) { p.org.DeleteDataBag("new") },
		},
		"an item made and deleted": {
			func(p *pairWorld) { p.org.PutDataBagItem("users", "zoe", `{"id":"zoe"}`) },
			func(p *pairWorld) { p.org.DeleteDataBagItem("users", "zoe") },
		},
	} {
		for way, look := range map[string]func(p *pairWorld){
			"compare": func(p *pairWorld) { p.resync() },
			"push": func(p *pairWorld) {
				var rows []journal.Entry
				for _, path := range []string{"/roles/web", "/data/users", "/cookbooks/apt/2.0.0", "/environments/prod", "/data/new"} {
					rows = append(rows, journal.Entry{Action: "update", Path: path})
				}
				if _, err := p.store.Append(t.Context(), source, p.now, rows); err != nil {
					t.Fatal(err)
				}
				p.pass()
			},
		} {
			t.Run(name+", read by a "+way, func(t *testing.T) {
				t.Parallel()
				p := newTestPair(t)
				p.fill()
				p.turn()
				c.change(p)
				look(p)
				p.wantEqual("in between")
				c.back(p)
				p.byChanges()
				p.wantEqual("gone back")
				p.byChanges()
				if run := p.byChanges(); run.Counts != (replication.Counts{}) {
					t.Errorf("it doesn't come to rest: %+v", run.Counts)
				}
			})
		}
	}
}

// TestAPolicyGroupThatGoesBackBetweenTwoScans: of what is bound the lists tell the
// revision, and the ledger the fingerprint.
func TestAPolicyGroupThatGoesBackBetweenTwoScans(t *testing.T) {
	p := newTestPair(t)
	p.engine.Pair.Kinds = []object.Kind{object.Policy, object.PolicyGroup}
	p.config.Kinds = p.engine.Pair.Kinds
	p.scanner = p.world.scanner()
	p.org.PutPolicy("app", "r1", `{}`)
	p.org.PutPolicy("app", "r2", `{}`)
	p.org.BindPolicy("prod", "app", "r1")
	p.turn()
	p.org.BindPolicy("prod", "app", "r2")
	p.resync()
	p.wantEqual("in between")
	p.org.BindPolicy("prod", "app", "r1")
	p.byChanges()
	p.wantEqual("gone back")
	p.byChanges()
	if run := p.byChanges(); run.Counts != (replication.Counts{}) {
		t.Errorf("it doesn't come to rest: %+v", run.Counts)
	}
}

// TestAnItemThatABagLacksGoesBackOnTheReplica: it is gone from both sides when a pass
// reads the row of its bag, of which nothing but the list of items says so.
func TestAnItemThatABagLacksGoesBackOnTheReplica(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	p.turn()
	gone := func() { p.org.DeleteDataBagItem("users", "bob") }
	back := func() { p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`) }
	gone()
	if _, err := p.store.Append(t.Context(), source, p.now, []journal.Entry{{Action: "update", Path: "/data/users"}}); err != nil {
		t.Fatal(err)
	}
	p.pass()
	p.wantEqual("gone")
	back()
	p.scan() // sees nothing new
	gone()
	p.pass()
	p.wantEqual("gone again")
	back()
	p.byChanges()
	p.wantEqual("gone back")
	p.byChanges()
	if run := p.byChanges(); run.Counts != (replication.Counts{}) {
		t.Errorf("it doesn't come to rest: %+v", run.Counts)
	}
}

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

// TestWhatGoesBackInTheMiddleOfAScanGoesBackOnTheReplica: the rows of the first step
// are there, and the memory that they come with isn't.
func TestWhatGoesBackInTheMiddleOfAScanGoesBackOnTheReplica(t *testing.T) {
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

// lying reads roles in bulk otherwise than they are.
type lying struct {
	replication.Reader
	until func() bool
}

func (l lying) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) map[object.Ref]object.Object {
	found := l.Reader.GetBulk(ctx, refs, o)
	for ref, obj := range found {
		if ref.Kind == object.Role && !l.until() {
			obj.Fingerprint += "?"
			found[ref] = obj
		}
	}
	return found
}

// TestASearchThatShowsSomethingElseComesToRest: pairs read objects one by one, and
// would look for ever at what search shows otherwise.
func TestASearchThatShowsSomethingElseComesToRest(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	honest := false
	p.config.Reader = lying{endpoint.NewSource(p.client.Org("acme"), nil), func() bool { return honest }}
	p.scanner = p.world.scanner()
	p.turn()
	p.rows()
	looks := func(turns int) (n int) {
		p.asked()
		for range turns {
			p.byChanges()
		}
		for _, line := range p.asked() {
			if line == "GET /organizations/acme/roles/web" {
				n++
			}
		}
		return n
	}
	if n := looks(200); n > 12 {
		t.Errorf("the role was looked at %d times in 200 turns, want it less and less often", n)
	}
	p.wantRows()
	p.org.PutRole("web", `{"description":"changed"}`)
	p.byChanges()
	p.wantEqual("changed")
	p.org.PutRole("new", `{}`)
	p.byChanges()
	p.wantEqual("another one")
	honest = true
	looks(70)
	if n := looks(70); n > 0 {
		t.Errorf("the role is still looked at %d times", n)
	}
}

// TestAnIdlePollReadsNoSnapshot: it costs one read of the rows, as long as it is
// recorded that the ledger is as the snapshot.
func TestAnIdlePollReadsNoSnapshot(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	store := &recalled{ScanStore: p.store}
	p.engine.Feed, p.scanner = scan.Feed(store, source), p.world.scanner()
	p.turn()
	p.byChanges()
	store.n = 0
	for range 5 {
		p.byChanges()
	}
	if store.n != 0 {
		t.Errorf("idle polls read the snapshot %d times", store.n)
	}
	p.org.PutRole("web", `{"description":"changed"}`)
	p.byChanges()
	p.wantEqual("changed")
	if store.n != 1 {
		t.Errorf("after a change the snapshot was read %d times, want once", store.n)
	}
	for range 5 {
		p.byChanges()
	}
	if store.n != 1 {
		t.Errorf("idle polls after a change read the snapshot %d times", store.n-1)
	}
}

// recalled counts how often the scanner's memory is read.
type recalled struct {
	journal.ScanStore
	n int
}

func (r *recalled) Recall(ctx context.Context, source string) (journal.Recollection, error) {
	r.n++
	return r.ScanStore.Recall(ctx, source)
}
