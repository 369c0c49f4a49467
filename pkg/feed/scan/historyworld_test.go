package scan_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

// history is a primary without a feed and two pairs that read it. The requests of a
// process are sent one after the other, and nothing depends on the order of those that
// it would send at the same time.
type history struct {
	t         *testing.T
	server    *cheftest.Server // the primary
	primary   *cheftest.Org
	replicas  []*cheftest.Org
	clients   [2]processClients    // of a process, and of one that runs during a request of another
	nested    bool                 // a process runs during a request of another
	pairs     []replication.Engine // without State, Feed, Source and Target
	approved  []time.Time          // when deletions of the pair were last approved
	kv        *kvtest.Memory
	clock     atomic.Int64 // seconds since 1970
	started   int          // processes
	requests  []string     // that processes counted, as "METHOD path"
	snapshots map[string]replication.Snapshot
}

func newHistory(t *testing.T) *history {
	t.Helper()
	h := &history{t: t, server: cheftest.New(cheftest.Options{KeyBits: keyBits}), kv: &kvtest.Memory{},
		approved: make([]time.Time, 2), snapshots: map[string]replication.Snapshot{}}
	h.wait(time.Unix(1_800_000_000, 0).Sub(h.now()))
	h.primary = h.server.AddOrg("acme")
	h.primary.PutDataBag("empty")
	h.primary.PutPolicy("app", "1", `{}`)
	h.primary.PutPolicy("app", "2", `{}`)
	h.restoreObjects()
	eu, stage := cheftest.New(cheftest.Options{KeyBits: keyBits}), &replicationtest.Stage{}
	for i, limit := range []replication.Limit{{Percent: 100}, {Count: 1}} {
		org := fmt.Sprint("copy", i)
		h.replicas = append(h.replicas, eu.AddOrg(org))
		h.pairs = append(h.pairs, replication.Engine{
			Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: org}, SourceOrg: "acme", Space: source, Interval: time.Minute,
				CompareEvery: 10_000 * time.Hour, MaxDelete: limit, Concurrency: 1,
				Kinds: append(object.DefaultKinds(), object.Policy, object.PolicyGroup)},
			Tuning: replication.Tuning{Window: 3}, Stage: stage, Now: h.now,
		})
	}
	for i := range h.clients {
		h.clients[i] = h.newClients(eu)
		h.readBulk(h.clients[i].source)
	}
	return h
}

// processClients are the clients of one process. Another process has others: a client
// limits its own requests in flight, and would wait for one that waits for it.
type processClients struct {
	source  serialSource
	targets []replication.Target // by pair
}

func (h *history) newClients(eu *cheftest.Server) processClients {
	c := processClients{source: serialSource{endpoint.NewSource(h.newClient("primary", h.server).Org("acme"), nil)}}
	client := h.newClient("eu", eu)
	for _, e := range h.pairs {
		c.targets = append(c.targets, endpoint.NewTarget(client.Org(e.Pair.ID.Org), endpoint.TargetOptions{Uploads: 1}))
	}
	return c
}

// currentClients returns the clients of the process that runs.
func (h *history) currentClients() processClients {
	if h.nested {
		return h.clients[1]
	}
	return h.clients[0]
}

// readBulk reads roles, environments and items in bulk once: a reader compares random
// rows of its first search with their objects, and of none within an hour.
func (h *history) readBulk(side replication.Source) {
	for _, scope := range []object.Scope{{Kind: object.Role}, {Kind: object.Environment}, {Kind: object.DataBagItem, Name: "users"}} {
		refs, err := side.List(h.t.Context(), scope)
		if err != nil || len(side.GetBulk(h.t.Context(), refs, replication.BulkOptions{Listed: true})) == 0 {
			h.t.Fatalf("%v: nothing was read in bulk, %v", scope, err)
		}
	}
}

func (h *history) newClient(name string, s *cheftest.Server) *chef.Client {
	user, key := s.Superuser()
	counts := func(r *http.Request) bool {
		return s == h.server || r.Method != http.MethodGet && r.Method != http.MethodHead
	}
	return newClient(h.t, chef.Config{Name: name, URL: s.URL, User: user, Key: key, Transport: transport{h, s.Transport(), counts}})
}

func (h *history) now() time.Time { return time.Unix(h.clock.Load(), 0).UTC() }

func (h *history) wait(d time.Duration) { h.clock.Add(int64(d / time.Second)) }

// serialSource searches one collection after the other, in a fixed order.
type serialSource struct{ *endpoint.Source }

// GetBulk implements replication.Reader.
func (s serialSource) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) map[object.Ref]object.Object {
	refs = slices.SortedFunc(slices.Values(refs), object.Compare)
	found := map[object.Ref]object.Object{}
	for len(refs) > 0 {
		n := 1
		for n < len(refs) && refs[n].Kind == refs[0].Kind && (refs[n].Kind != object.DataBagItem || refs[n].Name == refs[0].Name) {
			n++
		}
		maps.Copy(found, s.Source.GetBulk(ctx, refs[:n], o))
		refs = refs[n:]
	}
	return found
}

// transport sends requests to a server for the process that its context names.
type transport struct {
	h  *history
	to http.RoundTripper
	// counts reports whether a process counts a request. Requests that only read a replica
	// are sent at the same time as others, and what they read changes only by those.
	counts func(*http.Request) bool
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if p, ok := r.Context().Value(processKey{}).(*process); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		if t.counts(r) {
			p.beforeRequest()
			t.h.requests = append(t.h.requests, r.Method+" "+r.URL.Path)
		}
	}
	return t.to.RoundTrip(r)
}

// processKey is the key of the process in a context.
type processKey struct{}

// process is one scan or pass, with records of its own as another process has.
type process struct {
	*history
	step             step
	rt               rapid.TB
	ctx              context.Context
	cancel           context.CancelFunc
	mu               sync.Mutex // held during a request and what happens before it
	requests, writes int        // counted so far
	killed           atomic.Bool
}

// startProcess starts a process; end ends it.
func (h *history) startProcess(rt rapid.TB, s step) (p *process, end func()) {
	p = &process{history: h, step: s, rt: rt}
	p.ctx, p.cancel = context.WithCancel(context.WithValue(h.t.Context(), processKey{}, p))
	h.started++
	refusal := cheftest.Fault{Path: s.Refused, Status: s.Status, Match: func(*http.Request) bool { return s.Refused != "" }}
	if s.Refused != "" && s.Refused != "/search/*" {
		refusal.Method = http.MethodGet
	}
	fault := h.server.Fault(refusal)
	return p, func() {
		fault.Remove()
		p.cancel()
	}
}

func (p *process) owner() string { return fmt.Sprint("process-", p.started) }

// beforeRequest does what happens before the next request.
func (p *process) beforeRequest() {
	p.requests++
	if p.requests == p.step.Fate.At {
		switch p.step.Fate.Kind {
		case "killed":
			p.kill()
		case "canceled":
			p.cancel()
		}
	}
	for _, m := range p.step.Meanwhile {
		if m.Request == p.requests {
			p.nested = true
			p.do(p.rt, m.Step)
			p.nested = false
		}
	}
}

// kill ends the process: it sends nothing, and writes no record. Its lease stays.
func (p *process) kill() {
	p.killed.Store(true)
	p.cancel()
}

// records returns the store of the process.
func (p *process) records() *store.Store { return store.New(processKV{p.kv, p}) }

// processKV keeps the records of a process.
type processKV struct {
	store.KV
	p *process
}

func (k processKV) Get(ctx context.Context, key store.Key) (store.Item, error) {
	if k.p.killed.Load() {
		return store.Item{}, errKilled
	}
	return k.KV.Get(ctx, key)
}

func (k processKV) Query(ctx context.Context, q store.Query) ([]store.Item, error) {
	if k.p.killed.Load() {
		return nil, errKilled
	}
	return k.KV.Query(ctx, q)
}

func (k processKV) Transact(ctx context.Context, writes ...store.Write) (string, error) {
	if k.p.killed.Load() {
		return "", errKilled
	}
	if k.p.writes++; k.p.step.Fate.Kind != "killed by a write" || k.p.writes != k.p.step.Fate.At {
		return k.KV.Transact(ctx, writes...)
	}
	if k.p.step.Fate.Written {
		_, _ = k.KV.Transact(ctx, writes...)
	}
	k.p.kill()
	return "", errKilled
}

// do does a step.
func (h *history) do(rt rapid.TB, s step) {
	switch s.Do {
	case "edit":
		h.edit(s.Edit)
		if s.Edit.Pushed {
			h.push(rt, s.Edit.Ref.Path())
		}
	case "push":
		h.push(rt, s.Path)
	case "scan":
		_, _ = h.scan(rt, s)
	case "pass":
		h.checkedPass(rt, s)
	case "approve":
		h.approve(s.Pair)
	case "freeze index":
		h.primary.FreezeIndex()
	case "thaw index":
		h.primary.ThawIndex()
	case "wait":
		h.wait(time.Duration(s.Minutes) * time.Minute)
	}
}

func (h *history) push(rt rapid.TB, path string) {
	_, err := store.New(h.kv).ChangeLogs().Append(h.t.Context(), source, h.now(), []changelog.Change{{Action: changelog.Update, Path: path}})
	if err != nil && !errors.Is(err, changelog.ErrNoChangeLog) {
		rt.Errorf("push: %v", err)
	}
}

func (h *history) edit(e edit) {
	o, r, body := h.primary, e.Ref, fmt.Sprintf(`{"description":%q}`, e.Text)
	switch {
	case r.Kind == object.Role && e.Delete:
		o.DeleteRole(r.Name)
	case r.Kind == object.Role:
		o.PutRole(r.Name, body)
	case r.Kind == object.Environment && e.Delete:
		o.DeleteEnvironment(r.Name)
	case r.Kind == object.Environment:
		o.PutEnvironment(r.Name, body)
	case r.Kind == object.DataBag && e.Delete:
		o.DeleteDataBag(r.Name)
	case r.Kind == object.DataBag:
		o.PutDataBag(r.Name)
	case r.Kind == object.DataBagItem && e.Delete:
		o.DeleteDataBagItem(r.Name, r.Sub)
	case r.Kind == object.DataBagItem:
		o.PutDataBagItem(r.Name, r.Sub, fmt.Sprintf(`{"text":%q}`, e.Text))
	case r.Kind == object.Cookbook && e.Delete:
		o.DeleteCookbook(r.Name, r.Sub)
	case r.Kind == object.Cookbook:
		o.PutCookbook(r.Name, r.Sub, cookbookFiles(e.Text), r.Sub == "2.0.0")
	case r.Kind == object.PolicyGroup:
		o.BindPolicy(r.Name, r.Sub, e.Text)
	}
}

// restoreObjects makes all objects what they were at first.
func (h *history) restoreObjects() {
	for _, r := range historyObjects() {
		h.edit(edit{Ref: r, Text: "1", Delete: r.Name == "new"})
	}
}

func (h *history) scan(rt rapid.TB, s step) (scan.Report, error) {
	p, end := h.startProcess(rt, s)
	defer end()
	scanner, err := scan.New(scan.Config{Source: source, Reader: h.currentClients().source, Store: p.records().ChangeLogs(), Owner: p.owner(),
		Kinds: h.pairs[0].Pair.Kinds, Rotation: time.Hour, Concurrency: 1, Now: h.now})
	if err != nil {
		h.t.Fatal(err)
	}
	return scanner.Scan(p.ctx)
}

func (h *history) pass(rt rapid.TB, s step) (replication.Run, error) {
	p, end := h.startProcess(rt, s)
	defer end()
	e, records := h.pairs[s.Pair], p.records()
	clients := h.currentClients()
	e.Owner, e.State, e.Feed = p.owner(), records, scan.NewFeed(records.ChangeLogs(), source)
	e.Source, e.Target = clients.source, clients.targets[s.Pair]
	return e.Pass(p.ctx, replication.PassOptions{Trigger: "test", Full: s.Full})
}

// checkedPass does a pass, which may delete one object of the second pair at most,
// unless more were approved.
func (h *history) checkedPass(rt rapid.TB, s step) {
	before := h.replicas[1].Snapshot()
	_, _ = h.pass(rt, s)
	if h.now().Sub(h.approved[1]) < 2*time.Hour {
		return
	}
	gone, after := 0, h.replicas[1].Snapshot()
	for path := range before {
		if _, there := after[path]; !there {
			gone++
		}
	}
	if gone > 1 {
		rt.Errorf("%d objects deleted without approval, the limit is 1", gone)
	}
}

// approve approves all deletions of a pair.
func (h *history) approve(pair int) {
	h.approved[pair] = h.now()
	all := math.MaxInt32
	change := replication.DesiredChange{AllowDeletes: &all, At: h.now()}
	if err := store.New(h.kv).ChangeDesired(h.t.Context(), h.pairs[pair].Pair.ID, change); err != nil {
		h.t.Fatal(err)
	}
	h.wait(time.Second)
}

// settle lets scans and passes converge, with approval of all deletions, until none of
// them finds anything to do.
func (h *history) settle(rt rapid.TB) {
	h.primary.ThawIndex()
	for round := 0; ; round++ {
		h.wait(3 * time.Hour) // leases expire, failed objects and the rotation are due
		before := h.snapshot(rt)
		r, err := h.scan(rt, step{})
		if err != nil || len(r.Failed) > 0 {
			rt.Fatalf("scan: %+v, %v", r, err)
		}
		busy := r.Begun || r.Changes > 0 || r.Pending > 0 || r.Generation != before.Generation
		for i := range h.pairs {
			h.approve(i)
			run, err := h.pass(rt, step{Pair: i})
			if err != nil || run.Outcome != replication.OutcomeDone && run.Outcome != replication.OutcomePartial {
				rt.Fatalf("pass of pair %d: %+v, %v", i, run, err)
			}
			busy = busy || run.Outcome != replication.OutcomeDone || run.Mode == "compare" || run.Counts != (replication.Counts{})
		}
		if !busy {
			return
		}
		if round == 6 {
			rt.Fatalf("there is no end: the last scan %+v, generation %d before", r, before.Generation)
		}
	}
}

// checkSettled checks that the replicas and the snapshot equal the primary.
func (h *history) checkSettled(rt rapid.TB) {
	primary := h.primary.Snapshot()
	for i, replica := range h.replicas {
		if diff := cmp.Diff(primary, replica.Snapshot()); diff != "" {
			rt.Errorf("replica %d differs (-primary +replica):\n%s", i, diff)
		}
		if damaged := replica.DamagedCookbooks(); len(damaged) > 0 {
			rt.Errorf("replica %d: damaged %v", i, damaged)
		}
	}
	objects := h.snapshot(rt).Objects
	for path := range primary {
		var ref object.Ref
		if ref.UnmarshalText([]byte(path)) != nil || path == "/policy_groups/prod" {
			continue
		}
		if _, there := objects[ref]; !there {
			rt.Errorf("the snapshot lacks %s", path)
		}
		delete(objects, ref)
	}
	if len(objects) > 0 {
		rt.Errorf("the snapshot has what the primary hasn't: %v", objects)
	}
}

// snapshot returns the snapshot that pairs read.
func (h *history) snapshot(rt rapid.TB) replication.Snapshot {
	s, err := scan.NewFeed(store.New(h.kv).ChangeLogs(), source).ReadSnapshot(h.t.Context())
	if err != nil {
		rt.Fatalf("read the snapshot: %v", err)
	}
	return s
}

// checkSnapshot checks that the content of a generation never changes.
func (h *history) checkSnapshot(rt rapid.TB) {
	s := h.snapshot(rt)
	id := fmt.Sprint(s.Epoch, " ", s.Generation)
	known, seen := h.snapshots[id]
	if seen && (!maps.Equal(known.Objects, s.Objects) || !maps.Equal(known.Unlisted, s.Unlisted)) {
		rt.Errorf("generation %d has another content than before (-before +now):\n%s", s.Generation, cmp.Diff(known, s))
	}
	h.snapshots[id] = s
}
