package replication_test

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// history is a world with a model of what replication may and must do in it.
type history struct {
	*world
	previous replication.Pair // before the configuration changed
	resets   int
	servers  int    // organizations that were behind the primary's URL
	rebuilt  int    // those behind the replica's
	identity string // what the primary last answered
	faulty   bool   // a refusal or lost answers are switched on
	keptAll  bool   // prune was "none" at some time since the last full comparison

	mu    sync.Mutex
	calls int
	at    int    // the call before which something happens
	then  func() // what happens
	rt    interface{ Errorf(string, ...any) }

	edits sync.Mutex // held while the replica changes, so that it is known who did what
	// owned is what replication may take for its own: what it wrote, tried to write,
	// or found to be equal. sure is what it certainly wrote. Both end when replication
	// deletes the object, or a compare begins under a selection without it.
	owned, sure map[object.Ref]bool
	kept        map[object.Ref]bool   // owned before the current run
	touched     map[object.Ref]bool   // changed on the replica by others since replication wrote them
	saw         map[object.Ref]string // what the primary last answered in this run, "" for absent
	there       map[object.Ref]string // what the replica last answered in this run
	left        *replication.Work     // what the runs before left unfinished
	selected    string
	allowed     time.Time // when the operator last approved deletions
}

func newHistory(t testing.TB, rt *rapid.T) *history {
	h := &history{world: newWorld(t), rt: rt, owned: map[object.Ref]bool{}, sure: map[object.Ref]bool{}, touched: map[object.Ref]bool{}}
	h.drawFeed(rt)
	h.primary.ID, h.replica.ID = "https://primary/organizations/o#0", "https://replica/organizations/o#0"
	h.world.pair.MaxDelete, h.world.pair.ReconcileEvery = replication.Limit{Percent: 100}, 24*time.Hour
	h.world.pair.Kinds = append(object.DefaultKinds(), object.Policy, object.PolicyGroup, object.CookbookArtifact)
	return h
}

// engine makes an engine that is watched.
func (h *history) engine() *replication.Engine {
	e := h.world.engine()
	e.Source, e.Target = spiedSource{spy{h, h.primary, true}, e.Source}, spiedTarget{spy{h, h.replica, false}, e.Target}
	return e
}

// event lets something happen before the n-th call from now.
func (h *history) event(n int, then func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls, h.at, h.then = 0, n, then
}

// edit is an edit by the people of one side. What a server refuses doesn't happen.
func (h *history) edit(side, path, body string, unset bool) {
	h.edits.Lock()
	defer h.edits.Unlock()
	org := h.primary
	if side == "replica" {
		org = h.replica
	}
	ref, before := mustRef(path), org.Snapshot()
	if side == "primary" && ref.Kind.IsImmutable() {
		body = "1" // no server changes what is immutable
	}
	switch {
	case unset:
		org.Unset(path)
	case ref.Kind == object.PolicyGroup && before["/policies/"+ref.Sub+"/revisions/"+body] == "":
		return // no server lets a group name a revision that it lacks
	case ref.Kind == object.Cookbook || ref.Kind == object.CookbookArtifact:
		org.Set(path, body, "file "+body, "shared")
	default:
		org.Set(path, body)
	}
	if side == "primary" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.touched[ref] = true
	for _, p := range changed(before, org.Snapshot()) {
		h.touched[mustRef(p)] = true
	}
}

func changed(before, after map[string]string) (paths []string) {
	for p, print := range before {
		if after[p] != print {
			paths = append(paths, p)
		}
	}
	for p := range after {
		if before[p] == "" {
			paths = append(paths, p)
		}
	}
	return paths
}

// spy watches the calls of an engine to one side.
type spy struct {
	h       *history
	org     *replicationtest.Org
	primary bool
}

// enter counts a call, and lets happen what is to happen before it.
func (s spy) enter() {
	s.h.mu.Lock()
	s.h.calls++
	var then func()
	if s.h.calls == s.h.at {
		then, s.h.then = s.h.then, nil
	}
	s.h.mu.Unlock()
	if then != nil {
		then()
	}
}

// touch wants an object to be selected.
func (s spy) touch(op string, r object.Ref) {
	if !s.h.world.pair.Manages(r) {
		s.h.rt.Errorf("%s of %s, which isn't selected", op, r)
	}
}

// List implements replication.Reader. The listing of environments is also what
// servers are asked to see whether they answer at all.
func (s spy) List(ctx context.Context, sc object.Scope) ([]object.Ref, error) {
	s.enter()
	p := s.h.world.pair
	if sc.Kind != object.Environment && (!p.Includes(sc.Kind) || !p.Selection.Reaches(sc)) {
		s.h.rt.Errorf("listing of %+v, where nothing is selected", sc)
	}
	return s.org.List(ctx, sc)
}

// Get implements replication.Reader.
func (s spy) Get(ctx context.Context, r object.Ref) (object.Object, error) {
	s.enter()
	s.touch("reading", r)
	obj, err := s.org.Get(ctx, r)
	s.wasRead(r, obj, err)
	return obj, err
}

type spiedSource struct {
	spy
	source replication.Source
}

// Open implements replication.Source.
func (s spiedSource) Open(ctx context.Context, obj object.Object, f object.File) (io.ReadCloser, int64, error) {
	s.touch("opening a file", obj.Ref)
	return s.source.Open(ctx, obj, f)
}

type spiedTarget struct {
	spy
	replication.Target
}

// List implements replication.Reader.
func (s spiedTarget) List(ctx context.Context, sc object.Scope) ([]object.Ref, error) {
	return s.spy.List(ctx, sc)
}

// Get implements replication.Reader.
func (s spiedTarget) Get(ctx context.Context, r object.Ref) (object.Object, error) {
	return s.spy.Get(ctx, r)
}

// Put implements replication.Target.
func (s spiedTarget) Put(ctx context.Context, obj object.Object, create bool, content replication.Content) error {
	s.enter()
	h := s.h
	h.edits.Lock()
	defer h.edits.Unlock()
	before := h.replica.Snapshot()
	err := s.Target.Put(ctx, obj, create, content)
	after := h.replica.Snapshot()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && fault.ClassOf(err) != fault.Rejected {
		h.owned[obj.Ref] = true
	}
	if fault.ClassOf(err) != fault.Rejected {
		h.ownBag(obj.Ref)
	}
	refs := []object.Ref{}
	for _, p := range changed(before, after) {
		refs = append(refs, mustRef(p))
	}
	if after[obj.Ref.Path()] == obj.Fingerprint && (err == nil || len(refs) > 0) {
		refs = append(refs, obj.Ref)
	}
	for _, r := range refs {
		s.touch("writing", r)
		h.owned[r] = true
		if r == obj.Ref { // not a bag that came with its item
			h.sure[r] = true
			delete(h.touched, r)
		}
	}
	return err
}

// Delete implements replication.Target.
func (s spiedTarget) Delete(ctx context.Context, ref object.Ref) error {
	if ref.Kind != object.DataBag { // no server can look into a bag and delete it in one step
		s.enter()
	}
	s.touch("deleting", ref)
	h := s.h
	h.edits.Lock()
	defer h.edits.Unlock()
	before := h.replica.Snapshot()
	err := s.Target.Delete(ctx, ref)
	after := h.replica.Snapshot()
	if !maps.Equal(before, after) {
		h.checkPrimary(ref)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	prune := h.world.pair.Prune
	if prune == replication.PruneNone {
		h.rt.Errorf("deleting %s by the prune rule %q", ref, prune)
	}
	bag, bagAsked := h.saw[object.Ref{Kind: object.DataBag, Name: ref.Name}]
	gone := ref.Kind == object.DataBagItem && bagAsked && bag == "" // with its bag
	if print, asked := h.saw[ref]; !gone && (!asked || print != "") {
		h.rt.Errorf("deleting %s, of which the primary didn't say that it isn't there", ref)
	}
	refs := []object.Ref{}
	for _, p := range changed(before, after) {
		r := mustRef(p)
		refs = append(refs, r)
		if prune != replication.PruneAll && !h.owned[r] {
			h.rt.Errorf("deleting %s deleted %s, which replication didn't put there", ref, r)
		}
		s.touch("deleting", r)
	}
	if err == nil {
		refs = append(refs, ref)
	}
	for _, r := range refs {
		delete(h.touched, r)
		delete(h.sure, r)
		if err == nil {
			delete(h.owned, r)
		}
	}
	return err
}

// before prepares the model for a run.
func (h *history) before(t *rapid.T) {
	h.rt, h.kept, h.saw, h.there = t, maps.Clone(h.owned), map[object.Ref]string{}, map[object.Ref]string{}
	h.left = h.record().Progress.Work
}

// ran brings the model up to date with a run, and checks what holds after any.
func (h *history) ran(t *rapid.T, recorded bool) {
	st := h.record()
	if !recorded { // what it deleted may not be known to have been deleted
		for r := range h.kept {
			h.owned[r] = true
		}
	}
	if w := st.Progress.Work; w != nil && !w.Deletes {
		for _, r := range w.Intent {
			h.owned[r] = true
			h.ownBag(r)
		}
	}
	if st.Progress.Selected != h.selected && st.Progress.Selected != "mixed" { // a compare began
		forget := func(r object.Ref, _ bool) bool { return !h.world.pair.Manages(r) }
		maps.DeleteFunc(h.owned, forget)
		maps.DeleteFunc(h.sure, forget)
	}
	h.selected = st.Progress.Selected
	for r := range h.replicated() {
		if !h.owned[r] {
			t.Errorf("%s is in the ledger, and replication didn't put it there", r)
		}
	}
	if torn := h.replica.Broken(); len(torn) > 0 {
		t.Errorf("torn on the replica: %v", torn)
	}
	if u := h.unsynced(); st.Progress.Status == replication.Synced && len(u) > 0 && slices.ContainsFunc(u, func(x replication.Unsynced) bool { return h.world.pair.Manages(x.Ref) }) {
		t.Errorf("the status is synced, with unsynced objects: %s, %s", u[0].Ref, u[0].Reason)
	}
}

// ownBag: an item that was written, or may have been, makes its bag, or is in one
// that both sides have.
func (h *history) ownBag(item object.Ref) {
	if bag := (object.Ref{Kind: object.DataBag, Name: item.Name}); item.Kind == object.DataBagItem && h.world.pair.Manages(bag) {
		h.owned[bag] = true
	}
}

func (h *history) replicated() map[object.Ref]string { return replicated(h.t, h.state) }

// checkNothingIsLost: after a pass that ended, each object is as on the primary,
// listed as unsynced, or was changed by others since. That isn't so of a pass that
// went on with a compare, or that the feed didn't tell of everything.
func (h *history) checkNothingIsLost(t *rapid.T, run replication.Run) {
	if hold := h.record().Progress.Hold; hold != nil && hold.Primary != "" {
		return // nothing is replicated
	}
	if h.left != nil && h.left.Full || run.Mode != replication.ModeCompare && !h.feedIsCurrent() {
		return
	}
	excused := func(r object.Ref) bool {
		return h.touched[r] || slices.ContainsFunc(h.unsynced(), func(u replication.Unsynced) bool { return object.ScopeOf(u.Ref).Contains(r) })
	}
	want, got := h.primary.Snapshot(), h.replica.Snapshot()
	for _, p := range slices.Sorted(maps.Keys(want)) {
		print := want[p]
		if r := mustRef(p); h.world.pair.Manages(r) && got[p] != print && !excused(r) {
			t.Fatalf("%s: %q on the replica, %q on the primary, and not listed as unsynced", p, got[p], print)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if r := mustRef(p); want[p] == "" && h.world.pair.Manages(r) && h.sure[r] && !h.keptAll && !excused(r) {
			t.Fatalf("%s is gone from the primary, still on the replica, and not listed as unsynced", p)
		}
	}
}

// differences are what a verification must name now: path → letter.
func (h *history) differences() map[string]string {
	out := map[string]string{}
	primary, replica, inv := h.primary.Snapshot(), h.replica.Snapshot(), h.replicated()
	if w := h.record().Progress.Work; w != nil && !w.Deletes {
		for _, r := range w.Intent { // perhaps written
			inv[r] = "?"
		}
	}
	for p, print := range primary {
		switch {
		case !h.world.pair.Manages(mustRef(p)) || replica[p] == print:
		case replica[p] == "":
			out[p] = "A"
		default:
			out[p] = "M"
		}
	}
	for p := range replica {
		_, ours := inv[mustRef(p)]
		prune := h.world.pair.Prune
		if primary[p] == "" && h.world.pair.Manages(mustRef(p)) && (prune == replication.PruneAll || ours && prune != replication.PruneNone) {
			out[p] = "D"
		}
	}
	return out
}

// checkReport: a verification names what differs, blames others for nothing that
// they didn't do, and what it says to have repaired is repaired.
func (h *history) checkReport(t *rapid.T, r replication.Report, want map[string]string) {
	got := map[string]string{}
	for _, d := range append(slices.Clone(r.Differences), r.Repaired...) {
		got[d.Ref.Path()] = d.Letter
	}
	if !h.faulty && !maps.Equal(got, want) {
		t.Fatalf("differences %v, want %v", got, want)
	}
	unreadable := func(ref object.Ref) bool { // it may be repaired
		return slices.ContainsFunc(r.Unreadable, func(u replication.Unsynced) bool { return u.Ref == ref })
	}
	for _, d := range r.Drift() {
		if d.Cause != replication.CauseExtra && !h.touched[d.Ref] && !unreadable(d.Ref) {
			t.Fatalf("%s is called drift (%s), and nobody touched it", d.Ref, d.Cause)
		}
	}
	primary, replica := h.primary.Snapshot(), h.replica.Snapshot()
	for _, d := range r.Repaired {
		if p := d.Ref.Path(); primary[p] != replica[p] {
			t.Fatalf("%s is said to be repaired", d.Ref)
		}
	}
	if !h.faulty && len(r.Drift()) > 0 && r.Outcome == replication.OutcomeDone {
		t.Fatalf("drift is left: %v", r.Drift())
	}
}

// rest lets all faults cease, and replication come to rest.
func (h *history) rest(t *rapid.T, between time.Duration) {
	h.heal()
	if h.scanned != nil && rapid.Bool().Draw(t, "take back") {
		h.scanned()
	}
	start, many := false, 1000
	h.keptAll = h.keptAll || h.world.pair.Prune == replication.PruneNone
	if h.keptAll { // what prune = "none" kept is left to compares by another rule
		h.direct(replication.DesiredChange{Resync: new(h.now())})
	}
	for round := 0; ; round++ {
		h.advance(between)
		h.scanAll()
		h.direct(replication.DesiredChange{Stop: &start, AllowDeletes: &many, AcceptPrimary: true, Retry: new(h.now())})
		h.advance(time.Second)
		writes := h.replica.Writes
		h.before(t)
		run, err := h.engine().Pass(context.Background(), replication.PassOptions{Trigger: "test"})
		if err != nil {
			t.Fatalf("pass without faults: %v", err)
		}
		h.ran(t, true)
		h.checkNothingIsLost(t, run)
		want := h.differences()
		h.advance(time.Second)
		h.direct(replication.DesiredChange{AllowDeletes: &many})
		h.advance(time.Second)
		h.before(t)
		r, err := h.engine().Verify(context.Background(), replication.VerifyOptions{Trigger: "test", Repair: true})
		if err != nil {
			t.Fatalf("repair without faults: %v", err)
		}
		h.ran(t, true)
		h.checkReport(t, r, want)
		if writes == h.replica.Writes && round > 0 && h.record().Progress.Hold == nil {
			break
		}
		if round == 6 {
			t.Fatalf("no rest: %v", r.Differences)
		}
	}
	h.checkRest(t)
}

// checkRest wants the replica as the rules say, and the record to say so.
func (h *history) checkRest(t *rapid.T) {
	primary, replica, inv, stuck := h.primary.Snapshot(), h.replica.Snapshot(), h.replicated(), h.stuck()
	for _, p := range slices.Sorted(maps.Keys(primary)) {
		print := primary[p]
		if r := mustRef(p); h.world.pair.Manages(r) && (replica[p] != print || inv[r] != print) {
			t.Errorf("%s: %q on the primary, %q on the replica, %q in the ledger", p, print, replica[p], inv[r])
		}
	}
	prune := h.world.pair.Prune
	for _, p := range slices.Sorted(maps.Keys(replica)) {
		r := mustRef(p)
		if primary[p] == "" && h.world.pair.Manages(r) && prune != replication.PruneNone && (prune == replication.PruneAll || h.sure[r]) && !stuck[r] {
			t.Errorf("%s is gone from the primary and still on the replica, by the prune rule %q", p, prune)
		}
	}
	for _, r := range slices.SortedFunc(maps.Keys(inv), object.Compare) {
		if !h.world.pair.Manages(r) || primary[r.Path()] == "" && prune != replication.PruneNone && !stuck[r] {
			t.Errorf("%s is in the ledger", r)
		}
	}
	status := replication.Synced
	for _, u := range h.unsynced() {
		status = replication.Retrying
		if !stuck[u.Ref] {
			t.Errorf("unsynced: %s, %s", u.Ref, u.Reason)
		}
	}
	if t.Failed() {
		t.Logf("prune %s, selection %+v\nprimary %v\nreplica %v\nledger %v", prune, h.world.pair.Selection, primary, replica, inv)
	}
	if st := h.record(); st.Status() != status || st.Progress.Work != nil || st.Progress.Hold != nil || st.Progress.Pending != 0 ||
		st.Progress.Unsynced != len(h.unsynced()) || st.Progress.Objects != len(inv) {
		t.Errorf("status %s, want %s", st.Status(), status)
		t.Logf("%+v", st.Progress)
	}
}
