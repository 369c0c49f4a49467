package scan_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage"
	"chefsync/pkg/store/sqlite"
)

// pairWorld is a primary without a feed, a replica, and all that replication
// keeps, in files.
type pairWorld struct {
	*world
	replica *cheftest.Org
	engine  *replication.Engine
	scanner *scan.Scanner
	from    replication.Source
	to      replication.Reader
}

func newPair(t *testing.T, from, to *chef.Org, w *world) *pairWorld {
	t.Helper()
	dir := t.TempDir()
	s, err := sqlite.OpenState(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	files, err := stage.OpenDir(filepath.Join(dir, "stage"), stage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.store = s.Journals()
	p := &pairWorld{world: w}
	now := func() time.Time { return w.now }
	target := endpoint.NewTarget(to, endpoint.TargetOptions{})
	p.from, p.to = endpoint.NewSource(from, nil), target
	p.engine = &replication.Engine{
		Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: "copy"}, SourceOrg: "acme", Space: source, Interval: time.Minute,
			CompareEvery: 24 * time.Hour, MaxDelete: replication.Limit{Percent: 100}},
		Feed: scan.Feed(w.store, source), Source: p.from, Target: target, Stage: files, State: s, Now: now, Owner: "test",
	}
	p.scanner, err = scan.New(scan.Config{Source: source, Reader: p.from, Store: w.store, Owner: "test",
		Rotation: time.Hour, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// turn scans and passes once, as the daemon does each minute.
func (p *pairWorld) turn() replication.Run {
	p.t.Helper()
	if _, err := p.scanner.Scan(context.Background()); err != nil {
		p.t.Fatalf("scan: %v", err)
	}
	return p.pass()
}

func (p *pairWorld) pass() replication.Run {
	p.t.Helper()
	run, err := p.engine.Pass(context.Background(), replication.PassOptions{Trigger: "test"})
	if err != nil || run.Outcome != replication.OutcomeDone {
		p.t.Fatalf("pass: %+v, %v", run, err)
	}
	p.now = p.now.Add(time.Minute)
	return run
}

// resync compares everything, as an operator may ask for.
func (p *pairWorld) resync() {
	p.t.Helper()
	run, err := p.engine.Pass(context.Background(), replication.PassOptions{Trigger: "test", Full: true})
	if err != nil || run.Outcome != replication.OutcomeDone || run.Mode != "compare" {
		p.t.Fatalf("compare: %+v, %v", run, err)
	}
	p.now = p.now.Add(time.Minute)
}

// byChanges does a turn that must not compare.
func (p *pairWorld) byChanges() replication.Run {
	p.t.Helper()
	run := p.turn()
	if run.Mode == "compare" {
		p.t.Errorf("the pass compared everything: %+v", run)
	}
	return run
}

// newTestPair is a pair of in-memory servers; the primary has no feed.
func newTestPair(t *testing.T) *pairWorld {
	t.Helper()
	w := newWorld(t)
	to := cheftest.Start(t)
	org := to.AddOrg("copy")
	user, key := to.Superuser()
	p := newPair(t, w.client.Org("acme"), newClient(t, chef.Config{Name: "replica", URL: to.URL, User: user, Key: key}).Org("copy"), w)
	p.replica = org
	return p
}

func (p *pairWorld) wantEqual(what string) {
	p.t.Helper()
	if diff := cmp.Diff(p.org.Snapshot(), p.replica.Snapshot()); diff != "" {
		p.t.Errorf("%s: the replica differs (-primary +replica):\n%s", what, diff)
	}
	if torn := p.replica.DamagedCookbooks(); len(torn) > 0 {
		p.t.Errorf("%s: torn %v", what, torn)
	}
}

// TestReplicationByJournalAlone: from a primary without updated_since to the
// replica, every way in which objects change.
func TestReplicationByJournalAlone(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	if run := p.turn(); run.Mode != "compare" {
		t.Errorf("the first pass: %+v", run)
	}
	p.wantEqual("bootstrap")
	if run := p.byChanges(); run.Counts != (replication.Counts{}) {
		t.Errorf("an idle pass: %+v", run.Counts)
	}
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"create", func() {
			p.org.PutRole("new", `{}`)
			p.org.PutEnvironment("new", `{}`)
			p.org.PutDataBagItem("new", "i", `{"id":"i"}`)
			p.org.PutDataBag("bare")
			p.org.PutCookbook("new", "1.0.0", files("n"), true)
		}},
		{"change", func() {
			p.org.PutRole("web", `{"description":"changed"}`)
			p.org.PutEnvironment("prod", `{"description":"changed"}`)
			p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":3}`)
		}},
		{"an unfrozen version again, in place", func() { p.org.PutCookbook("apt", "1.0.0", files("in place"), false) }},
		{"freeze", func() { p.org.PutCookbook("apt", "1.0.0", files("in place"), true) }},
		{"delete", func() {
			p.org.DeleteRole("new")
			p.org.DeleteEnvironment("test")
			p.org.DeleteDataBagItem("users", "alice")
			p.org.DeleteDataBag("new")
			p.org.DeleteCookbook("new", "1.0.0")
		}},
		{"delete and create again", func() {
			p.org.DeleteRole("web")
			p.org.PutRole("web", `{"description":"another"}`)
			p.org.DeleteDataBag("users")
			p.org.PutDataBagItem("users", "zoe", `{"id":"zoe"}`)
			p.org.DeleteEnvironment("prod")
			p.org.PutEnvironment("prod", `{"description":"another"}`)
		}},
		{"delete all of a kind", func() { p.org.DeleteRole("web"); p.org.DeleteRole("base") }},
	} {
		step.do()
		p.byChanges()
		p.wantEqual(step.what)
	}
	p.org.PutCookbook("apt", "2.0.0", files("forced over frozen"), true)
	for range 60 {
		p.byChanges()
	}
	p.wantEqual("a forced overwrite, after the rotation")
	p.byChanges()
}

// TestReplicationByJournalOfAnything makes random changes for a while, before and
// behind each scan, with a lagging index, scans that fail, and passes that look at
// what no scan has seen.
func TestReplicationByJournalOfAnything(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	p.turn()
	name := func() string { return fmt.Sprint("n", rand.IntN(6)) }
	version := func() string { return fmt.Sprintf("%d.0.0", rand.IntN(3)) }
	change := func() {
		for range rand.IntN(6) {
			text := fmt.Sprint(rand.IntN(3))
			switch rand.IntN(10) {
			case 0:
				p.org.DeleteRole(name())
			case 1:
				p.org.PutEnvironment(name(), fmt.Sprintf(`{"description":%q}`, text))
			case 2:
				p.org.DeleteEnvironment(name())
			case 3, 4:
				p.org.PutDataBagItem(name(), name(), fmt.Sprintf(`{"n":%q}`, text))
			case 5:
				p.org.DeleteDataBag(name())
			case 6:
				p.org.DeleteDataBagItem(name(), name())
			case 7:
				p.org.PutCookbook(name(), version(), files(text), rand.IntN(3) == 0)
			case 8:
				p.org.DeleteCookbook(name(), version())
			default:
				p.org.PutRole(name(), fmt.Sprintf(`{"description":%q}`, text))
			}
		}
	}
	for round := range 40 {
		change()
		switch rand.IntN(6) {
		case 0:
			p.org.FreezeIndex()
		case 1:
			p.org.ThawIndex()
		case 2:
			p.primary.Fault(cheftest.Fault{Method: "GET", Path: []string{"/roles", "/data", "/data/n1", "/cookbooks", "/search/*"}[rand.IntN(5)], Status: 500})
		}
		if _, err := p.scanner.Scan(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.primary.ClearFaults()
		change()
		if rand.IntN(4) == 0 {
			p.resync()
		}
		p.pass()
		if round%8 == 7 {
			for range 61 { // the frozen ones have their turn
				p.byChanges()
			}
			p.wantEqual(fmt.Sprint("round ", round))
		}
	}
}

// TestReaderBehindTheJournalComparesAll: after longer than rows are kept.
func TestReaderBehindTheJournalComparesAll(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	p.turn()
	for n := range 3 {
		p.org.PutRole(fmt.Sprint("r", n), `{}`)
		p.now = p.now.Add(20 * 24 * time.Hour)
		if _, err := p.scanner.Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if run := p.pass(); run.Mode != "compare" {
		t.Errorf("%+v", run)
	}
	p.wantEqual("after a compare")
	p.org.PutRole("later", `{}`)
	p.byChanges()
	p.wantEqual("behind it")
}

func TestGoiardiToGoiardiByJournalAlone(t *testing.T) {
	l := newLive(t)
	to := goiarditest.Start(t)
	p := newPair(t, l.client.Org("any"), to.Client().Org("any"), l.world)
	l.fill()
	p.turn()
	p.wantSame("bootstrap")
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"create", func() {
			l.do("POST", "/roles", `{"name":"new"}`)
			l.do("POST", "/environments", `{"name":"new"}`)
			l.do("POST", "/data", `{"name":"new"}`)
			l.do("POST", "/data/new", `{"id":"i"}`)
			l.cookbook("3.0.0", "three", false)
		}},
		{"change", func() {
			l.do("PUT", "/roles/web", `{"name":"web","description":"two"}`)
			l.do("PUT", "/environments/prod", `{"name":"prod","description":"two"}`)
			l.do("PUT", "/data/users/bob", `{"id":"bob","n":3}`)
		}},
		{"an unfrozen version again, in place", func() { l.cookbook("1.0.0", "in place", false) }},
		{"freeze", func() { l.cookbook("1.0.0", "in place", true) }},
		{"delete", func() {
			l.do("DELETE", "/roles/base", "")
			l.do("DELETE", "/environments/test", "")
			l.do("DELETE", "/data/users/alice", "")
			l.do("DELETE", "/data/new", "")
			l.do("DELETE", "/cookbooks/apt/3.0.0", "")
		}},
		{"delete and create again", func() {
			l.do("DELETE", "/roles/web", "")
			l.do("POST", "/roles", `{"name":"web","description":"another"}`)
			l.do("DELETE", "/data/users", "")
			l.do("POST", "/data", `{"name":"users"}`)
			l.do("POST", "/data/users", `{"id":"zoe"}`)
		}},
	} {
		step.do()
		p.byChanges()
		p.wantSame(step.what)
	}
	l.cookbook("2.0.0", "forced over frozen", true)
	for range 61 {
		p.byChanges()
	}
	p.wantSame("a forced overwrite, after the rotation")

	// Back in time: what was replicated meanwhile goes away again.
	l.goiardi.Restart()
	for attempt := range 5 {
		name := fmt.Sprint("lost", attempt)
		l.do("POST", "/roles", fmt.Sprintf(`{"name":%q}`, name))
		l.do("PUT", "/roles/web", fmt.Sprintf(`{"name":"web","description":%q}`, name))
		p.byChanges()
		l.goiardi.Kill()
		l.goiardi.Restart()
		refs, err := p.from.List(t.Context(), object.Scope{Kind: object.Role})
		if err != nil {
			t.Fatal(err)
		}
		lost := !slices.Contains(refs, object.Ref{Kind: object.Role, Name: name})
		p.byChanges()
		p.wantSame("back in time")
		if lost {
			return
		}
	}
	t.Error("goiardi never lost anything")
}

// wantSame wants both servers to show the same objects, by their API.
func (p *pairWorld) wantSame(what string) {
	p.t.Helper()
	if diff := cmp.Diff(prints(p.t, p.from), prints(p.t, p.to)); diff != "" {
		p.t.Errorf("%s: the replica differs (-primary +replica):\n%s", what, diff)
	}
}

func prints(t testing.TB, r replication.Reader) map[string]string {
	t.Helper()
	out := map[string]string{}
	list := func(s object.Scope) []object.Ref {
		refs, err := r.List(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range refs {
			obj, err := r.Get(context.Background(), ref)
			if err != nil {
				t.Fatal(err)
			}
			out[ref.Path()] = obj.Fingerprint
		}
		return refs
	}
	for _, k := range object.DefaultKinds() {
		if k != object.DataBagItem {
			for _, ref := range list(object.Scope{Kind: k}) {
				if k == object.DataBag {
					list(object.Scope{Kind: object.DataBagItem, Name: ref.Name})
				}
			}
		}
	}
	return out
}
