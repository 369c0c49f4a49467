package replication_test

import (
	"testing"
	"time"

	"chefsync/pkg/replication"
)

// Where nothing but compares is done, they alone can find that an unsynced object
// is gone from both sides.
func TestACompareDropsTheRecordOfWhatIsGoneFromBothSides(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneAll
	w.pair.ReconcileEvery = time.Minute
	w.fill()
	w.replica.Set("/roles/own", "of the replica")
	w.replica.Lose = func(op string, _ replication.Ref) error {
		if op == "delete" {
			return refused(replication.Transient)
		}
		return nil
	}
	w.pass()
	w.replica.Lose = nil
	w.wantEqual()
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/roles/own" {
		t.Fatalf("unsynced %+v, want the role whose deletion had no answer", u)
	}
	w.now = w.now.Add(time.Hour)
	if run := w.pass(); run.Mode != "compare" {
		t.Fatalf("run %+v, want a compare", run)
	}
	w.wantStatus(replication.Synced)
}

// With prune = "all" more can be deleted than replication ever put there.
func TestALimitByCountDoesNotShrinkWithTheInventory(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneAll
	w.pair.MaxDelete = replication.Limit{Count: 2}
	w.primary.Set("/roles/web", "web")
	w.replica.Set("/roles/own", "of the replica")
	w.replica.Set("/roles/another", "of the replica")
	w.wantOutcome(w.pass(), replication.OutcomeDone)
	w.wantEqual()
}
