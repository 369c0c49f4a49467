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
)

// proxy stands between a client and a server and counts what passes.
type proxy struct {
	http.RoundTripper
	delay time.Duration // of each request

	mu            sync.Mutex
	count         map[string]int // by METHOD and first segment below the organization
	sending, most int            // uploads of files in flight
}

// RoundTrip implements http.RoundTripper.
func (p *proxy) RoundTrip(q *http.Request) (*http.Response, error) {
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

// requestClass is what a request asks for.
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

// take returns the counts since the last time.
func (p *proxy) take() (all int, count map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count, p.count = p.count, nil
	for _, n := range count {
		all += n
	}
	return all, count
}

// shape is the size of an organization.
type shape struct{ roles, environments, bags, items, versions, cookbooks, files int }

func (s shape) objects() int { return s.roles + s.environments + s.bags + s.bags*s.items + s.versions }

func (s shape) fill(o *cheftest.Org) {
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

// budgetWorld is a pair of organizations in memory with a proxy before each.
type budgetWorld struct {
	servers          [2]*cheftest.Server // primary and replica
	from, to         *cheftest.Org
	fromOrg, toOrg   *chef.Org
	source           *endpoint.Source
	primary, replica *proxy
	engine           *replication.Engine
}

func newBudgetWorld(t testing.TB, connections int, delay time.Duration) *budgetWorld {
	t.Helper()
	a, b := cheftest.New(cheftest.Options{}), cheftest.New(cheftest.Options{})
	w := &budgetWorld{servers: [2]*cheftest.Server{a, b}, from: a.AddOrg("acme"), to: b.AddOrg("acme"),
		primary: &proxy{RoundTripper: a.Transport(), delay: delay}, replica: &proxy{RoundTripper: b.Transport(), delay: delay}}
	client := func(name string, s *cheftest.Server, p *proxy) *chef.Org {
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
		Stage: &replicationtest.Stage{}, State: replicationtest.NewState(), Owner: "test",
	}
	return w
}

// pass does a pass that must succeed.
func (w *budgetWorld) pass(t testing.TB, full bool) replication.Run {
	t.Helper()
	run, err := w.engine.Pass(t.Context(), replication.PassOptions{Full: full})
	if err != nil || run.Outcome != replication.OutcomeDone {
		t.Fatalf("pass: %+v, %v", run, err)
	}
	return run
}

// verify demands that both sides are equal.
func (w *budgetWorld) verify(t testing.TB) {
	t.Helper()
	report, err := w.engine.Verify(t.Context(), replication.VerifyOptions{Trigger: "manual"})
	if err != nil || !report.Equal() {
		t.Fatalf("verification: %s, %d differences, %v", report.Outcome, report.Differ(), err)
	}
}

// within demands that neither side was sent more requests than it may be.
func (w *budgetWorld) within(t *testing.T, what string, most int) {
	t.Helper()
	for side, p := range map[string]*proxy{"primary": w.primary, "replica": w.replica} {
		n, count := p.take()
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
		shape
		most int // requests to each side
	}{
		"965 objects":   {shape{roles: 300, environments: 20, bags: 10, items: 60, versions: 35, cookbooks: 7, files: 8}, 70},
		"5,550 objects": {shape{roles: 1000, environments: 400, bags: 50, items: 72, versions: 500, cookbooks: 50, files: 5}, 620},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newBudgetWorld(t, 10, 0)
			c.fill(w.from)
			c.fill(w.to)
			w.pass(t, true)
			w.within(t, "adoption", c.most)
			w.verify(t)
			w.within(t, "verification", c.most)
			w.pass(t, true)
			w.within(t, "full comparison", c.most)
		})
	}
}

// TestRequestsOfAFirstCopy counts what a first copy sends besides what it can't do
// without: a write for each object, a manifest for each cookbook version, and each
// file down and up once.
func TestRequestsOfAFirstCopy(t *testing.T) {
	w := newBudgetWorld(t, 10, 0)
	s := shape{roles: 1000, environments: 400, bags: 50, items: 72, versions: 500, cookbooks: 50, files: 5}
	s.fill(w.from)
	if run := w.pass(t, true); run.Counts.Created != s.objects() {
		t.Errorf("%d objects created of %d", run.Counts.Created, s.objects())
	}
	contents := s.versions*(s.files-1) + 1
	primary, fromPrimary := w.primary.take()
	replica, toReplica := w.replica.take()
	t.Logf("%d requests to the primary: %v", primary, fromPrimary)
	t.Logf("%d requests to the replica: %v", replica, toReplica)
	writes := s.objects() + contents
	if replica > writes+writes*2/100 {
		t.Errorf("%d requests to the replica for %d writes and files", replica, writes)
	}
	if needed := writes + contents + s.versions; primary+replica > needed+needed*2/100 {
		t.Errorf("%d requests for %d writes, files and manifests", primary+replica, needed)
	}
	w.verify(t)
}

func TestNoMoreFilesAreSentAtOnceThanConnectionsAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, connections := range []int{1, 3, 20} {
			w := newBudgetWorld(t, connections, time.Millisecond)
			shape{versions: 6, cookbooks: 3, files: 8}.fill(w.from)
			w.pass(t, true)
			if want := min(8, connections); w.replica.most != want {
				t.Errorf("%d files were sent at once with %d connections, want %d", w.replica.most, connections, want)
			}
		}
	})
}
