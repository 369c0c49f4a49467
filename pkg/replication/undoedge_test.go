package replication_test

import (
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// TestWhatAnUndoRestoresBelongsToWhoMadeIt: the next pass doesn't delete an object of others
// once more that a resync had pruned and an undo brought back.
func TestWhatAnUndoRestoresBelongsToWhoMadeIt(t *testing.T) {
	w := newWorld(t)
	w.pair.MaxDelete = replication.Limit{Percent: 100}
	w.fill()
	w.pass()
	w.replica.Set("/roles/own", "the replica's own")
	w.replica.Set("/data/own/item", "the replica's own")
	w.replica.Set("/data/users/own", "the replica's own")
	was := w.replica.Snapshot()
	asked := w.now()
	w.direct(replication.DesiredChange{Resync: &asked, Prune: true})
	w.advance(1)
	run := w.pass()
	w.wantEqual()
	w.mustUndo(run.ID)
	w.wantReplica(was)
	w.start()
	w.pass()
	w.wantReplica(was)

	w.primary.Unset("/roles/web") // replication's own, which an undo brings back
	run = w.pass()
	w.mustUndo(run.ID)
	w.wantReplica(was)
	w.start()
	w.pass()
	if _, there := w.replica.Snapshot()["/roles/web"]; there {
		t.Error("the role that is gone from the primary is still on the replica")
	}
}

// TestAPlanOfAnUndoNamesTheBagThatStays: others have put an item into it since.
func TestAPlanOfAnUndoNamesTheBagThatStays(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/data/new/item", "new")
	run := w.pass()
	w.replica.Set("/data/new/own", "the replica's own")
	plan, err := w.engine().PreviewUndo(t.Context(), run.ID)
	if err != nil || len(plan.Failed) != 1 || plan.Failed[0].Ref != mustRef("/data/new") || plan.Failed[0].Class != fault.Rejected {
		t.Errorf("failed: %+v, %v; want the bag", plan.Failed, err)
	}
	if !slices.ContainsFunc(plan.Steps, func(d replication.Decision) bool {
		return d.Ref == mustRef("/data/new/item") && d.Action == replication.ActionDelete
	}) {
		t.Errorf("steps: %+v; want the item to be deleted", plan.Steps)
	}
}

// TestARepairOfFilesCanBeUndone: versions that are deleted and created again are kept, so that
// an undo of the runs before is possible.
func TestARepairOfFilesCanBeUndone(t *testing.T) {
	w := newWorld(t)
	w.replica.Trusting = true
	w.fill()
	w.pass()
	was := w.replica.Snapshot()
	w.primary.Set("/roles/web", "broken")
	run := w.pass()
	w.replica.Mislay("shared")
	if r := w.verify(withFiles(true)); !r.Equal() || len(r.Repaired) != 1 {
		t.Fatalf("%+v", r)
	}
	w.mustUndo(run.ID)
	w.wantReplica(was)
}

// TestAnUndoIsForTheReplicaThatTheRunWroteTo: a replica that was rebuilt since has nothing
// to be restored, also before a pass has noticed it.
func TestAnUndoIsForTheReplicaThatTheRunWroteTo(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "broken")
	run := w.pass()
	w.rebuild("another")
	if _, err := w.engine().PreviewUndo(t.Context(), run.ID); err == nil || !strings.Contains(err.Error(), "another organization") {
		t.Errorf("plan: %v", err)
	}
	if undone, err := w.undo(run.ID); err == nil || !strings.Contains(err.Error(), "another organization") {
		t.Errorf("undo: %+v, %v", undone, err)
	}
}

// TestAMovedPairIsNotUndone: another state has the pair, and its process writes to the replica.
func TestAMovedPairIsNotUndone(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "broken")
	run := w.pass()
	place := "the new place"
	w.direct(replication.DesiredChange{Stop: new(true), Moved: &place})
	broken := w.replica.Snapshot()
	if undone, err := w.undo(run.ID); err == nil || !strings.Contains(err.Error(), "moved to the new place") {
		t.Errorf("undo: %+v, %v", undone, err)
	}
	w.wantReplica(broken)
}
