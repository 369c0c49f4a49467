package replication_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

const year = 365 * 24 * time.Hour

// ahead runs f with a clock that is a year ahead, and sets it right again.
func (w *world) ahead(f func()) {
	w.advance(year)
	f()
	w.advance(-year)
}

func (w *world) try(trigger replication.Trigger) (replication.Run, error) {
	w.t.Helper()
	run, err := w.engine().Pass(context.Background(), replication.PassOptions{Trigger: trigger})
	w.advance(time.Minute)
	return run, err
}

// A clock that is ahead is refused by the primary, and the next try is put off from
// that time on. Once the clock is right, the pair goes on.
func TestAuditClockAheadAndBack(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.ahead(func() {
		w.primary.Refuse = func(string, object.Ref) error { return refused(fault.Denied) }
		if run, err := w.try(replication.TriggerSchedule); err == nil || run.Outcome != replication.OutcomeFailed {
			t.Fatalf("%s, %v", run.Outcome, err)
		}
		if next := w.record().Progress.NextRun; next.Before(w.now()) {
			t.Fatalf("the next run at %s is not of the future", next)
		}
	})
	w.primary.Refuse = nil
	w.primary.Set("/roles/late", "late")
	if run, err := w.try(replication.TriggerSchedule); err != nil || run.Outcome != replication.OutcomeDone {
		t.Fatalf("with the clock right again: %s, %v", run.Outcome, err)
	}
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// While a pair fails, its waiting times are kept.
func TestAFailingPairStillWaits(t *testing.T) {
	w := newWorld(t)
	w.pass()
	w.primary.Refuse = func(string, object.Ref) error { return refused(fault.Denied) }
	for range 12 {
		if _, err := w.try("manual"); err == nil {
			t.Fatal("a pass without a primary succeeded")
		}
	}
	p := w.record().Progress
	if wait := p.NextRun.Sub(w.now()); wait < 28*time.Minute || wait > 30*time.Minute || !p.NextTry(w.now(), w.pair.Interval).Equal(p.NextRun) {
		t.Errorf("the next try is %s from now; NextTry %s", wait, p.NextTry(w.now(), w.pair.Interval))
	}
	if run, _ := w.try(replication.TriggerSchedule); run.Outcome != replication.OutcomeWaiting {
		t.Errorf("outcome %s before the next try is due", run.Outcome)
	}
}

// Everything that a clock of the future put off is done soon after the clock is right.
func TestWhatAClockOfTheFutureRecordedPutsNothingOff(t *testing.T) {
	t.Run("the retry of an object", func(t *testing.T) {
		w := newWorld(t)
		w.fill()
		w.pass()
		w.ahead(func() {
			w.primary.Set("/roles/web", "new")
			w.replica.Refuse = refuseOne("put", "/roles/web", fault.Rejected)
			w.pass()
		})
		w.replica.Refuse = nil
		w.pass()
		w.wantEqual()
	})
	t.Run("the full comparison", func(t *testing.T) {
		w := newWorld(t)
		w.pair.ReconcileEvery = 24 * time.Hour
		w.fill()
		w.ahead(func() { w.pass() })
		if run := w.pass(); run.Mode != "compare" {
			t.Errorf("mode %q: the last compare is a year ahead", run.Mode)
		}
		if run := w.pass(); run.Mode == "compare" {
			t.Error("it compares again and again")
		}
	})
	t.Run("the compare of a primary without a feed", func(t *testing.T) {
		w := newWorld(t)
		w.primary.NoFeed = true
		w.fill()
		w.ahead(func() { w.pass() })
		w.primary.Set("/roles/web", "new")
		w.pass()
		w.wantEqual()
	})
	t.Run("the identity of the primary", func(t *testing.T) {
		w := newWorld(t)
		w.fill()
		w.pass()
		w.ahead(func() { w.primary.Set("/roles/web", "new"); w.pass() })
		w.primary.Set("/roles/web", "newer")
		w.pass()
		if at := w.record().Progress.IdentityAt; at.After(w.now()) {
			t.Errorf("the identity is believed until an hour after %s", at)
		}
	})
	t.Run("the verification", func(t *testing.T) {
		w := newWorld(t)
		w.fill()
		w.pass()
		w.ahead(func() { w.verify(replication.VerifyOptions{}) })
		if p := w.record().Progress; !p.VerifyDue(24*time.Hour, w.now()) {
			t.Errorf("no verification is due, the last one is of %s", p.LastCheck)
		}
		checking := replication.Progress{LastCompare: w.now().Add(-time.Hour), Checking: &replication.Checking{At: w.now().Add(year)}}
		if !checking.VerifyDue(time.Hour, w.now()) {
			t.Error("a verification of the future locks others out")
		}
	})
	t.Run("the record of a poll", func(t *testing.T) {
		w := newWorld(t)
		w.tuning.RecordPollsEvery = 4 * time.Minute
		w.fill()
		w.ahead(func() { w.pass(); w.advance(10 * time.Minute); w.pass() })
		w.pass()
		if at := w.record().Progress.LastSuccess; at.After(w.now()) {
			t.Errorf("the last success is still of %s", at)
		}
	})
}

// What operators say is heard once, whether their clock or the one that heard them
// before was ahead.
func TestOperatorsAreHeardWhateverTheirClock(t *testing.T) {
	t.Run("a resync asked for in the future is done once", func(t *testing.T) {
		w := newWorld(t)
		w.fill()
		w.pass()
		asked := w.now().Add(year)
		w.direct(replication.DesiredChange{Resync: &asked})
		if run := w.pass(); run.Mode != "compare" {
			t.Fatalf("mode %q, want the compare that was asked for", run.Mode)
		}
		if run := w.pass(); run.Mode == "compare" {
			t.Fatal("it is done again and again")
		}
		w.direct(replication.DesiredChange{Resync: new(w.now())})
		if run := w.pass(); run.Mode != "compare" {
			t.Errorf("mode %q for a resync by a right clock", run.Mode)
		}
	})
	t.Run("a resync asked for in the future resumes where it was interrupted", func(t *testing.T) {
		w := newWorld(t)
		w.tuning.Window = 1
		w.fill()
		w.pass()
		asked := w.now().Add(year)
		w.direct(replication.DesiredChange{Resync: &asked})
		started := w.breakOffAt(6).Started
		w.pass()
		if at := w.record().Progress.LastCompare; !at.Equal(started) {
			t.Errorf("the compare that ended began at %s, want the one of %s to go on", at, started)
		}
	})
	t.Run("a resync after a compare of the future", func(t *testing.T) {
		w := newWorld(t)
		w.fill()
		w.ahead(func() { w.pass() })
		w.replica.Set("/roles/web", "edited")
		w.direct(replication.DesiredChange{Resync: new(w.now())})
		w.pass()
		w.wantEqual()
	})
	t.Run("a resync by a clock that is behind", func(t *testing.T) {
		w := newWorld(t)
		w.fill()
		w.pass()
		w.replica.Set("/roles/web", "edited")
		asked := w.now().Add(-5 * time.Minute)
		w.direct(replication.DesiredChange{Resync: &asked})
		w.pass()
		w.wantEqual()
		if run := w.pass(); run.Mode == "compare" {
			t.Error("it is done again and again")
		}
	})
	t.Run("a resync by a clock that is behind, during a compare", func(t *testing.T) {
		w := newWorld(t)
		w.tuning.Window, w.pair.ReconcileEvery = 1, time.Hour
		w.fill()
		w.pass()
		w.advance(time.Hour)
		w.replica.Set("/data/users/alice", "edited") // behind the cursor, and the rule leaves it
		w.breakOffAt(6)
		asked := w.now().Add(-5 * time.Minute)
		w.direct(replication.DesiredChange{Resync: &asked})
		w.pass()
		w.pass()
		w.wantEqual()
	})
	t.Run("objects to be compared, by a clock that is behind, during a compare", func(t *testing.T) {
		w := newWorld(t)
		w.tuning.Window, w.pair.ReconcileEvery = 1, time.Hour
		w.fill()
		w.pass()
		w.advance(time.Hour)
		w.replica.Set("/data/users/alice", "edited")
		w.breakOffAt(6)
		asked := w.now().Add(-5 * time.Minute)
		w.direct(replication.DesiredChange{ResyncObjectsAt: &asked, ResyncObjects: []object.Ref{mustRef("/data/users/alice")}})
		w.pass()
		w.pass()
		w.wantEqual()
		if asked := w.record().ObjectsAsked(); asked != nil {
			t.Errorf("%v are asked for still", asked)
		}
	})
	t.Run("a retry", func(t *testing.T) {
		w := newWorld(t)
		w.replica.Refuse = refuseOne("put", "/roles/web", fault.Rejected)
		w.fill()
		w.pass()
		soon := w.now().Add(year)
		for range 2 { // by a clock ahead, then by a right one
			w.direct(replication.DesiredChange{Retry: &soon})
			before := w.unsynced()[0].Attempts
			w.pass()
			w.pass()
			if n := w.unsynced()[0].Attempts - before; n != 1 {
				t.Errorf("asked at %s: tried %d times, want once", soon, n)
			}
			soon = w.now()
		}
	})
	t.Run("an allowance of the future allows nothing", func(t *testing.T) {
		w := heldWorld(t)
		at, many := w.now().Add(year), 40
		if err := w.state.ChangeDesired(context.Background(), pairID, replication.DesiredChange{AllowDeletes: &many, At: at}); err != nil {
			t.Fatal(err)
		}
		if run, _ := w.try("manual"); run.Outcome != replication.OutcomeHeld {
			t.Errorf("outcome %s", run.Outcome)
		}
	})
	for _, by := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		t.Run("an allowance of a clock that differs by "+by.String()+" counts, once", func(t *testing.T) {
			w := heldWorld(t)
			for _, n := range []int{0, 5, 40} { // looked at, too few, enough
				at := w.now().Add(by)
				if err := w.state.ChangeDesired(context.Background(), pairID, replication.DesiredChange{AllowDeletes: &n, At: at}); err != nil {
					t.Fatal(err)
				}
				if run := w.pass(); run.Mode == "" {
					t.Errorf("an allowance of %d: %+v", n, run)
				}
				if run := w.pass(); run.Mode != "" {
					t.Errorf("an allowance of %d is looked at again: %+v", n, run)
				}
			}
			w.wantEqual()
			w.holdIt()
		})
	}
	t.Run("an allowance after a hold, and an allowance used, of the future", func(t *testing.T) {
		w := newWorld(t)
		many := 40
		w.ahead(func() {
			w.holdIt()
			w.direct(replication.DesiredChange{AllowDeletes: &many})
			w.pass()
			w.wantEqual()
			w.holdIt()
		})
		w.advance(2 * time.Hour)
		w.direct(replication.DesiredChange{AllowDeletes: &many})
		w.pass()
		w.wantEqual()
	})
}

// breakOffAt breaks off a compare at the n-th object of the primary, and returns what is left.
func (w *world) breakOffAt(n int) *replication.Work {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reads := 0
	w.primary.Refuse = func(op string, _ object.Ref) error {
		if op == "get" {
			if reads++; reads == n {
				cancel()
			}
		}
		return nil
	}
	if _, err := w.engine().Pass(ctx, replication.PassOptions{}); err == nil {
		w.t.Fatal("the compare wasn't broken off")
	}
	w.primary.Refuse = nil
	work := w.record().Progress.Work
	if work == nil || work.After == "" {
		w.t.Fatalf("work %+v", work)
	}
	w.advance(time.Minute)
	return work
}

// heldWorld is a pair that a brake holds.
func heldWorld(t *testing.T) *world {
	w := newWorld(t)
	w.holdIt()
	return w
}

// holdIt makes objects and deletes enough of them that the brake holds the pair.
func (w *world) holdIt() {
	w.t.Helper()
	for i := range 40 {
		w.primary.Set(fmt.Sprintf("/roles/r%02d", i), "x")
	}
	w.pass()
	for i := range 30 {
		w.primary.Unset(fmt.Sprintf("/roles/r%02d", i))
	}
	if run, _ := w.try("manual"); run.Outcome != replication.OutcomeHeld {
		w.t.Fatalf("outcome %s, want it held", run.Outcome)
	}
	w.advance(time.Second)
}
