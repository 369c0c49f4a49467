package replication_test

import (
	"strings"
	"testing"

	"chefsync/pkg/replication"
)

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
