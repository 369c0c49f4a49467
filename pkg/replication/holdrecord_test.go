package replication_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func TestAPruneRuleThatKeepsEndsTheHold(t *testing.T) {
	w := mass(t)
	for _, p := range w.paths("/roles/") {
		w.primary.Unset(p)
	}
	w.run()
	w.wantStatus(replication.Held)
	w.pair.Prune = replication.PruneNone
	w.run()
	w.wantStatus(replication.Synced)
	if len(w.unsynced()) != 0 || w.roles() != 200 {
		t.Errorf("%d records, %d roles", len(w.unsynced()), w.roles())
	}
}

// The rule "all" asked to delete what others put on the replica, and nobody approved it.
func TestAHoldEndsWithThePruneRuleThatItIsFor(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneAll
	for i := range 4 {
		w.replica.Set(fmt.Sprintf("/roles/theirs%d", i), "theirs")
	}
	w.primary.Set("/environments/ours", "ours")
	w.run()
	w.wantStatus(replication.Held)
	w.pair.Prune = replication.PruneReplicated
	if !w.pair.WorkRecorded(w.record(), w.now()) {
		t.Error("the record doesn't say that the next pass has something to do")
	}
	w.run()
	w.wantStatus(replication.Synced)
	if w.roles() != 4 || w.pair.WorkRecorded(w.record(), w.now()) {
		t.Errorf("%d roles, want all 4 kept and nothing left to do", w.roles())
	}
}

// An older version held the whole pass and kept no records.
func TestAHoldOfAnOlderVersionIsTakenUp(t *testing.T) {
	w := mass(t)
	for _, p := range w.paths("/roles/") {
		w.primary.Unset(p)
	}
	st := w.record()
	st.Progress.Status = replication.Held
	st.Progress.Hold = &replication.Hold{At: w.now(), Reason: "200 of 511 objects would be deleted", Deletes: 200}
	if err := w.state.SaveProgress(context.Background(), pairID, st.Lease.Fence, w.now(), st.Progress); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Minute)
	w.run()
	if h := w.hold(); h.Deletes != 200 || h.Records != 200 || w.roles() != 200 {
		t.Errorf("hold %+v", h)
	}

	// That of a verification left nothing to do for a pass.
	w = mass(t)
	st = w.record()
	st.Progress.Status, st.Progress.Hold = replication.Held, &replication.Hold{At: w.now(), Reason: "repairing", Deletes: 60}
	if err := w.state.SaveProgress(context.Background(), pairID, st.Lease.Fence, w.now(), st.Progress); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Minute)
	w.run()
	w.wantStatus(replication.Synced)
}

// The plan shows what would be held and what is, and that it would be deleted once
// it is approved.
func TestThePlanShowsHeldDeletions(t *testing.T) {
	w := mass(t)
	plan := func() replication.Plan {
		t.Helper()
		p, err := w.engine().Preview(context.Background(), false)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	counts := func(p replication.Plan) map[replication.Action]int {
		n := map[replication.Action]int{}
		for _, s := range p.Steps {
			n[s.Action]++
		}
		return n
	}
	for _, p := range w.paths("/roles/") {
		w.primary.Unset(p)
	}
	w.primary.Set("/environments/new", "new")
	p := plan()
	if n := counts(p); n[replication.ActionHold] != 200 || n[replication.ActionCreate] != 1 || p.Deletes() != 0 || p.Hold == nil || p.Hold.Deletes != 200 || len(p.Failed) != 0 {
		t.Errorf("before the pass: %v, hold %+v", n, p.Hold)
	}
	w.run()
	p = plan()
	if n := counts(p); n[replication.ActionHold] != 200 || p.Hold == nil {
		t.Errorf("while it is held: %v, hold %+v", n, p.Hold)
	}
	w.allow(200)
	p = plan()
	if n := counts(p); n[replication.ActionDelete] != 200 || n[replication.ActionHold] != 0 || p.Hold != nil {
		t.Errorf("once it is approved: %v, hold %+v", n, p.Hold)
	}
}

// A pass that ends early goes on with the approval.
func TestAnApprovalOutlivesABrokenPass(t *testing.T) {
	w := mass(t)
	for _, p := range w.paths("/roles/") {
		w.primary.Unset(p)
	}
	w.run()
	w.allow(200)
	deleted := 0
	w.replica.Refuse = func(op string, _ object.Ref) error {
		if op == "delete" {
			if deleted++; deleted > 120 {
				return refused(fault.Denied)
			}
		}
		if deleted > 120 && op == "list" {
			return refused(fault.Denied)
		}
		return nil
	}
	if _, err := w.engine().Pass(context.Background(), replication.PassOptions{}); err == nil || w.roles() == 200 || w.roles() == 0 {
		t.Fatalf("%v, %d roles are left; want the pass to fail in the middle", err, w.roles())
	}
	w.replica.Refuse = nil
	w.advance(30 * time.Minute)
	w.run()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// An object whose deletion got no answer may be gone: it isn't counted as one that is left.
func TestTheLastObjectIsHeldThoughTheFateOfAnotherIsUnknown(t *testing.T) {
	w := newWorld(t)
	w.pair.MaxDelete = replication.Limit{Percent: 100}
	w.primary.Set("/roles/a", "1")
	w.primary.Set("/roles/b", "1")
	w.pass()
	w.primary.Unset("/roles/a")
	w.replica.Lose = func(string, object.Ref) error { return refused(fault.Transient) }
	w.pass()
	w.replica.Lose = nil
	w.primary.Unset("/roles/b")
	w.advance(-59 * time.Second) // the first deletion isn't due again
	w.wantOutcome(w.pass(), replication.OutcomeHeld)
	if w.replica.Snapshot()["/roles/b"] == "" {
		t.Error("the organization was emptied without approval")
	}
}

// What others added on the replica, and the drift rule leaves there, doesn't make up for what
// is deleted: neither for all objects of the organization, nor for all of a kind.
func TestWhatTheDriftRuleLeavesMakesUpForNothing(t *testing.T) {
	for name, left := range map[string][]string{"nothing": nil, "an environment": {"/environments/prod"}} {
		w := newWorld(t)
		w.primary.NoFeed = true
		w.pair.Prune = replication.PruneAll
		if left == nil {
			w.pair.MaxDelete = replication.Limit{Percent: 100}
		}
		roles := []string{"/roles/a", "/roles/b", "/roles/c"}
		for _, path := range append(roles, left...) {
			w.primary.Set(path, "1")
		}
		w.pass()
		w.replica.Set("/roles/own", "of the replica")
		before := w.replica.Snapshot()
		for _, path := range roles {
			w.primary.Unset(path)
		}
		w.advance(time.Hour)
		if run := w.run(); run.Outcome != replication.OutcomeHeld || run.Counts.Drift != 1 {
			t.Errorf("%s is left on the primary: %+v, want the deletions held", name, run)
		}
		w.wantReplica(before)
	}
}

// What could not be written over objects of the replica's own, and is gone from the primary,
// is drift like other objects of theirs: the rule leaves it, uncounted by the brake.
func TestWhatCouldNotBeReplacedIsLeftByTheDriftRule(t *testing.T) {
	w := newWorld(t)
	w.primary.NoFeed, w.pair.Prune = true, replication.PruneAll
	w.fill()
	for i := range 60 {
		w.replica.Set(fmt.Sprintf("/roles/r%02d", i), "theirs")
		w.primary.Set(fmt.Sprintf("/roles/r%02d", i), "ours")
	}
	w.replica.Refuse = func(op string, r object.Ref) error {
		if op == "put" && strings.HasPrefix(r.Name, "r") {
			return refused(fault.Rejected)
		}
		return nil
	}
	w.run()
	if n := len(w.unsynced()); n != 60 {
		t.Fatalf("%d unsynced objects, want 60", n)
	}
	w.replica.Refuse = nil
	for i := range 60 {
		w.primary.Unset(fmt.Sprintf("/roles/r%02d", i))
	}
	w.advance(time.Hour)
	run := w.run()
	if got := w.roles(); got != 62 || run.Counts.Drift != 60 || len(w.unsynced()) != 0 {
		t.Errorf("%d roles are left of 62, drift %d, unsynced %v", got, run.Counts.Drift, w.unsynced())
	}

	w.pair.Drift = replication.DriftRepair
	w.advance(time.Hour)
	w.run()
	if h := w.hold(); h.Deletes != 60 || w.roles() != 62 {
		t.Errorf("%d roles are left of 62, hold %+v", w.roles(), h)
	}
}

// A record is written with each poll. The names of deleted objects are for the hour.
func TestTheNamesOfDeletedObjectsAreForgottenAfterTheHour(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Unset("/roles/web")
	w.pass()
	if w.record().Progress.Deletions == nil {
		t.Fatal("the deletion isn't counted")
	}
	for range 8 {
		w.advance(10 * time.Minute)
		w.pass()
	}
	if d := w.record().Progress.Deletions; d != nil {
		t.Errorf("80 minutes later the record has %+v", *d)
	}
}

// Holds of the first release don't say what was answered before them. An answer of some
// minutes before was for another hold: nothing is deleted by it, and no primary accepted.
func TestAnAnswerBeforeAHoldOfAnEarlierVersionIsNotForIt(t *testing.T) {
	for name, primary := range map[string]string{"deletions": "#one", "another primary": "#two"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.primary.ID, w.pair.MaxDelete = "https://chef/organizations/o#one", replication.Limit{Count: 1}
			w.fill()
			w.pass()
			none := 0
			w.direct(replication.DesiredChange{AllowDeletes: &none, AcceptPrimary: true})
			w.advance(5 * time.Minute)
			w.primary.ID = "https://chef/organizations/o" + primary
			w.primary.Unset("/roles/base")
			w.primary.Unset("/roles/web")
			w.run()
			st := w.record()
			st.Progress.Hold.LastAnswer = time.Time{}
			if err := w.state.SaveProgress(t.Context(), pairID, st.Lease.Fence, w.now(), st.Progress); err != nil {
				t.Fatal(err)
			}
			w.advance(24 * time.Hour)
			if run := w.run(); run.Outcome != replication.OutcomeHeld || w.hold().At != st.Progress.Hold.At {
				t.Errorf("%+v, and the hold is of %s, want it of %s still", run, w.hold().At, st.Progress.Hold.At)
			}
			w.direct(replication.DesiredChange{AllowDeletes: new(9), AcceptPrimary: true})
			w.advance(time.Second)
			w.run()
			w.run()
			w.wantEqual()
		})
	}
}
