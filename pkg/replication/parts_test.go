package replication_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/replication"
)

// scheduled is a verification that a function with so much time does.
func (w *world) scheduled(allowed time.Duration, repair bool) (replication.Report, error) {
	w.t.Helper()
	deadline := time.Now().Add(allowed)
	r, err := w.live().Verify(context.Background(), replication.VerifyOptions{Trigger: replication.TriggerSchedule, Deadline: deadline, Repair: repair})
	if time.Now().After(deadline) {
		w.t.Fatalf("it ended %s after its deadline", time.Since(deadline))
	}
	return r, err
}

// slowToRead is a world of 100 equal roles that take a second each to read.
func slowToRead(t *testing.T) *world {
	w := slow(t, 100, 0)
	if _, err := w.live().Pass(context.Background(), replication.PassOptions{}); err != nil {
		t.Fatal(err)
	}
	w.primary.Refuse = func(op string, _ replication.Ref) error {
		if op == "get" {
			time.Sleep(time.Second)
		}
		return nil
	}
	w.primary.Calls = 0
	return w
}

// I18: a verification that is longer than its process may run would begin again
// and again, and never end.
func TestAVerificationThatDoesNotFitItsTimeIsDoneInParts(t *testing.T) {
	for name, c := range map[string]struct {
		drift, repair bool
		write         time.Duration
		parts         int // at least
	}{
		"equal": {parts: 4}, "drift": {drift: true, parts: 4}, "repair": {drift: true, repair: true, parts: 4},
		"a repair that doesn't fit either": {drift: true, repair: true, write: 3 * time.Second, parts: 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := slowToRead(t)
				if c.drift {
					for _, i := range []int{1, 2, 3, 90} {
						w.replica.Set(fmt.Sprintf("/roles/r%03d", i), "edited")
					}
					w.replica.Unset("/roles/r050")
					w.replica.Set("/roles/own", "own")
				}
				w.replica.Delay = c.write
				began, parts := time.Now(), 1
				r, err := w.scheduled(40*time.Second, c.repair)
				for ; err == nil && r.Outcome == replication.OutcomePartial && parts < 20; parts++ {
					p := w.record().Progress
					if !p.LastCheck.IsZero() || p.Work != nil || p.Status != replication.Synced || !p.VerifyDue(time.Hour, time.Now()) {
						t.Fatalf("after part %d: %+v", parts, p)
					}
					r, err = w.scheduled(40*time.Second, c.repair)
				}
				p := w.record().Progress
				if err != nil || parts < c.parts || parts == 20 || p.LastCheck.Before(began) || p.Checking != nil || p.VerifyDue(time.Hour, time.Now()) {
					t.Fatalf("%d parts, %+v, %v; progress %+v", parts, r, err, p)
				}
				if c.write == 0 && w.primary.Calls > 140 {
					t.Errorf("%d calls to the primary, want little more than one for each object", w.primary.Calls)
				}
				w.wantSum(r, p, c.drift, c.repair, began)
			})
		})
	}
}

// wantSum wants the sum of all parts.
func (w *world) wantSum(r replication.Report, p replication.Progress, drift, repair bool, began time.Time) {
	w.t.Helper()
	verified := p.LastVerified.Equal(began)
	switch {
	case !drift:
		if !verified || !r.Equal() || r.Outcome != replication.OutcomeDone || r.Kinds[2].Equal != 100 || p.Drift != nil {
			w.t.Errorf("%+v; progress %+v", r, p)
		}
	case !repair:
		if want := (replication.Drift{At: p.Drift.At, Run: p.Drift.Run, Changed: 4, Missing: 1}); *p.Drift != want || r.Differ() != 5 || r.Outcome != replication.OutcomeDiffers || verified {
			w.t.Errorf("drift %+v, report %+v", p.Drift, r)
		}
	default:
		if p.Drift == nil || p.Drift.Left() != 0 || p.Drift.Repaired == 0 || !r.Equal() || verified {
			w.t.Errorf("drift %+v, report %+v", p.Drift, r)
		}
		w.replica.Unset("/roles/own")
		w.wantEqual()
	}
}

// Nobody waits for the answer of a function that a schedule starts, so another may
// be started meanwhile, and both would read two servers whole.
func TestNoVerificationIsStartedBesideAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowToRead(t)
		var other error
		calls, down := 0, false
		w.primary.Refuse = func(op string, ref replication.Ref) error {
			if down {
				return refused(replication.Unreachable)
			}
			if calls++; op == "get" && ref.Path() == "/roles/r003" {
				time.Sleep(10 * time.Minute)
				if w.record().Progress.VerifyDue(time.Hour, time.Now()) {
					t.Error("one is due while one is at work")
				}
				before := calls
				_, other = w.scheduled(time.Hour, false)
				if calls != before {
					t.Error("it read beside the other")
				}
				down = true
			}
			return nil
		}
		if _, err := w.scheduled(time.Hour, false); replication.ClassOf(err) != replication.Unreachable {
			t.Fatalf("%v, want it broken off", err)
		}
		var leased *replication.LeasedError
		if !errors.As(other, &leased) {
			t.Errorf("the other: %v, want it to say that one is at work", other)
		}
		w.primary.Refuse = nil
		if w.record().Progress.VerifyDue(time.Hour, time.Now()) {
			t.Error("one that failed is tried again at once")
		}
		time.Sleep(11 * time.Minute)
		if !w.record().Progress.VerifyDue(time.Hour, time.Now()) {
			t.Error("one that failed is never tried again")
		}
		if r, err := w.scheduled(time.Hour, false); err != nil || !r.Equal() {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// A person wants an answer, not a part of one.
func TestAVerificationOfAPersonIsWholeOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowToRead(t)
		if _, err := w.scheduled(40*time.Second, false); err != nil {
			t.Fatal(err)
		}
		o := replication.VerifyOptions{Trigger: "manual", Deadline: time.Now().Add(40 * time.Second)}
		if r, err := w.live().Verify(t.Context(), o); err == nil || r.Outcome != replication.OutcomePartial || replication.HintOf(err) == "" {
			t.Errorf("in too little time: %+v, %v", r, err)
		}
		if r, err := w.live().Verify(t.Context(), replication.VerifyOptions{Trigger: "manual"}); err != nil || !r.Equal() || r.Kinds[2].Equal != 100 {
			t.Errorf("%+v, %v", r, err)
		}
		if p := w.record().Progress; p.Checking != nil {
			t.Errorf("the part of before is kept: %+v", p.Checking)
		}
	})
}

func TestAVerificationThatCanNotTellWhereItWasBeginsAnew(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	got, err := w.state.Acquire(t.Context(), pairID, "another", w.now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	got.Progress.Checking = &replication.Checking{Started: w.now.Add(-time.Hour), After: "damaged", Differ: 3}
	if err := w.state.Commit(t.Context(), pairID, got.Lease.Fence, w.now, replication.Update{Progress: got.Progress}); err != nil {
		t.Fatal(err)
	}
	if err := w.state.Release(t.Context(), pairID, got.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	r, err := w.engine().Verify(t.Context(), replication.VerifyOptions{Trigger: replication.TriggerSchedule})
	if p := w.record().Progress; err != nil || !r.Equal() || !p.LastVerified.Equal(w.now) || p.Checking != nil {
		t.Errorf("%+v, %v; progress %+v", r, err, p)
	}
}
