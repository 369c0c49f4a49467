package replication_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// Few names, so that they meet again.
func historyPaths() []string {
	return []string{"/roles/a", "/roles/b", "/roles/ab", "/environments/a", "/environments/e",
		"/data/x", "/data/x/1", "/data/x/2", "/data/y", "/data/y/1", "/cookbooks/c/1.0.0", "/cookbooks/c/2.0.0", "/cookbooks/d/1.0.0",
		"/cookbook_artifacts/c/1", "/cookbook_artifacts/d/1", "/policies/p/revisions/1", "/policies/p/revisions/2", "/policies/q/revisions/1",
		"/policy_groups/g/policies/p", "/policy_groups/h/policies/p", "/policy_groups/g/policies/q"}
}

func historyPatterns() []string {
	return []string{"roles/a", "roles/*", "roles/?", "environments/*", "data_bags/x", "data_bags/x/1", "data_bags/*/1", "data_bags/*/2", "data_bags/y",
		"cookbooks/c", "cookbooks/*/1.*", "cookbooks/d/1.0.0", "policies/p", "policies/*", "policy_groups/g", "policy_groups/*", "cookbook_artifacts/c"}
}

// Edits on both sides, passes, verifications and repairs, some of them broken
// off, refusals, lost answers, other organizations behind a URL, clocks that are set, and
// changes of the desired state and the configuration,
// in any order. Each run is compared with the model, and at the end, when all faults
// have ceased, nothing is left to do and the replica is as the rules demand.
func TestAnyHistoryComesToRest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rt)
		h.configure(rt)
		rt.Repeat(h.withServers(h.withScans(map[string]func(*rapid.T){ // what is there twice comes twice as often
			"edit primary":   func(t *rapid.T) { h.drawEdit(t, "primary")() },
			"edit primary 2": func(t *rapid.T) { h.drawEdit(t, "primary")() },
			"edit replica":   func(t *rapid.T) { h.drawEdit(t, "replica")() },
			"delete many":    func(t *rapid.T) { h.deleteMany(t) },
			"pass":           func(t *rapid.T) { h.pass(t) },
			"pass 2":         func(t *rapid.T) { h.pass(t) },
			"verify":         func(t *rapid.T) { h.verify(t) },
			"configure":      func(t *rapid.T) { h.configure(t) },
			"configure back": func(*rapid.T) { h.world.pair, h.previous = h.previous, h.world.pair },
			"refuse":         func(t *rapid.T) { h.refuse(t) },
			"lose answers":   func(t *rapid.T) { h.lose(t) },
			"heal":           func(*rapid.T) { h.heal() },
			"desired state":  func(t *rapid.T) { h.changeDesired(t) },
			"feed":           func(t *rapid.T) { h.changeFeed(t) },
			"time passes": func(t *rapid.T) {
				h.advance(time.Duration(rapid.IntRange(1, 100).Draw(t, "minutes")) * time.Minute)
			},
		})))
		h.rest(rt, rapid.SampledFrom([]time.Duration{16 * time.Minute, 25 * time.Hour}).Draw(rt, "between passes"))
	})
}

// configure changes what the configuration says of the pair.
func (h *history) configure(t *rapid.T) {
	oneOf := func(name string, n int) bool { return rapid.IntRange(1, n).Draw(t, name) == n }
	p := &h.world.pair
	h.previous = *p
	if oneOf("selection", 2) {
		draw := func(name string, most int) string {
			return strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom(historyPatterns()), 0, most, rapid.ID[string]).Draw(t, name), " ")
		}
		include := ""
		if oneOf("includes", 3) {
			include = draw("include", 10)
		}
		p.Selection = selection(h.t, include, draw("exclude", 3))
	}
	if oneOf("kinds", 2) {
		p.Kinds = append(object.DefaultKinds(), object.Policy, object.PolicyGroup, object.CookbookArtifact)
		for range rapid.IntRange(0, 2).Draw(t, "kinds left out") {
			i := rapid.IntRange(0, len(p.Kinds)-1).Draw(t, "kind left out")
			p.Kinds = slices.Delete(p.Kinds, i, i+1)
		}
	}
	if oneOf("rules", 2) {
		p.Prune = rapid.SampledFrom([]replication.Prune{replication.PruneReplicated, replication.PruneAll, replication.PruneNone}).Draw(t, "prune")
		p.MaxDelete = replication.Limit{Percent: 100}
		if oneOf("brake", 2) {
			p.MaxDelete = rapid.SampledFrom([]replication.Limit{{Count: 1}, {}}).Draw(t, "limit")
		}
		p.Drift = rapid.SampledFrom([]replication.DriftRule{replication.DriftReport, replication.DriftRepair}).Draw(t, "drift")
	}
	if oneOf("machine", 2) {
		p.Concurrency = rapid.SampledFrom([]int{1, 1, 3}).Draw(t, "concurrency")
		p.ReconcileEvery = rapid.SampledFrom([]time.Duration{0, time.Hour, 24 * time.Hour}).Draw(t, "reconcile")
		h.primary.Searchable, h.replica.Searchable = rapid.Bool().Draw(t, "primary searches"), rapid.Bool().Draw(t, "replica searches")
		h.tuning = replication.Tuning{Window: rapid.IntRange(1, 5).Draw(t, "window"), Backlog: rapid.IntRange(2, 30).Draw(t, "backlog")}
	}
}

// drawEdit draws one edit of one side by its people. It is done when it is called.
func (h *history) drawEdit(t *rapid.T, side string) func() {
	path := rapid.SampledFrom(historyPaths()).Draw(t, "path")
	body := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "body")
	unset := rapid.IntRange(0, 2).Draw(t, "unset") == 0
	pushed := side == "primary" && h.scanner != nil && rapid.Bool().Draw(t, "pushed")
	return func() {
		h.edit(side, path, body, unset)
		if pushed {
			h.scanner.Push(mustRef(path))
		}
	}
}

// deleteMany deletes most objects of the primary, or of one kind, and perhaps puts
// some back after a pass.
func (h *history) deleteMany(t *rapid.T) {
	kind := rapid.SampledFrom(append(object.Kinds(), "")).Draw(t, "kind")
	spared := rapid.SampledFrom(append(historyPaths(), "")).Draw(t, "spared")
	var gone []string
	for _, p := range slices.Sorted(maps.Keys(h.primary.Snapshot())) {
		if r := mustRef(p); (kind == "" || r.Kind == kind) && p != spared {
			h.edit("primary", p, "", true)
			gone = append(gone, p)
		}
	}
	if rapid.Bool().Draw(t, "come back") {
		h.pass(t)
		for _, p := range gone {
			if rapid.IntRange(0, 3).Draw(t, "back") > 0 {
				h.edit("primary", p, "1", false)
			}
		}
	}
}

// changeDesired changes the desired state, as commands of the operator do.
func (h *history) changeDesired(t *rapid.T) {
	many, one, stop, start := 1000, 1, true, false
	at := h.now().Add(time.Millisecond)
	changes := map[string]replication.DesiredChange{
		"resync": {Resync: &at}, "retry": {Retry: &at}, "retry one": {Retry: &at, RetryOnly: []object.Ref{mustRef("/roles/a"), mustRef("/data/x")}},
		"allow many": {AllowDeletes: &many}, "allow one": {AllowDeletes: &one}, "stop": {Stop: &stop}, "start": {Stop: &start}, "accept": {AcceptPrimary: true},
	}
	change := changes[rapid.SampledFrom([]string{"resync", "retry", "retry one", "allow many", "allow one", "stop", "start", "start", "accept"}).Draw(t, "change")]
	h.direct(change)
	if change.AllowDeletes != nil {
		h.allowed = h.now()
	}
	h.advance(time.Second)
}

// changeFeed lets the primary's feed vanish, come back or begin again.
func (h *history) changeFeed(t *rapid.T) {
	if rapid.Bool().Draw(t, "toggle") {
		h.primary.NoFeed = !h.primary.NoFeed
		return
	}
	// A reset before the first row was ever read can't be told from a quiet feed,
	// nor can one that begins with the very rows that it had.
	if pos := h.record().Progress.Position; pos == nil || pos.Seq == 0 {
		return
	}
	h.resets++
	h.primary.Restart()
	h.primary.Set(fmt.Sprintf("/roles/after-reset-%d", h.resets), "x")
}

// refuse lets one side refuse something until the next heal.
func (h *history) refuse(t *rapid.T) {
	org := map[string]*replicationtest.Org{"primary": h.primary, "replica": h.replica}[rapid.SampledFrom([]string{"primary", "replica"}).Draw(t, "side")]
	class := rapid.SampledFrom([]fault.Class{fault.Rejected, fault.Transient, fault.Denied, fault.Foreign, fault.Unreachable}).Draw(t, "class")
	var refused func(op string, r object.Ref) bool
	switch rapid.SampledFrom([]string{"object", "object", "list", "items", "feed", "unserved"}).Draw(t, "what") {
	case "object":
		ref, op := mustRef(rapid.SampledFrom(historyPaths()).Draw(t, "path")), rapid.SampledFrom([]string{"put", "delete", "get", "open"}).Draw(t, "op")
		refused = func(got string, r object.Ref) bool { return got == op && r == ref }
	case "list":
		kind := rapid.SampledFrom(object.Kinds()).Draw(t, "kind")
		refused = func(op string, r object.Ref) bool { return op == "list" && r.Kind == kind }
	case "items":
		bag := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "bag")
		refused = func(op string, r object.Ref) bool {
			return op == "list" && r.Kind == object.DataBagItem && r.Name == bag
		}
	case "feed":
		refused = func(op string, _ object.Ref) bool { return op == "feed" || op == "identity" }
	case "unserved":
		class = fault.Unserved
		refused = func(_ string, r object.Ref) bool {
			return r.Kind == object.Policy || r.Kind == object.PolicyGroup || r.Kind == object.CookbookArtifact
		}
	}
	org.Refuse = func(op string, r object.Ref) error {
		if refused(op, r) {
			return &fault.Error{Op: op, Object: r, Class: class, Err: fmt.Errorf("refused by the test")}
		}
		return nil
	}
	h.faulty = true
}

// lose lets the answers about one object get lost after it was written or deleted.
func (h *history) lose(t *rapid.T) {
	ref := mustRef(rapid.SampledFrom(historyPaths()).Draw(t, "path"))
	class := rapid.SampledFrom([]fault.Class{fault.Transient, fault.Unreachable}).Draw(t, "class")
	h.replica.Lose = func(_ string, r object.Ref) error {
		if r == ref {
			return &fault.Error{Op: "write", Object: r, Class: class, Err: fmt.Errorf("the answer was lost")}
		}
		return nil
	}
	h.faulty = true
}

func (h *history) heal() {
	h.primary.Refuse, h.replica.Refuse, h.replica.Lose, h.faulty = nil, nil, nil, false
}

// fate is what befalls a run at one of its calls.
type fate struct {
	kind  string
	at    int
	after bool
	event func() // what happens meanwhile
}

func (h *history) drawFate(t *rapid.T) fate {
	kinds := []string{"", "", "", "dies", "broken off", "loses its lease", "edit", "edit bag", "another passes"}
	if h.scanner != nil {
		kinds = append(kinds, "scan")
	}
	f := fate{kind: rapid.SampledFrom(kinds).Draw(t, "fate")}
	if f.kind != "" {
		f.at = rapid.IntRange(1, 40).Draw(t, "at call")
	}
	switch f.kind {
	case "dies":
		f.after = rapid.Bool().Draw(t, "after")
	case "edit":
		side := rapid.SampledFrom([]string{"primary", "primary", "replica"}).Draw(t, "side")
		first, second := h.drawEdit(t, side), h.drawEdit(t, side)
		f.event = func() { first(); second() }
	case "edit bag":
		body := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "body")
		if rapid.Bool().Draw(t, "gone before") {
			h.edit("primary", "/data/x", "", true)
		}
		f.event = func() {
			h.edit("primary", "/data/x", "", true)
			h.edit("primary", "/data/x/1", body, false)
		}
	case "loses its lease":
		f.event = func() { h.advance(2 * time.Minute) }
	case "scan":
		f.event = h.scanner.Scan
	case "another passes":
		f.event = func() {
			h.keptAll = h.keptAll || h.world.pair.Prune == replication.PruneNone
			_, _ = h.engine().Pass(context.Background(), replication.PassOptions{})
		}
	}
	return f
}

// begin makes an engine for a run that meets its fate.
func (h *history) begin(f fate) (*replication.Engine, context.Context) {
	e, ctx := h.engine(), context.Background()
	h.event(0, nil)
	switch f.kind {
	case "":
	case "dies":
		c := &replicationtest.Crasher{At: f.at, After: f.after}
		ctx = c.Wrap(ctx, e)
	case "broken off":
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		h.event(f.at, cancel)
	default:
		h.event(f.at, f.event)
	}
	return e, ctx
}

// end forgets what befell a run, and lets the lease of a dead process end.
func (h *history) end(f fate) {
	h.event(0, nil)
	h.advance(time.Minute)
	if f.kind == "dies" {
		h.advance(time.Minute)
	}
}

func (h *history) pass(t *rapid.T) {
	f, trigger := h.drawFate(t), rapid.SampledFrom([]replication.Trigger{"manual", replication.TriggerSchedule}).Draw(t, "trigger")
	full := rapid.IntRange(0, 9).Draw(t, "full") == 9
	h.drawScan(t)
	h.before(t)
	h.keptAll = h.keptAll || h.world.pair.Prune == replication.PruneNone
	check := h.braked()
	e, ctx := h.begin(f)
	run, err := e.Pass(ctx, replication.PassOptions{Trigger: trigger, Full: full})
	h.end(f)
	h.ran(t, err == nil)
	if f.kind == "" {
		check(t)
	}
	if err == nil && (run.Outcome == replication.OutcomeDone || run.Outcome == replication.OutcomeHeld || run.Left > 0) && f.kind == "" {
		if run.Mode == "compare" {
			h.keptAll = h.world.pair.Prune == replication.PruneNone
		}
		h.checkNothingIsLost(t, run)
	}
}

func (h *history) verify(t *rapid.T) {
	f, repair := h.drawFate(t), rapid.Bool().Draw(t, "repair")
	want := h.differences()
	snapshot, writes := h.replica.Snapshot(), h.replica.Writes
	h.before(t)
	h.keptAll = h.keptAll || h.world.pair.Prune == replication.PruneNone // which ends holds, as a pass does
	e, ctx := h.begin(f)
	r, err := e.Verify(ctx, replication.VerifyOptions{Trigger: "test", Repair: repair})
	h.end(f)
	h.ran(t, err == nil)
	if !repair && f.event == nil && (h.replica.Writes != writes || len(h.replica.Snapshot()) != len(snapshot)) {
		t.Fatalf("a verification wrote to the replica")
	}
	if err != nil || f.kind != "" {
		return
	}
	h.checkReport(t, r, want)
}

// stuck are the objects that can't be deleted from the replica, since something
// that must stay needs them: a bag with items that aren't replication's, and a
// policy revision that such a group uses.
func (h *history) stuck() map[object.Ref]bool {
	out := map[object.Ref]bool{}
	inv, primary := h.replicated(), h.primary.Snapshot()
	for p := range h.replica.Snapshot() {
		r := mustRef(p)
		if _, ours := inv[r]; h.world.pair.Manages(r) && (ours || h.world.pair.Prune == replication.PruneAll) || primary[p] != "" && h.world.pair.Manages(r) {
			continue
		}
		switch r.Kind {
		case object.DataBagItem:
			out[object.Ref{Kind: object.DataBag, Name: r.Name}] = true
		case object.PolicyGroup:
			body, err := h.replica.Get(context.Background(), r)
			if err != nil {
				h.t.Fatal(err)
			}
			out[object.Ref{Kind: object.Policy, Name: r.Sub, Sub: strings.TrimSpace(string(body.Body))}] = true
		}
	}
	return out
}
