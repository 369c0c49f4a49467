package replication_test

import (
	"testing"

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
