package endpoint_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

// countingProxy counts the requests between a client and a server.
type countingProxy struct {
	http.RoundTripper
	delay time.Duration // of each request

	mu            sync.Mutex
	count         map[string]int // by METHOD and first segment below the organization
	sending, most int            // uploads of files in flight
}

// RoundTrip implements http.RoundTripper.
func (p *countingProxy) RoundTrip(q *http.Request) (*http.Response, error) {
	p.mu.Lock()
	if p.count == nil {
		p.count = map[string]int{}
	}
	class := q.Method + " " + requestClass(q.URL.Path)
	p.count[class]++
	if class == "PUT bookshelf" {
		p.sending++
		p.most = max(p.most, p.sending)
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.sending--
		}()
	}
	p.mu.Unlock()
	if p.delay > 0 {
		select {
		case <-time.After(p.delay):
		case <-q.Context().Done():
			return nil, q.Context().Err()
		}
	}
	return p.RoundTripper.RoundTrip(q)
}

// requestClass returns what a request is for.
func requestClass(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case parts[0] != "organizations":
		return parts[0]
	case len(parts) < 3:
		return "organization"
	case len(parts) == 3 || parts[2] == "data" && len(parts) == 4:
		return parts[2] + " list"
	}
	return parts[2]
}

// takeCounts returns the counts since the last call.
func (p *countingProxy) takeCounts() (all int, count map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count, p.count = p.count, nil
	for _, n := range count {
		all += n
	}
	return all, count
}

// orgShape is the number of objects of an organization.
type orgShape struct{ roles, environments, bags, items, versions, cookbooks, files int }

func (s orgShape) countObjects() int {
	return s.roles + s.environments + s.bags + s.bags*s.items + s.versions
}

func (s orgShape) fillOrg(o *cheftest.Org) {
	for i := range s.roles {
		o.PutRole(fmt.Sprintf("role%d", i), fmt.Sprintf(`{"description":"%d"}`, i))
	}
	for i := range s.environments {
		o.PutEnvironment(fmt.Sprintf("env%d", i), fmt.Sprintf(`{"description":"%d"}`, i))
	}
	for b := range s.bags {
		for i := range s.items {
			o.PutDataBagItem(fmt.Sprintf("bag%d", b), fmt.Sprintf("i%d", i), fmt.Sprintf(`{"id":"i%d","n":%d}`, i, b))
		}
	}
	for i := range s.versions {
		files := map[string][]byte{"metadata.rb": []byte("shared")}
		for f := 1; f < s.files; f++ {
			files[fmt.Sprintf("recipes/r%d.rb", f)] = fmt.Appendf(nil, "%d %d", i, f)
		}
		o.PutCookbook(fmt.Sprintf("book%d", i%s.cookbooks), fmt.Sprintf("1.%d.0", i/s.cookbooks), files, false)
	}
}

// pairFixture is a pair of organizations in memory, each behind a counting proxy.
type pairFixture struct {
	servers          [2]*cheftest.Server // primary and replica
	from, to         *cheftest.Org
	fromOrg, toOrg   *chef.Org
	source           *endpoint.Source
	primary, replica *countingProxy
	engine           *replication.Engine
}

func newPairFixture(t testing.TB, connections int, delay time.Duration) *pairFixture {
	t.Helper()
	a, b := cheftest.New(cheftest.Options{}), cheftest.New(cheftest.Options{})
	w := &pairFixture{servers: [2]*cheftest.Server{a, b}, from: a.AddOrg("acme"), to: b.AddOrg("acme"),
		primary: &countingProxy{RoundTripper: a.Transport(), delay: delay}, replica: &countingProxy{RoundTripper: b.Transport(), delay: delay}}
	client := func(name string, s *cheftest.Server, p *countingProxy) *chef.Org {
		user, key := s.Superuser()
		c, err := chef.New(chef.Config{Name: name, URL: s.URL, User: user, Key: key, Concurrency: connections, Transport: p,
			Retry: chef.RetryPolicy{Attempts: 3, Base: time.Millisecond, Max: 2 * time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		return c.Org("acme")
	}
	w.fromOrg, w.toOrg = client("primary", a, w.primary), client("eu", b, w.replica)
	w.source = endpoint.NewSource(w.fromOrg, nil)
	id := replication.PairID{Replica: "eu", Org: "acme"}
	w.engine = &replication.Engine{
		Pair:   replication.Pair{ID: id, Space: "acme", Concurrency: connections, MaxDelete: replication.Limit{Percent: 20}},
		Source: w.source, Target: endpoint.NewTarget(w.toOrg, endpoint.TargetOptions{}),
		Stage: &replicationtest.Stage{}, State: store.New(&kvtest.Memory{}), Owner: "test",
	}
	return w
}

// mustPass runs a pass that must succeed.
func (w *pairFixture) mustPass(t testing.TB, full bool) replication.Run {
	t.Helper()
	run, err := w.engine.Pass(t.Context(), replication.PassOptions{Full: full})
	if err != nil || run.Outcome != replication.OutcomeDone {
		t.Fatalf("pass: %+v, %v", run, err)
	}
	return run
}

// mustVerify checks that both sides are equal.
func (w *pairFixture) mustVerify(t testing.TB) {
	t.Helper()
	report, err := w.engine.Verify(t.Context(), replication.VerifyOptions{Trigger: "manual"})
	if err != nil || !report.Equal() {
		t.Fatalf("verification: %s, %d differences, %v", report.Outcome, report.Differ(), err)
	}
}

// wantAtMost checks the number of requests to each side since the last call.
func (w *pairFixture) wantAtMost(t *testing.T, what string, most int) {
	t.Helper()
	for side, p := range map[string]*countingProxy{"primary": w.primary, "replica": w.replica} {
		n, count := p.takeCounts()
		t.Logf("%s: %d requests to the %s: %v", what, n, side, count)
		if n > most {
			t.Errorf("%s: %d requests to the %s, want at most %d: %v", what, n, side, most, count)
		}
	}
}

// TestRequestsOfComparisons counts the requests of verifications and full
// comparisons of equal organizations.
func TestRequestsOfComparisons(t *testing.T) {
	for name, c := range map[string]struct {
		orgShape
		most int // requests to each side
	}{
		"965 objects":   {orgShape{roles: 300, environments: 20, bags: 10, items: 60, versions: 35, cookbooks: 7, files: 8}, 70},
		"5,550 objects": {orgShape{roles: 1000, environments: 400, bags: 50, items: 72, versions: 500, cookbooks: 50, files: 5}, 620},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPairFixture(t, 10, 0)
			c.fillOrg(w.from)
			c.fillOrg(w.to)
			w.mustPass(t, true)
			w.wantAtMost(t, "adoption", c.most)
			w.mustVerify(t)
			w.wantAtMost(t, "verification", c.most)
			w.mustPass(t, true)
			w.wantAtMost(t, "full comparison", c.most)
		})
	}
}

// TestRequestsOfAFirstCopy counts the requests beyond those that a first copy needs at
// least: a write for each object, a manifest for each cookbook version, and each
// file down and up once.
func TestRequestsOfAFirstCopy(t *testing.T) {
	w := newPairFixture(t, 10, 0)
	s := orgShape{roles: 1000, environments: 400, bags: 50, items: 72, versions: 500, cookbooks: 50, files: 5}
	s.fillOrg(w.from)
	if run := w.mustPass(t, true); run.Counts.Created != s.countObjects() {
		t.Errorf("%d objects created of %d", run.Counts.Created, s.countObjects())
	}
	contents := s.versions*(s.files-1) + 1
	primary, fromPrimary := w.primary.takeCounts()
	replica, toReplica := w.replica.takeCounts()
	t.Logf("%d requests to the primary: %v", primary, fromPrimary)
	t.Logf("%d requests to the replica: %v", replica, toReplica)
	writes := s.countObjects() + contents
	if replica > writes+writes*2/100 {
		t.Errorf("%d requests to the replica for %d writes and files", replica, writes)
	}
	if needed := writes + contents + s.versions; primary+replica > needed+needed*2/100 {
		t.Errorf("%d requests for %d writes, files and manifests", primary+replica, needed)
	}
	w.mustVerify(t)
}

// TestRequestsOfReplacements counts the requests of a pass that deletes and overwrites many
// objects: what the replica has of them is kept for undo, and is read in bulk.
func TestRequestsOfReplacements(t *testing.T) {
	w := newPairFixture(t, 10, 0)
	w.engine.Pair.MaxDelete = replication.Limit{Percent: 100}
	orgShape{roles: 300, bags: 5, items: 300}.fillOrg(w.from)
	w.mustPass(t, true)
	w.replica.takeCounts()
	w.from.DeleteDataBag("bag1")
	for i := range 100 {
		w.from.DeleteRole(fmt.Sprintf("role%d", i))
		w.from.PutRole(fmt.Sprintf("role%d", 100+i), `{"description":"edited"}`)
	}
	run := w.mustPass(t, true)
	if c := run.Counts; c.Deleted != 401 || c.Updated != 100 {
		t.Errorf("%d deleted and %d updated, want 401 and 100", c.Deleted, c.Updated)
	}
	n, count := w.replica.takeCounts()
	// The writes, each differing role once, listings, and 5 searches for what is kept.
	if most := 1 + 100 + 100 + 100 + 35; n > most {
		t.Errorf("%d requests to the replica, want at most %d: %v", n, most, count)
	}
	w.mustVerify(t)
}

func TestNoMoreFilesAreSentAtOnceThanConnectionsAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, connections := range []int{1, 3, 20} {
			w := newPairFixture(t, connections, time.Millisecond)
			orgShape{versions: 6, cookbooks: 3, files: 8}.fillOrg(w.from)
			w.mustPass(t, true)
			if want := min(8, connections); w.replica.most != want {
				t.Errorf("%d files were sent at once with %d connections, want %d", w.replica.most, connections, want)
			}
		}
	})
}
