package replication_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// One bad object doesn't hold up the others.
func TestABadObjectIsUnsyncedAndRetried(t *testing.T) {
	w := newWorld(t)
	w.fill()
	bad := true
	w.replica.Refuse = func(op string, ref object.Ref) error {
		if bad && op == "put" && ref.Path() == "/roles/web" {
			return &fault.Error{Op: "write", Object: ref, Server: "eu", Class: fault.Rejected, Hint: "make it smaller", Err: errors.New("413: too large")}
		}
		return nil
	}
	first := w.now()
	run := w.pass()
	w.wantOutcome(run, replication.OutcomePartial)
	w.wantStatus(replication.Retrying)
	if p := w.record().Progress; run.Left != 1 || !p.UnsyncedSince.Equal(first) {
		t.Errorf("%d objects left, unsynced since %s; want 1 since %s", run.Left, p.UnsyncedSince, first)
	}
	u := w.unsynced()
	if len(u) != 1 || u[0].Attempts != 1 || u[0].Hint != "make it smaller" || len(w.replica.Snapshot()) != 8 {
		t.Fatalf("unsynced %+v with %d objects on the replica; want only the role unsynced", u, len(w.replica.Snapshot()))
	}
	if pos := w.record().Progress.Position; pos == nil || pos.Seq != 9 {
		t.Fatalf("position %+v, want 9: what is recorded as unsynced is passed", pos)
	}
	fence := w.record().Lease.Fence
	w.pass()
	if got := w.unsynced()[0].Attempts; got != 1 || w.record().Lease.Fence != fence {
		t.Fatalf("%d attempts a minute later, fence %d → %d; want it to wait without a lease", got, fence, w.record().Lease.Fence)
	}
	w.advance(10 * time.Minute)
	w.pass()
	if got := w.unsynced()[0].Attempts; got != 2 {
		t.Fatalf("%d attempts, want a second", got)
	}
	if p := w.record().Progress; !p.UnsyncedSince.Equal(first) || !p.LastSuccess.After(first) {
		t.Errorf("unsynced since %s, last success %s; want since the first attempt, %s", p.UnsyncedSince, p.LastSuccess, first)
	}
	if run := w.pass(); run.Outcome != replication.OutcomePartial || run.Left != 1 || run.Mode != "" {
		t.Errorf("a poll that finds nothing to do: %+v, want it partial: an object is left", run)
	}
	bad = false
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
	if p := w.record().Progress; !p.UnsyncedSince.IsZero() {
		t.Errorf("unsynced since %s, although nothing is", p.UnsyncedSince)
	}
}

func TestTheOperatorCanAskForARetryAtOnce(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.replica.Refuse = func(op string, ref object.Ref) error {
		if op == "put" && ref.Path() == "/roles/web" {
			return refused(fault.Rejected)
		}
		return nil
	}
	w.pass()
	w.replica.Refuse = nil
	w.direct(replication.DesiredChange{Retry: new(w.now())})
	w.pass()
	w.wantEqual()
	w.primary.Calls = 0
	w.pass()
	if w.primary.Calls != 1 {
		t.Errorf("the request was honored twice: %d calls", w.primary.Calls)
	}
}

func TestTheOperatorCanNameWhatToRetry(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.replica.Refuse = func(op string, ref object.Ref) error {
		if op == "put" && ref.Kind == object.Role {
			return refused(fault.Rejected)
		}
		return nil
	}
	w.pass()
	w.replica.Refuse = nil
	w.direct(replication.DesiredChange{Retry: new(w.now()), RetryOnly: []object.Ref{mustRef("/roles/web")}})
	w.pass()
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/roles/base" || u[0].Attempts != 1 {
		t.Errorf("unsynced %+v, want the role that was not named", u)
	}
}

func TestAServerThatRefusesUsBlocksThePairAndIsTriedSlowly(t *testing.T) {
	for _, c := range []struct {
		class  fault.Class
		status replication.Status
	}{{fault.Denied, replication.Blocked}, {fault.Foreign, replication.Blocked}, {fault.Unreachable, replication.Retrying}} {
		t.Run(string(c.class), func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.pass()
			w.primary.Set("/roles/web", "changed")
			w.replica.Refuse = func(string, object.Ref) error { return refused(c.class) }
			run, err := w.engine().Pass(context.Background(), replication.PassOptions{Trigger: replication.TriggerSchedule})
			if err == nil || run.Outcome != replication.OutcomeFailed {
				t.Fatalf("outcome %s, %v; want a failure", run.Outcome, err)
			}
			w.wantStatus(c.status)
			p := w.record().Progress
			if p.Position.Seq != 9 || p.Unsynced != 0 || p.LastError.Class != c.class || !p.LastSuccess.Before(p.LastAttempt) {
				t.Fatalf("progress %+v: want the position kept, nothing unsynced, and a success older than the attempt", p)
			}
			w.primary.Calls = 0
			run, _ = w.engine().Pass(context.Background(), replication.PassOptions{Trigger: replication.TriggerSchedule})
			if run.Outcome != replication.OutcomeWaiting || w.primary.Calls != 0 {
				t.Errorf("outcome %s with %d calls; want it to wait for its time", run.Outcome, w.primary.Calls)
			}
			w.replica.Refuse = nil
			w.setClock(p.NextRun)
			w.pass()
			w.wantEqual()
			w.wantStatus(replication.Synced)
		})
	}
}

func TestAPrimaryThatIsNotTheChefServerEmptiesNothing(t *testing.T) {
	for _, op := range []string{"feed", "list", "get", "identity"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.pass()
			before := w.replica.Snapshot()
			w.primary.Unset("/roles/web")
			w.direct(replication.DesiredChange{Resync: new(w.now())})
			w.primary.Refuse = func(got string, _ object.Ref) error {
				if got == op || op == "get" && got == "list" {
					return refused(fault.Foreign)
				}
				return nil
			}
			_, err := w.engine().Pass(context.Background(), replication.PassOptions{})
			if err == nil {
				t.Fatal("the pass succeeded")
			}
			w.wantStatus(replication.Blocked)
			if len(w.replica.Snapshot()) != len(before) {
				t.Fatal("objects were deleted")
			}
			w.primary.Refuse = nil
			w.pass()
			w.wantEqual()
		})
	}
}

// A proxy may refuse one object only: the server still answers other requests.
func TestARefusalOfOneObjectByAProxyIsThatObjectsTrouble(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.replica.Refuse = func(op string, ref object.Ref) error {
		if op == "put" && ref.Path() == "/roles/web" {
			return refused(fault.Foreign)
		}
		return nil
	}
	run := w.pass()
	w.wantOutcome(run, replication.OutcomePartial)
	if u := w.unsynced(); len(u) != 1 || !strings.Contains(u[0].Reason, "the replica answers, but not for this object") {
		t.Errorf("unsynced %+v", u)
	}
}

func TestAServerThatKeepsFailingEndsThePass(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.primary.Set(fmt.Sprintf("/roles/r%03d", i), "x")
	}
	w.replica.Refuse = func(op string, _ object.Ref) error {
		if op == "put" {
			return refused(fault.Transient)
		}
		return nil
	}
	if _, err := w.engine().Pass(context.Background(), replication.PassOptions{}); err == nil {
		t.Fatal("the pass went on through 100 failures")
	}
	if n := len(w.unsynced()); n == 0 || n > 10 {
		t.Errorf("%d objects unsynced, want a handful before the server counts as failing", n)
	}
	w.replica.Refuse = nil
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
}

// One listing fails, the other kinds go on, and nothing is deleted.
func TestAListingThatFailsAloneIsUnsynced(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.primary.Refuse = func(op string, ref object.Ref) error {
		if op == "list" && ref.Kind == object.Role {
			return refused(fault.Rejected)
		}
		return nil
	}
	w.pass()
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/roles" {
		t.Fatalf("unsynced %+v, want the listing of roles", u)
	}
	if n := len(w.replica.Snapshot()); n != 7 {
		t.Fatalf("%d objects on the replica, want all but the roles", n)
	}
	w.primary.Refuse = nil
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

func TestABagThatCannotBeListedIsThatBagsTrouble(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.primary.Set("/data/secret/x", "x")
	w.pass()
	w.primary.Refuse = func(op string, ref object.Ref) error {
		if ref.Name == "secret" {
			return refused(fault.Rejected)
		}
		return nil
	}
	w.primary.Unset("/roles/web")
	w.direct(replication.DesiredChange{Resync: new(w.now())})
	run := w.pass()
	if run.Left != 2 || run.Counts.Deleted != 1 || w.replica.Snapshot()["/data/secret/x"] == "" {
		t.Fatalf("run %+v: want the role deleted, and the bag and the listing of its items kept", run)
	}
	w.primary.Refuse = nil
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

func TestAMassDeletionIsHeldUntilTheOperatorApproves(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.primary.Set(fmt.Sprintf("/roles/r%02d", i), "x")
	}
	w.pass()
	for i := range 21 {
		w.primary.Unset(fmt.Sprintf("/roles/r%02d", i))
	}
	w.primary.Set("/roles/new", "x")
	w.replica.Writes = 0
	for range 3 {
		run, err := w.engine().Pass(context.Background(), replication.PassOptions{})
		if run.Outcome != replication.OutcomeHeld {
			t.Fatalf("outcome %s, %v", run.Outcome, err)
		}
		w.advance(time.Minute)
	}
	w.wantStatus(replication.Held)
	if w.replica.Writes != 1 {
		t.Fatalf("%d writes, want the new role alone", w.replica.Writes)
	}
	few := 20
	w.direct(replication.DesiredChange{AllowDeletes: &few})
	w.advance(time.Second)
	w.engine().Pass(context.Background(), replication.PassOptions{})
	w.wantStatus(replication.Held)
	enough := w.record().Progress.Hold.Deletes
	w.advance(time.Second)
	w.direct(replication.DesiredChange{AllowDeletes: &enough})
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
	for i := 21; i < 40; i++ {
		w.primary.Unset(fmt.Sprintf("/roles/r%02d", i))
	}
	w.engine().Pass(context.Background(), replication.PassOptions{})
	w.wantStatus(replication.Held) // the word was good for one pass
}

func TestAPrimaryThatListsNothingIsHeld(t *testing.T) {
	w := newWorld(t)
	w.primary.NoFeed = true
	w.pair.MaxDelete = replication.Limit{Percent: 100}
	w.fill()
	w.pass()
	emptied := newWorld(t).primary
	emptied.ID, emptied.NoFeed = w.primary.ID, true
	w.primary = emptied
	w.advance(time.Hour)
	run, _ := w.engine().Pass(context.Background(), replication.PassOptions{})
	w.wantOutcome(run, replication.OutcomeHeld)
	if n := len(w.replica.Snapshot()); n != 9 {
		t.Errorf("%d objects left on the replica, want all 9", n)
	}
}

func TestAFeedThatStartsAgainIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "changed before the reset")
	w.primary.Restart()
	w.primary.Set("/roles/base", "changed after the reset")
	run := w.pass()
	w.wantEqual()
	if run.Mode != "compare" || w.record().Progress.Position.Seq != 1 {
		t.Errorf("mode %s, position %+v; want a compare and the new feed's position", run.Mode, w.record().Progress.Position)
	}
	// Grown past the old position, but with other rows.
	w.primary.Restart()
	for i := range 5 {
		w.primary.Set(fmt.Sprintf("/roles/n%d", i), "x")
	}
	if run := w.pass(); run.Mode != "compare" {
		t.Errorf("mode %s, want a compare: row 1 is another one", run.Mode)
	}
	w.wantEqual()
}

func TestAnotherPrimaryIsNotTrusted(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.ID = "another"
	w.primary.Set("/roles/web", "changed")
	w.advance(2 * time.Hour)
	if run := w.pass(); run.Mode != "compare" || w.record().Progress.Position.Identity != "another" {
		t.Errorf("mode %s, position %+v; want a compare", run.Mode, w.record().Progress.Position)
	}
}

// Ids can become visible out of order.
func TestARowThatBecomesVisibleLateIsNotLost(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/late", "late")
	show := w.primary.Hide()
	w.primary.Set("/roles/early", "early")
	w.pass()
	if w.replica.Snapshot()["/roles/late"] != "" || w.replica.Snapshot()["/roles/early"] == "" {
		t.Fatal("the hidden row was seen, or the visible one wasn't")
	}
	show()
	w.pass()
	w.wantEqual()
}

func TestACookbookThatChangesWhileItIsCopiedIsReadAgain(t *testing.T) {
	w := newWorld(t)
	w.fill()
	changed := false
	w.replica.Refuse = func(op string, ref object.Ref) error {
		if op == "upload" && ref.Path() == "/cookbooks/apt/1.0.0" && !changed {
			changed = true
			w.primary.Set("/cookbooks/apt/1.0.0", "apt1, uploaded again", "another recipe")
		}
		return nil
	}
	w.pass()
	w.wantEqual()
	if len(w.unsynced()) != 0 {
		t.Errorf("unsynced %+v", w.unsynced())
	}
}

// What was written with an answer that was lost is believed to be there, so that it
// goes when the primary drops it.
func TestAWriteWithoutAnAnswerIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Lose = func(string, object.Ref) error { return refused(fault.Transient) }
	w.primary.Set("/roles/new", "new")
	w.pass()
	if u := w.unsynced(); len(u) != 1 || w.replica.Snapshot()["/roles/new"] == "" {
		t.Fatalf("unsynced %+v; want the role written, its result unknown", u)
	}
	w.replica.Lose = nil
	w.primary.Unset("/roles/new")
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// What was written with an answer that was lost is looked at before it is
// written again.
func TestAWriteWithoutAnAnswerIsNotRepeatedBlindly(t *testing.T) {
	w := newWorld(t)
	w.replica.Lose = func(string, object.Ref) error { return refused(fault.Transient) }
	w.primary.Set("/roles/new", "new")
	w.pass()
	w.replica.Lose = nil
	writes := w.replica.Writes
	w.direct(replication.DesiredChange{Retry: new(w.now())})
	w.pass()
	w.wantStatus(replication.Synced)
	if w.replica.Writes != writes {
		t.Errorf("an equal object was written again")
	}
}

// An object that a resync could not look at isn't believed to be equal later.
func TestAResyncThatCouldNotLookAtAnObjectLooksLater(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/roles/web", "edited on the replica")
	w.primary.Refuse = func(op string, ref object.Ref) error {
		if op == "get" && ref.Path() == "/roles/web" {
			return refused(fault.Rejected)
		}
		return nil
	}
	w.direct(replication.DesiredChange{Resync: new(w.now())})
	w.pass()
	w.primary.Refuse = nil
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
}

func TestAListingThatFailsHoldsNoOtherKind(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.primary.Set(fmt.Sprintf("/roles/r%d", i), "x")
	}
	w.fill()
	w.pass()
	w.primary.Set("/environments/prod", "changed")
	w.primary.Refuse = func(op string, ref object.Ref) error {
		if op == "list" && ref.Kind == object.Role {
			return refused(fault.Rejected)
		}
		return nil
	}
	w.direct(replication.DesiredChange{Resync: new(w.now())})
	run := w.pass()
	if run.Left != 1 || run.Counts.Updated != 1 {
		t.Errorf("run %+v; want the environment updated although roles can't be listed", run)
	}
}

func TestDamagedContentOnThePrimaryIsUnsynced(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.primary.Corrupt("recipe")
	w.pass()
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/cookbooks/apt/1.0.0" || u[0].Class != fault.Rejected {
		t.Fatalf("unsynced %+v, want the cookbook version with the damaged file", u)
	}
	if torn := w.replica.Broken(); len(torn) > 0 {
		t.Errorf("torn on the replica: %v", torn)
	}
}
