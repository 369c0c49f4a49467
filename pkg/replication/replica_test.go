package replication_test

import (
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

// rebuild puts another organization in the replica's place.
func (w *world) rebuild(id string) {
	w.replica = replicationtest.NewOrg(id)
}

// replicaDiesAt lets the replica go down at the first write of a kind.
func (w *world) replicaDiesAt(k object.Kind) {
	down := false
	w.replica.Refuse = func(op string, r object.Ref) error {
		if down = down || op == "put" && r.Kind == k; down {
			return refused(fault.Unreachable)
		}
		return nil
	}
}

// A replica that was deleted and made again is empty, and no change of the primary
// says so.
func TestAReplicaThatWasRebuiltEmptyIsFilledAgain(t *testing.T) {
	for name, noFeed := range map[string]bool{"feed": false, "no feed": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.primary.NoFeed = noFeed
			w.pair.CompareEvery = 24 * time.Hour
			w.fill()
			w.replica.ID = "https://eu/organizations/acme#1"
			w.pass()
			w.rebuild("https://eu/organizations/acme#2")
			w.advance(time.Hour)
			run := w.pass()
			w.wantEqual()
			if p := w.record().Progress; run.Mode != "compare" || p.ReplicaNew.IsZero() || p.Drift != nil || p.Replica != w.replica.ID {
				t.Errorf("run %+v, progress %+v", run, p)
			}
			w.replica.Calls = 0
			w.pass()
			if w.replica.Calls != 0 {
				t.Errorf("%d requests to the replica after that, want none for an hour", w.replica.Calls)
			}
		})
	}
}

// A process that dies between noticing and comparing has noticed nothing.
func TestARebuiltReplicaIsNotForgottenWhenTheCompareFails(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.replica.ID = "https://eu/organizations/acme#1"
	w.pass()
	w.rebuild("https://eu/organizations/acme#2")
	w.advance(time.Hour)
	w.primary.Refuse = func(op string, _ object.Ref) error {
		if op == "identity" || op == "list" {
			return refused(fault.Unreachable)
		}
		return nil
	}
	for range 2 {
		if _, err := w.engine().Pass(t.Context(), replication.PassOptions{}); err == nil {
			t.Fatal("no error from a primary that is down")
		}
		w.advance(time.Minute)
	}
	w.primary.Refuse = nil
	w.pass()
	w.wantEqual()
}

// One that is replaced while a compare is under way is compared from the beginning.
func TestAReplicaThatIsReplacedDuringACompareIsComparedFromTheBeginning(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.replica.ID = "https://eu/organizations/acme#1"
	w.tuning.Window = 2
	w.replicaDiesAt(object.Cookbook)
	if _, err := w.engine().Pass(t.Context(), replication.PassOptions{}); err == nil {
		t.Fatal("no error")
	}
	w.rebuild("https://eu/organizations/acme#2")
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
}

// Records of before have no identity of the replica; a server may show its GUID to
// some clients only; goiardi has none.
func TestTheIdentityOfAReplicaIsLearntSilently(t *testing.T) {
	const url = "https://eu/organizations/acme"
	for name, ids := range map[string][]string{
		"old record": {"", url + "#1"}, "no organizations": {url, url}, "GUID shown later": {url, url + "#1"}, "GUID hidden later": {url + "#1", url},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.replica.ID = ids[0]
			w.pass()
			w.replica.ID = ids[1]
			w.advance(time.Hour)
			if run := w.pass(); run.Mode != "" {
				t.Errorf("run %+v, want a poll", run)
			}
			w.advance(time.Hour)
			w.replica.ID = url + "#2"
			run := w.pass()
			if noGUID := ids[0] == ids[1]; (run.Mode == "") != noGUID {
				t.Errorf("of another organization: %+v", run)
			}
		})
	}
}

// lost is a pair whose state was lost while objects were deleted on the primary.
func lost(t *testing.T) *world {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Unset("/roles/base")
	w.primary.Unset("/data/users/bob")
	w.state = store.New(&kvtest.Memory{})
	w.pass()
	return w
}

func (w *world) wantReplicaOnly(n int) {
	w.t.Helper()
	if got := w.record().Progress.ReplicaOnly; got != n {
		w.t.Fatalf("%d objects on the replica only, want %d", got, n)
	}
}

// Without its record, replication can't know that the secret of somebody who left was
// its own: an operator must be notified.
func TestALostStateSaysWhatOnlyTheReplicaHas(t *testing.T) {
	w := lost(t)
	w.wantReplicaOnly(2)
	w.primary.Set("/roles/new", "new")
	w.pass()
	w.wantReplicaOnly(2)

	plan := w.engine()
	plan.Pair.Prune = replication.PruneAll
	if p, err := plan.Preview(t.Context(), true); err != nil || p.Deletes() != 2 {
		t.Errorf("plan %+v, %v", p, err)
	}
	now := w.now()
	w.direct(replication.DesiredChange{Resync: &now, Prune: true})
	w.advance(time.Second)
	if run := w.pass(); run.Counts.Deleted != 2 {
		t.Errorf("run %+v", run)
	}
	w.wantEqual()
	w.wantReplicaOnly(0)
	// It was for once.
	w.replica.Set("/roles/own", "own")
	now = w.now()
	w.direct(replication.DesiredChange{Resync: &now})
	w.advance(time.Second)
	if run := w.pass(); run.Counts.Deleted != 0 {
		t.Errorf("run %+v, want the replica's own role kept", run)
	}
}

func TestOnesWordOrOnesHandEndsTheNoteOfTheReplicasOwn(t *testing.T) {
	for name, decide := range map[string]func(*world){
		`prune = "none"`: func(w *world) { w.pair.Prune = replication.PruneNone },
		"excluded": func(w *world) {
			w.pair.Selection.Exclude = []replication.Pattern{{Kind: object.Role, Name: "base"}, {Kind: object.DataBag, Name: "users", Sub: "bob"}}
		},
		"by hand": func(w *world) { w.replica.Unset("/roles/base"); w.replica.Unset("/data/users/bob") },
	} {
		t.Run(name, func(t *testing.T) {
			w := lost(t)
			decide(w)
			now := w.now()
			w.direct(replication.DesiredChange{Resync: &now})
			w.advance(time.Second)
			w.pass()
			w.wantReplicaOnly(0)
		})
	}
}

// A resync that prunes deletes a bag with items that replication didn't put there, which
// other passes refuse to delete.
func TestAPruneDeletesABagWithItemsOfItsOwn(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/data/own", "own")
	w.replica.Set("/data/own/secret", "secret")
	w.direct(replication.DesiredChange{Resync: new(w.now()), Prune: true})
	w.advance(time.Second)
	if run := w.pass(); run.Counts.Deleted != 2 || run.Left != 0 {
		t.Errorf("run %+v, want the bag and its item deleted", run)
	}
	w.wantEqual()
}

// The brake holds a prune that somebody asked for like any other.
func TestAPruneIsHeldByTheBrake(t *testing.T) {
	w := newWorld(t)
	w.fill()
	for i := range 40 {
		w.replica.Set(fmt.Sprintf("/roles/own%d", i), "own")
	}
	w.pass()
	w.wantReplicaOnly(40)
	now := w.now()
	w.direct(replication.DesiredChange{Resync: &now, Prune: true})
	w.advance(time.Second)
	run, _ := w.engine().Pass(t.Context(), replication.PassOptions{})
	if held := w.record().Progress.Hold; held == nil || held.Deletes != 40 {
		t.Fatalf("run %+v, hold %+v", run, held)
	}
	allow := 40
	w.advance(time.Second)
	w.direct(replication.DesiredChange{AllowDeletes: &allow})
	w.advance(time.Second)
	w.pass()
	w.wantEqual()
	w.wantReplicaOnly(0)
}
