package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// byChangeLog is a rig that compares once in a day at most, so that what is found was
// found by scanning. Frozen versions are read again within a second, a rotation.
func byChangeLog(t testing.TB, primary, replica *server) *rig {
	r := newRig(t, primary, replica)
	r.compareEvery, r.changeLog = "1d", `rotation = "1s"`
	return r
}

// scan scans as a new process.
func (r *rig) scan() scan.Report {
	r.t.Helper()
	a, pair := r.open()
	report, err := a.Scan(context.Background(), pair.SourceOrg)
	if err != nil || len(report.Failed) > 0 {
		r.t.Fatalf("scan: %+v, %v", report, err)
	}
	return report
}

// travel scans and passes, a rotation later; the changes must travel by the
// change log, not by a compare.
func (r *rig) travel(what string) replication.Run {
	r.t.Helper()
	r.skew += 2 * time.Second
	r.scan()
	run := r.mustPass()
	if run.Mode == "compare" {
		r.t.Errorf("%s: everything was compared: %+v", what, run)
	}
	r.wantInSync()
	return run
}

// author writes to a primary by its API, as a user of knife does.
type author struct {
	t     testing.TB
	org   *chef.Org
	draft *server // where cookbooks are made
}

func newAuthor(t testing.TB, s *server) author {
	if s.mem != nil {
		admin := *s
		admin.user, admin.key = s.mem.Superuser()
		s = &admin
	}
	return author{t, s.client(t), inMemory(t, "draft", cheftest.Options{})}
}

// upload puts a version of the cookbook "made", as knife cookbook upload --force
// does.
func (a author) upload(version, text string, frozen bool) {
	a.t.Helper()
	a.draft.org.PutCookbook("made", version, map[string][]byte{"metadata.rb": []byte("name 'made'"), "recipes/default.rb": []byte(text)}, frozen)
	from := endpoint.NewSource(a.draft.client(a.t), nil)
	obj, err := from.Get(context.Background(), object.Ref{Kind: object.Cookbook, Name: "made", Sub: version})
	if err == nil {
		err = endpoint.NewTarget(a.org, endpoint.TargetOptions{}).Put(context.Background(), obj, false, filesOf{from, obj})
	}
	if err != nil {
		a.t.Fatalf("upload %s: %v", version, err)
	}
}

// filesOf are the files of an object of a source.
type filesOf struct {
	replication.Source
	obj object.Object
}

func (f filesOf) Open(ctx context.Context, file object.File) (io.ReadCloser, int64, error) {
	return f.Source.Open(ctx, f.obj, file)
}

func (a author) do(method, path, body string) {
	a.t.Helper()
	var b []byte
	if body != "" {
		b = []byte(body)
	}
	if _, err := a.org.Do(context.Background(), method, path, b); err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// change is one chapter of a primary's life between two scans.
type change struct {
	what string
	do   func()
}

// life is what happens to objects of every kind.
func (a author) life() []change {
	return []change{
		{"create", func() {
			a.do("POST", "/roles", `{"name":"new"}`)
			a.do("POST", "/environments", `{"name":"new"}`)
			a.do("POST", "/data", `{"name":"new"}`)
			a.do("POST", "/data/new", `{"id":"i","n":1}`)
			a.do("POST", "/data", `{"name":"bare"}`)
			a.upload("1.0.0", "one", false)
			a.upload("2.0.0", "two", true)
		}},
		{"change", func() {
			a.do("PUT", "/roles/new", `{"name":"new","description":"changed"}`)
			a.do("PUT", "/environments/new", `{"name":"new","description":"changed"}`)
			a.do("PUT", "/data/new/i", `{"id":"i","n":2}`)
		}},
		{"an unfrozen version again, in place", func() { a.upload("1.0.0", "in place", false) }},
		{"freeze", func() { a.upload("1.0.0", "in place", true) }},
		{"delete and create again between two scans", func() {
			a.do("DELETE", "/roles/new", "")
			a.do("POST", "/roles", `{"name":"new","description":"another"}`)
			a.do("DELETE", "/environments/new", "")
			a.do("POST", "/environments", `{"name":"new","description":"another"}`)
			a.do("DELETE", "/data/new", "")
			a.do("POST", "/data", `{"name":"new"}`)
			a.do("POST", "/data/new", `{"id":"j"}`)
			a.do("DELETE", "/cookbooks/made/1.0.0", "")
			a.upload("1.0.0", "another", false)
		}},
		{"delete", func() {
			a.do("DELETE", "/roles/new", "")
			a.do("DELETE", "/environments/new", "")
			a.do("DELETE", "/data/new/j", "")
			a.do("DELETE", "/data/bare", "")
			a.do("DELETE", "/cookbooks/made/1.0.0", "")
		}},
		{"delete a bag with what it holds", func() {
			a.do("POST", "/data/new", `{"id":"last"}`)
			a.do("DELETE", "/data/new", "")
		}},
	}
}

// TestEveryChangeTravelsByTheChangeLog: from a primary that serves no feed, through
// the program, each scan and pass a process of its own.
func TestEveryChangeTravelsByTheChangeLog(t *testing.T) {
	r := byChangeLog(t, inMemory(t, "primary", cheftest.Options{}), inMemory(t, "replica", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.scan()
	if run := r.mustPass(); run.Mode != "compare" {
		t.Errorf("the first pass: %+v", run)
	}
	r.wantInSync()
	if st, _ := r.record(); st.Progress.Feed != "journal" || st.Progress.Position == nil {
		t.Fatalf("feed %s (%s), position %v", st.Progress.Feed, st.Progress.FeedNote, st.Progress.Position)
	}
	a := newAuthor(t, r.primary)
	for _, c := range a.life() {
		c.do()
		if run := r.travel(c.what); run.Mode != "changes" {
			t.Errorf("%s: the pass found nothing: %+v", c.what, run)
		}
	}
	a.upload("2.0.0", "forced over frozen", true)
	r.travel("a forced overwrite of a frozen version")
	cheftest.Edit(r.primary.org)
	r.travel("a bit of everything at once")
}

// An idle primary costs lists and searches a scan, and a poll nothing at all.
func TestAnIdlePrimaryIsAskedLittle(t *testing.T) {
	r := byChangeLog(t, inMemory(t, "primary", cheftest.Options{}), inMemory(t, "replica", cheftest.Options{}))
	org := r.primary.org
	const roles, bags, items, frozen = 40, 3, 20, 10
	for i := range roles {
		org.PutRole(fmt.Sprint("r", i), `{}`)
	}
	org.PutEnvironment("prod", `{}`)
	for b := range bags {
		for i := range items {
			org.PutDataBagItem(fmt.Sprint("b", b), fmt.Sprint("i", i), fmt.Sprintf(`{"n":%d}`, i))
		}
	}
	for i := range frozen {
		org.PutCookbook("c", fmt.Sprintf("%d.0.0", i), nil, true)
	}
	r.changeLog = ""
	a, pair := r.open()
	pass := func() replication.Run {
		e, err := a.Engine(t.Context(), pair)
		if err != nil {
			t.Fatal(err)
		}
		run, err := e.Pass(t.Context(), replication.PassOptions{Trigger: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	asked := func() int {
		n := len(r.primary.mem.Requests())
		r.primary.mem.ResetRequests()
		return n
	}
	scanned := func() {
		if _, err := a.Scan(t.Context(), orgName); err != nil {
			t.Fatal(err)
		}
	}
	scanned()
	pass()
	asked()
	scanned()
	// Four lists and one for each bag, one search for roles, environments and each
	// bag. The frozen versions wait for their turn.
	if n, want := asked(), 4+bags+2+bags; n != want {
		t.Errorf("an idle scan asked %d times, want %d", n, want)
	}
	if run := pass(); asked() != 0 || run.Mode != "" {
		t.Errorf("an idle poll: %+v, want no request at all", run)
	}
	r.replica.mem.ResetRequests()
	org.PutRole("r0", `{"description":"changed"}`)
	scanned()
	asked()
	if run := pass(); asked() != 1 || len(r.replica.writes()) != 1 || run.Counts.Updated != 1 {
		t.Errorf("one changed role: %+v, writes %v; want one read and one write", run.Counts, r.replica.writes())
	}
}

// A scanner may die at every request: the next one finds what it had not noted.
func TestAScanThatDiesAnywhereLosesNothing(t *testing.T) {
	points := 0
	for n := 1; ; n++ {
		r := byChangeLog(t, inMemory(t, "primary", cheftest.Options{}), inMemory(t, "replica", cheftest.Options{}))
		r.primary.org.PutRole("web", `{}`)
		r.primary.org.PutDataBagItem("users", "alice", `{"n":1}`)
		r.primary.org.PutCookbook("apt", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("a")}, false)
		r.scan()
		r.mustPass()
		r.primary.org.PutRole("web", `{"description":"changed"}`)
		r.primary.org.PutDataBagItem("users", "alice", `{"n":2}`)
		r.primary.org.PutCookbook("apt", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("b")}, false)
		r.primary.org.PutEnvironment("prod", `{}`)
		ctx, die := context.WithCancel(t.Context())
		var hit atomic.Bool
		r.primary.mem.Fault(cheftest.Fault{Nth: n, Times: 1, Do: func(*http.Request) { hit.Store(true); die() }})
		a, pair := r.open()
		_, err := a.Scan(ctx, pair.SourceOrg)
		die()
		r.primary.mem.ClearFaults()
		if !hit.Load() {
			break
		}
		points++
		if err == nil {
			t.Errorf("died at request %d, and didn't notice", n)
		}
		r.skew = 2 * time.Minute // the lease of the dead process ends
		r.travel(fmt.Sprint("died at request ", n))
	}
	if points < 8 {
		t.Errorf("only %d points were tried", points)
	}
}

// TestGoiardiByTheChangeLog: two real servers, with all that happens to objects.
func TestGoiardiByTheChangeLog(t *testing.T) {
	g := startGoiardi(t)
	first := &server{name: "goiardi-1", url: g.URL, user: goiarditest.AdminUser, key: g.AdminKey, orgless: true}
	r := byChangeLog(t, first, goiardi(t, "goiardi-2"))
	a := newAuthor(t, first)
	a.do("POST", "/roles", `{"name":"web"}`)
	r.scan()
	r.mustPass()
	r.wantInSync()
	if st, _ := r.record(); st.Progress.Feed != "journal" || !strings.Contains(st.Progress.FeedNote, "serves no updated_since") {
		t.Fatalf("feed %s (%s)", st.Progress.Feed, st.Progress.FeedNote)
	}
	for _, c := range a.life() {
		c.do()
		r.travel(c.what)
	}
	a.upload("2.0.0", "forced over frozen", true)
	r.travel("a forced overwrite of a frozen version")
}
