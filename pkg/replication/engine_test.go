package replication_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func TestAFirstPassMakesTheReplicaEqual(t *testing.T) {
	w := newWorld(t)
	w.fill()
	run := w.pass()
	w.wantOutcome(run, replication.OutcomeDone)
	w.wantEqual()
	w.wantStatus(replication.Synced)
	if run.Counts.Created != 9 || run.Mode != "compare" {
		t.Errorf("run = %+v, want a compare that created 9 objects", run)
	}
	if got := w.record().Progress.Position.Seq; got != 9 {
		t.Errorf("position %d, want 9", got)
	}
}

// An empty poll is one request to the primary.
func TestAnEmptyPollCostsOneRequestAndWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Calls, w.replica.Calls = 0, 0
	run := w.pass()
	w.wantOutcome(run, replication.OutcomeDone)
	if w.primary.Calls != 1 || w.replica.Calls != 0 {
		t.Errorf("%d calls to the primary and %d to the replica, want 1 and 0", w.primary.Calls, w.replica.Calls)
	}
	if fence := w.record().Lease.Fence; fence != 1 {
		t.Errorf("fence %d: the empty poll took a lease", fence)
	}
	if got := w.record().Progress.LastSuccess; !got.Equal(w.now().Add(-time.Minute)) {
		t.Errorf("last success %s: the empty poll did not count", got)
	}
}

// downFeed is a feed that gives no answer.
type downFeed struct{ replication.Feed }

func (downFeed) Read(context.Context, int64) (replication.Rows, error) {
	return replication.Rows{}, errors.New("no answer")
}

// Where each write costs money, a record stands for a while; what is news is
// recorded at once.
func TestARecordStandsForThePollsAfterIt(t *testing.T) {
	w := newWorld(t)
	w.tuning.RecordPollsEvery = 4 * time.Minute
	w.pair.Kinds = []object.Kind{object.Role}
	w.fill()
	w.pass()
	first := w.record().Progress.LastSuccess
	for range 3 {
		w.pass()
		if got := w.record().Progress.LastSuccess; !got.Equal(first) {
			t.Fatalf("recorded at %s, though the record of %s stands", got, first)
		}
	}
	w.pass()
	if got := w.record().Progress.LastSuccess; !got.Equal(w.now().Add(-time.Minute)) {
		t.Errorf("last success %s after its time", got)
	}
	w.primary.Set("/environments/prod", "changed") // of no interest, but the position moves
	w.pass()
	if got := w.record().Progress.LastSuccess; !got.Equal(w.now().Add(-time.Minute)) {
		t.Errorf("last success %s: the position moved unrecorded", got)
	}
	e := w.engine()
	e.Feed = downFeed{w.primary}
	if _, err := e.Pass(t.Context(), replication.PassOptions{Trigger: "test"}); err == nil || w.record().Progress.LastError == nil {
		t.Errorf("a failure: %v, recorded %v", err, w.record().Progress.LastError)
	}
	w.pass()
	if st := w.record(); st.Progress.LastError != nil || st.Status() != replication.Synced {
		t.Errorf("status %s after it, last error %v", st.Status(), st.Progress.LastError)
	}
}

// A busy server changes nodes all the time.
func TestChangesOfOtherKindsOnlyMoveThePosition(t *testing.T) {
	w := newWorld(t)
	w.pair.Kinds = []object.Kind{object.Role}
	w.fill()
	w.pass()
	w.primary.Set("/environments/prod", "changed")
	w.primary.Calls, w.replica.Calls = 0, 0
	w.pass()
	if w.primary.Calls != 1 || w.replica.Calls != 0 || w.record().Lease.Fence != 1 {
		t.Errorf("%d calls to the primary, %d to the replica, fence %d; want the poll alone", w.primary.Calls, w.replica.Calls, w.record().Lease.Fence)
	}
	if got := w.record().Progress.Position.Seq; got != 10 {
		t.Errorf("position %d, want 10", got)
	}
}

func TestOneChangedRoleCostsTwoReadsAndOneWrite(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Calls, w.replica.Calls = 0, 0
	w.primary.Set("/roles/web", "web, changed")
	run := w.pass()
	w.wantEqual()
	if w.primary.Calls != 2 || w.replica.Calls != 2 || run.Counts.Updated != 1 {
		t.Errorf("%d calls to the primary, %d to the replica, %+v; want the poll and one read, and one read for undo and one write", w.primary.Calls, w.replica.Calls, run.Counts)
	}
}

func TestChangesAndDeletionsFollow(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/db", "db")
	w.primary.Set("/cookbooks/apt/1.1.0", "apt2, uploaded again", "recipe3")
	w.primary.Set("/data/users/carol", "carol")
	w.primary.Unset("/roles/web")
	w.primary.Unset("/cookbooks/apt/1.0.0")
	w.primary.Unset("/data/users/bob")
	w.pass()
	w.wantEqual()
	// Gone and back between two polls, and the other way round.
	w.primary.Unset("/roles/base")
	w.primary.Set("/roles/base", "base, again")
	w.primary.Set("/roles/short", "lived")
	w.primary.Unset("/roles/short")
	w.pass()
	w.wantEqual()
}

func TestDeletingABagDeletesItsItems(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Unset("/data/users")
	w.pass()
	w.wantEqual()
	if n := w.record().Progress.Objects; n != 6 {
		t.Errorf("%d objects are recorded, want 6", n)
	}
}

func TestABagWithForeignItemsIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/data/users/local", "put there by hand")
	w.primary.Unset("/data/users")
	w.pass()
	if _, there := w.replica.Snapshot()["/data/users/local"]; !there {
		t.Fatal("an item that replication did not create was deleted with its bag")
	}
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/data/users" {
		t.Errorf("unsynced = %+v, want the bag", u)
	}
}

func TestPruneDecidesWhatACompareDeletes(t *testing.T) {
	for _, c := range []struct {
		prune            replication.Prune
		keepOld, keepOwn bool
	}{{replication.PruneReplicated, false, true}, {replication.PruneAll, false, false}, {replication.PruneNone, true, true}} {
		t.Run(string(c.prune), func(t *testing.T) {
			w := newWorld(t)
			w.pair.Prune = c.prune
			w.fill()
			w.pass()
			w.replica.Set("/roles/own", "of the replica")
			w.primary.Unset("/roles/web")
			w.direct(replication.DesiredChange{Resync: new(w.now())})
			w.pass()
			_, old := w.replica.Snapshot()["/roles/web"]
			_, own := w.replica.Snapshot()["/roles/own"]
			if old != c.keepOld || own != c.keepOwn {
				t.Errorf("kept the object gone from the primary: %v, the replica's own: %v; want %v, %v", old, own, c.keepOld, c.keepOwn)
			}
		})
	}
}

func TestKindsThatAreNotSelectedAreNeverTouched(t *testing.T) {
	w := newWorld(t)
	w.pair.Kinds = []object.Kind{object.Role}
	w.pair.Prune = replication.PruneAll
	w.fill()
	w.replica.Set("/environments/theirs", "theirs")
	w.pass()
	w.primary.Set("/environments/prod", "changed")
	w.primary.Set("/data/users/alice", "changed")
	w.pass()
	got := w.replica.Snapshot()
	if len(got) != 3 || got["/roles/web"] == "" || got["/environments/theirs"] == "" {
		t.Errorf("replica holds %v, want two roles and its own environment", got)
	}
}

func TestAResyncRepairsTheReplica(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/roles/web", "edited on the replica")
	w.replica.Unset("/roles/base")
	w.pass()
	if w.replica.Snapshot()["/roles/base"] != "" {
		t.Fatal("an empty poll looked at the replica")
	}
	w.direct(replication.DesiredChange{Resync: new(w.now())})
	run := w.pass()
	w.wantEqual()
	if run.Counts.Created != 1 || run.Counts.Updated != 1 {
		t.Errorf("counts = %+v, want one created and one updated: equal objects are not written", run.Counts)
	}
	w.primary.Calls = 0
	w.pass()
	if w.primary.Calls != 1 {
		t.Errorf("the resync was done again: %d calls", w.primary.Calls)
	}
}

func TestAResyncAskedForDuringACompareIsDoneAfterIt(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.direct(replication.DesiredChange{Resync: new(w.now())})
	asked := false
	w.replica.Refuse = func(op string, _ object.Ref) error {
		if op == "get" && !asked {
			asked = true
			w.advance(time.Second)
			w.direct(replication.DesiredChange{Resync: new(w.now())})
			w.advance(time.Second)
		}
		return nil
	}
	w.pair.Concurrency = 1
	w.pass()
	if run := w.pass(); run.Mode != "compare" {
		t.Errorf("mode %q: the second request was lost", run.Mode)
	}
	if run := w.pass(); run.Mode == "compare" {
		t.Error("it was done twice")
	}
}

func TestWhatTheReplicaHoldsAlreadyIsAdopted(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.replica.Set("/roles/web", "web")
	w.replica.Set("/roles/base", "another base")
	w.pass()
	w.wantEqual()
	if w.replica.Writes != 8 {
		t.Errorf("%d writes, want 8: the equal role is not written", w.replica.Writes)
	}
	w.primary.Unset("/roles/web")
	w.pass()
	w.wantEqual()
}

func TestAPrimaryWithoutAFeedIsComparedRegularly(t *testing.T) {
	w := newWorld(t)
	w.primary.NoFeed = true
	w.fill()
	w.pass()
	w.wantEqual()
	w.primary.Set("/roles/web", "changed")
	w.primary.Calls, w.replica.Calls = 0, 0
	w.pass()
	if w.primary.Calls != 0 {
		t.Errorf("%d calls before the compare is due, want none", w.primary.Calls)
	}
	w.advance(15 * time.Minute)
	run := w.pass()
	w.wantEqual()
	if run.Counts.Updated != 1 {
		t.Errorf("counts = %+v, want one update", run.Counts)
	}
	w.advance(15 * time.Minute)
	w.replica.Writes = 0
	w.pass()
	if w.replica.Writes != 0 {
		t.Errorf("%d writes in a compare of equal sides", w.replica.Writes)
	}
}

// A row that a feed never shows is made good by the next full comparison.
func TestWhatTheFeedLosesIsFoundInTime(t *testing.T) {
	w := newWorld(t)
	w.pair.ReconcileEvery = 24 * time.Hour
	w.fill()
	w.pass()
	w.primary.Set("/roles/lost", "its row never shows")
	w.primary.Hide()
	w.pass()
	w.advance(24 * time.Hour)
	run := w.pass()
	w.wantEqual()
	if run.Mode != "compare" || run.Counts.Created != 1 {
		t.Errorf("run %+v, want a compare that found the role", run)
	}
	w.primary.Calls = 0
	w.pass()
	if w.primary.Calls != 1 {
		t.Errorf("%d calls after it, want a poll", w.primary.Calls)
	}
}

func TestManyChangesAtOnceAreCompared(t *testing.T) {
	w := newWorld(t)
	w.tuning.Backlog = 5
	w.fill()
	w.pass()
	for _, n := range []string{"a", "b", "c", "d", "e", "f"} {
		w.primary.Set("/roles/"+n, n)
	}
	w.primary.Unset("/roles/web")
	run := w.pass()
	w.wantEqual()
	if run.Mode != "compare" {
		t.Errorf("mode %s, want compare", run.Mode)
	}
	w.wantStatus(replication.Synced)
}

func TestFilesAreReadFromThePrimaryOnceForAllReplicas(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	puts := w.stage.Puts
	other := newWorld(t)
	other.primary, other.stage, other.pair.ID.Replica = w.primary, w.stage, "us"
	other.pass()
	other.wantEqual()
	if w.stage.Puts != puts || puts != 4 {
		t.Errorf("staged %d files, then %d; want 4 once", puts, w.stage.Puts)
	}
}

func TestAPreviewSaysWhatThePassDoesAndWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.fill()
	plan, err := w.engine().Preview(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Writes() != 9 || w.replica.Writes != 0 || w.record().Lease.Fence != 0 {
		t.Fatalf("plan with %d writes, %d done; want 9 and none", plan.Writes(), w.replica.Writes)
	}
	w.pass()
	w.primary.Unset("/roles/web")
	w.primary.Set("/roles/base", "changed")
	plan, err = w.engine().Preview(context.Background(), false)
	if err != nil || plan.Writes() != 2 || plan.Deletes() != 1 {
		t.Fatalf("plan %+v, %v; want an update and a deletion", plan.Steps, err)
	}
	if run := w.pass(); run.Counts.Updated != 1 || run.Counts.Deleted != 1 {
		t.Errorf("the pass did %+v", run.Counts)
	}
}

// A kind comes whole before those that refer to it, whatever the windows are.
func TestACompareWritesReferencedKindsFirst(t *testing.T) {
	for window := range 4 {
		w := newWorld(t)
		w.tuning.Window = window + 1
		w.fill()
		order := w.order()
		w.pass()
		w.wantEqual()
		last := mustRef("/data/users")
		for _, line := range *order {
			ref := mustRef(line[len("put "):])
			if object.Compare(ref, last) < 0 {
				t.Errorf("window %d: %s was written after %s", window+1, ref, last)
			}
			last = ref
		}
		if len(*order) != len(w.primary.Snapshot()) {
			t.Errorf("window %d: wrote %q", window+1, *order)
		}
	}
}
