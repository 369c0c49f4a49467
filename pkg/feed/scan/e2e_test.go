package scan_test

import (
	"context"
	"fmt"
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

// pairFixture is a primary without a feed, a replica, and the stored state of
// replication.
type pairFixture struct {
	*fixture
	replica *cheftest.Org
	engine  *replication.Engine
	scanner *scan.Scanner
	from    *endpoint.Source
	to      replication.Reader
}

func newPairOf(t *testing.T, from, to *chef.Org, w *fixture) *pairFixture {
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
	w.store = s.ChangeLogs()
	p := &pairFixture{fixture: w}
	now := func() time.Time { return w.now }
	target := endpoint.NewTarget(to, endpoint.TargetOptions{})
	p.from, p.to = endpoint.NewSource(from, nil), target
	p.engine = &replication.Engine{
		Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: "copy"}, SourceOrg: "acme", Space: source, Interval: time.Minute,
			CompareEvery: 24 * time.Hour, MaxDelete: replication.Limit{Percent: 100}},
		Feed: scan.NewFeed(w.store, source), Source: p.from, Target: target, Stage: files, State: s, Now: now, Owner: "test",
	}
	p.scanner, err = scan.New(scan.Config{Source: source, Reader: p.from, Store: w.store, Owner: "test",
		Rotation: time.Hour, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// scanAndPass does one scan and one pass, as the daemon does each minute.
func (p *pairFixture) scanAndPass() replication.Run {
	p.t.Helper()
	if _, err := p.scanner.Scan(context.Background()); err != nil {
		p.t.Fatalf("scan: %v", err)
	}
	return p.mustPass()
}

func (p *pairFixture) mustPass() replication.Run {
	p.t.Helper()
	run, err := p.engine.Pass(context.Background(), replication.PassOptions{Trigger: "test"})
	if err != nil || run.Outcome != replication.OutcomeDone {
		p.t.Fatalf("pass: %+v, %v", run, err)
	}
	p.now = p.now.Add(time.Minute)
	return run
}

// mustCompare does a full comparison, as an operator can request it.
func (p *pairFixture) mustCompare() {
	p.t.Helper()
	run, err := p.engine.Pass(context.Background(), replication.PassOptions{Trigger: "test", Full: true})
	if err != nil || run.Outcome != replication.OutcomeDone || run.Mode != "compare" {
		p.t.Fatalf("compare: %+v, %v", run, err)
	}
	p.now = p.now.Add(time.Minute)
}

// scanAndPassChanges does a scan and a pass that must not be a full comparison.
func (p *pairFixture) scanAndPassChanges() replication.Run {
	p.t.Helper()
	run := p.scanAndPass()
	if run.Mode == "compare" {
		p.t.Errorf("the pass compared everything: %+v", run)
	}
	return run
}

// newTestPair returns a pair of in-memory servers; the primary has no feed.
func newTestPair(t *testing.T) *pairFixture {
	t.Helper()
	w := newFixture(t)
	to := cheftest.Start(t, cheftest.Options{KeyBits: keyBits})
	org := to.AddOrg("copy")
	user, key := to.Superuser()
	p := newPairOf(t, w.client.Org("acme"), newClient(t, chef.Config{Name: "replica", URL: to.URL, User: user, Key: key}).Org("copy"), w)
	p.replica = org
	return p
}

func (p *pairFixture) wantEqual(what string) {
	p.t.Helper()
	if diff := cmp.Diff(p.org.Snapshot(), p.replica.Snapshot()); diff != "" {
		p.t.Errorf("%s: the replica differs (-primary +replica):\n%s", what, diff)
	}
	if damaged := p.replica.DamagedCookbooks(); len(damaged) > 0 {
		p.t.Errorf("%s: damaged %v", what, damaged)
	}
}

// TestReplicationByChangeLogAlone: every way in which objects change, from a
// primary without updated_since.
func TestReplicationByChangeLogAlone(t *testing.T) {
	p := newTestPair(t)
	p.addObjects()
	if run := p.scanAndPass(); run.Mode != "compare" {
		t.Errorf("the first pass: %+v", run)
	}
	p.wantEqual("bootstrap")
	if run := p.scanAndPassChanges(); run.Counts != (replication.Counts{}) {
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
			p.org.PutCookbook("new", "1.0.0", cookbookFiles("n"), true)
		}},
		{"change", func() {
			p.org.PutRole("web", `{"description":"changed"}`)
			p.org.PutEnvironment("prod", `{"description":"changed"}`)
			p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":3}`)
		}},
		{"an unfrozen version again, in place", func() { p.org.PutCookbook("apt", "1.0.0", cookbookFiles("in place"), false) }},
		{"freeze", func() { p.org.PutCookbook("apt", "1.0.0", cookbookFiles("in place"), true) }},
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
		p.scanAndPassChanges()
		p.wantEqual(step.what)
	}
	p.org.PutCookbook("apt", "2.0.0", cookbookFiles("forced over frozen"), true)
	for range 60 {
		p.scanAndPassChanges()
	}
	p.wantEqual("a forced overwrite, after the rotation")
	p.scanAndPassChanges()
}

// TestReaderBehindTheChangeLogComparesEverything: it returns after the retention period.
func TestReaderBehindTheChangeLogComparesEverything(t *testing.T) {
	p := newTestPair(t)
	p.addObjects()
	p.scanAndPass()
	for n := range 3 {
		p.org.PutRole(fmt.Sprint("r", n), `{}`)
		p.now = p.now.Add(20 * 24 * time.Hour)
		if _, err := p.scanner.Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if run := p.mustPass(); run.Mode != "compare" {
		t.Errorf("%+v", run)
	}
	p.wantEqual("after a compare")
	p.org.PutRole("later", `{}`)
	p.scanAndPassChanges()
	p.wantEqual("after the newest row")
}

// TestGoiardiRevertsAndItsReplicaFollows: after it was killed, it restarts with the objects
// of a second or more before.
func TestGoiardiRevertsAndItsReplicaFollows(t *testing.T) {
	l := newGoiardiFixture(t)
	to := goiarditest.Start(t)
	p := newPairOf(t, l.client.Org("any"), to.Client().Org("any"), l.fixture)
	l.fill()
	p.scanAndPass()
	p.wantSameByAPI("bootstrap")
	l.goiardi.Restart()
	for attempt := range 5 {
		name := fmt.Sprint("lost", attempt)
		l.mustDo("POST", "/roles", fmt.Sprintf(`{"name":%q}`, name))
		l.mustDo("PUT", "/roles/web", fmt.Sprintf(`{"name":"web","description":%q}`, name))
		p.scanAndPassChanges()
		l.goiardi.Kill()
		l.goiardi.Restart()
		refs, err := p.from.List(t.Context(), object.Scope{Kind: object.Role})
		if err != nil {
			t.Fatal(err)
		}
		lost := !slices.Contains(refs, object.Ref{Kind: object.Role, Name: name})
		p.scanAndPassChanges()
		p.wantSameByAPI("reverted")
		if lost {
			return
		}
	}
	t.Error("goiardi never lost anything")
}

// wantSameByAPI compares the objects of both servers as their APIs return them.
func (p *pairFixture) wantSameByAPI(what string) {
	p.t.Helper()
	if diff := cmp.Diff(readFingerprints(p.t, p.from), readFingerprints(p.t, p.to)); diff != "" {
		p.t.Errorf("%s: the replica differs (-primary +replica):\n%s", what, diff)
	}
}

func readFingerprints(t testing.TB, r replication.Reader) map[string]string {
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
