package replication_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// In any history, what a plan says is what the next pass does: the same writes and
// deletions, and the same deletions held.
func TestAnyPlanIsWhatThePassDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.pair.Kinds = object.Kinds()
		for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			if rapid.IntRange(0, 2).Draw(rt, "configure") == 0 {
				w.drawRules(rt)
			}
			for range rapid.IntRange(0, 12).Draw(rt, "edits") {
				w.drawEdit(rt)
			}
			if rapid.IntRange(0, 3).Draw(rt, "allow") == 3 {
				w.allow(rapid.IntRange(1, 20).Draw(rt, "deletions"))
			}
			w.advance(rapid.SampledFrom([]time.Duration{time.Minute, 25 * time.Hour}).Draw(rt, "time"))
			w.planAndPass(rt, rapid.Bool().Draw(rt, "full"))
		}
	})
}

// drawRules draws what the configuration says of the pair.
func (w *world) drawRules(t *rapid.T) {
	w.pair.Prune = rapid.SampledFrom([]replication.Prune{replication.PruneReplicated, replication.PruneAll, replication.PruneNone}).Draw(t, "prune")
	w.pair.Drift = rapid.SampledFrom([]replication.DriftRule{replication.DriftReport, replication.DriftRepair}).Draw(t, "drift")
	w.pair.MaxDelete = rapid.SampledFrom([]replication.Limit{{Percent: 100}, {Count: 1}, {}}).Draw(t, "limit")
	w.pair.ReconcileEvery = rapid.SampledFrom([]time.Duration{0, 24 * time.Hour}).Draw(t, "reconcile")
	w.tuning = replication.Tuning{Window: rapid.IntRange(1, 5).Draw(t, "window"), Backlog: rapid.IntRange(2, 30).Draw(t, "backlog")}
	w.primary.Searchable, w.replica.Searchable = rapid.Bool().Draw(t, "primary searches"), rapid.Bool().Draw(t, "replica searches")
}

// drawEdit edits one object on one side.
func (w *world) drawEdit(t *rapid.T) {
	side := w.primary
	if rapid.IntRange(0, 2).Draw(t, "side") == 2 {
		side = w.replica
	}
	path := rapid.SampledFrom(historyPaths()).Draw(t, "path")
	if rapid.IntRange(0, 2).Draw(t, "unset") == 2 {
		side.Unset(path)
		return
	}
	side.Set(path, rapid.SampledFrom([]string{"1", "2"}).Draw(t, "body"))
}

// planAndPass makes a plan and then does the pass.
func (w *world) planAndPass(t *rapid.T, full bool) {
	before, record := w.replica.Snapshot(), w.record()
	plan, err := w.engine().Preview(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, w.replica.Snapshot()) + cmp.Diff(record, w.record()); d != "" {
		t.Fatalf("the plan changed the replica or the record:\n%s", d)
	}
	planned, done := map[string]bool{}, map[string]bool{}
	for _, s := range plan.Steps {
		_, there := before[s.Ref.Path()]
		switch {
		case s.Action == replication.ActionCreate, s.Action == replication.ActionUpdate:
			planned["put "+s.Ref.Path()] = true
		case s.Action == replication.ActionDelete && there: // else only the ledger loses it
			planned["delete "+s.Ref.Path()] = true
		}
	}
	w.replica.Refuse = func(op string, r object.Ref) error {
		if op == "put" {
			done["put "+r.Path()] = true
		}
		return nil
	}
	run, err := w.engine().Pass(t.Context(), replication.PassOptions{Trigger: "test", Full: full})
	w.replica.Refuse = nil
	if err != nil {
		t.Fatal(err)
	}
	after := w.replica.Snapshot()
	for path := range before {
		if _, there := after[path]; !there {
			done["delete "+path] = true
		}
	}
	for _, u := range w.unsynced() { // the replica refused it, or it is held
		delete(planned, "delete "+u.Ref.Path())
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(planned)), slices.Sorted(maps.Keys(done))); d != "" {
		t.Fatalf("the pass (%s) did something else than the plan (%s; -planned +done):\n%s", run.Mode, plan.Mode, d)
	}
	if hold := w.record().Progress.Hold; (hold == nil) != (plan.Hold == nil) || hold != nil && hold.Deletes != plan.Hold.Deletes {
		t.Fatalf("the pass holds %+v, and the plan says %+v", hold, plan.Hold)
	}
}

func TestThePlanOfARegularCompareLeavesWhatTheDriftRuleLeaves(t *testing.T) {
	w := restored(t)
	w.pair.Drift, w.pair.Prune = replication.DriftReport, replication.PruneAll
	plan, err := w.engine().Preview(t.Context(), false)
	if err != nil || plan.Mode != replication.ModeCompare || plan.Writes() != 0 {
		t.Errorf("plan %+v, %v; want none of the drift in it", plan.Steps, err)
	}
}

func TestThePlanOfManyChangesIsAComparison(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.tuning.Backlog = 2
	for i := range 3 {
		w.primary.Set(fmt.Sprintf("/roles/r%d", i), "new")
	}
	plan, err := w.engine().Preview(t.Context(), false)
	if err != nil || plan.Mode != replication.ModeCompare || plan.Writes() != 3 {
		t.Errorf("plan %s: %+v, %v; want a comparison that creates 3 roles", plan.Mode, plan.Steps, err)
	}
}
