package replication_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// scheduled is a verification that a function with that much time does.
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
	w.primary.Refuse = func(op string, _ object.Ref) error {
		if op == "get" {
			time.Sleep(time.Second)
		}
		return nil
	}
	w.primary.Calls = 0
	return w
}

// A verification that is longer than its process may run would begin again and
// again, and never end.
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
		w.primary.Refuse = func(op string, ref object.Ref) error {
			if down {
				return refused(fault.Unreachable)
			}
			if calls++; op == "get" && ref.Path() == "/roles/r003" {
				time.Sleep(10 * time.Minute)
				if !w.record().Progress.Checking.UnderWay(time.Now()) {
					t.Error("it isn't recorded as under way")
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
		if _, err := w.scheduled(time.Hour, false); fault.ClassOf(err) != fault.Unreachable {
			t.Fatalf("%v, want it broken off", err)
		}
		var leased *replication.LeasedError
		if !errors.As(other, &leased) {
			t.Errorf("the other: %v, want it to say that one is running", other)
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

// An operator wants an answer, not a part of one.
func TestAVerificationByACommandIsWholeOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowToRead(t)
		if _, err := w.scheduled(40*time.Second, false); err != nil {
			t.Fatal(err)
		}
		o := replication.VerifyOptions{Trigger: "manual", Deadline: time.Now().Add(40 * time.Second)}
		if r, err := w.live().Verify(t.Context(), o); err == nil || r.Outcome != replication.OutcomePartial || fault.HintOf(err) == "" {
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

func TestAVerificationThatCanNotTellWhereItWasStartsAgain(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	got, err := w.state.Acquire(t.Context(), pairID, "another", w.now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	got.Progress.Checking = &replication.Checking{Started: w.now().Add(-time.Hour), After: "damaged", Differ: 3}
	if err := w.state.Commit(t.Context(), pairID, got.Lease.Fence, w.now(), replication.Update{Progress: got.Progress}); err != nil {
		t.Fatal(err)
	}
	if err := w.state.Release(t.Context(), pairID, got.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	r, err := w.engine().Verify(t.Context(), replication.VerifyOptions{Trigger: replication.TriggerSchedule})
	if p := w.record().Progress; err != nil || !r.Equal() || !p.LastVerified.Equal(w.now()) || p.Checking != nil {
		t.Errorf("%+v, %v; progress %+v", r, err, p)
	}
}

// A verification that is stopped cleanly leaves the pair to the next process at
// once, together with what it has compared.
func TestAVerificationThatWasStoppedIsTakenUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowToRead(t)
		w.replica.Set("/roles/r001", "edited")
		w.tuning.Window = 10
		drain, began := make(chan struct{}), time.Now()
		time.AfterFunc(15*time.Second, func() { close(drain) })
		o := replication.VerifyOptions{Trigger: replication.TriggerSchedule, Drain: drain}
		if r, err := w.live().Verify(t.Context(), o); err != nil || r.Outcome != replication.OutcomePartial {
			t.Fatalf("%+v, %v", r, err)
		}
		c := w.record().Progress.Checking
		if c == nil || c.UnderWay(time.Now()) || c.After == "" || c.Drift.Changed != 1 {
			t.Fatalf("after the stop: %+v", c)
		}
		w.primary.Calls = 0
		o.Drain = nil
		if r, err := w.live().Verify(t.Context(), o); err != nil || r.Differ() != 1 || w.primary.Calls > 95 {
			t.Errorf("%+v, %v, %d calls", r, err, w.primary.Calls)
		}
		if p := w.record().Progress; !p.LastCheck.Equal(began) || p.Checking != nil {
			t.Errorf("progress %+v", p)
		}
	})
}

// mortal is the state as a process sees it that is killed: it records nothing more.
type mortal struct {
	replication.State
	dies context.Context
}

func (m mortal) SaveProgress(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	if m.dies.Err() != nil {
		return m.dies.Err()
	}
	return m.State.SaveProgress(ctx, id, fence, now, p)
}

// The claim of a process that is known to be dead binds nobody; that of another
// machine expires soon after its last heartbeat.
func TestADeadVerificationIsTakenUp(t *testing.T) {
	for name, known := range map[string]bool{"known to be dead": true, "silent": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := slowToRead(t)
				dies, die := context.WithCancel(t.Context())
				first := w.live()
				first.State = mortal{w.state, dies}
				time.AfterFunc(40*time.Second, die)
				if _, err := first.Verify(dies, replication.VerifyOptions{Trigger: replication.TriggerSchedule}); err == nil {
					t.Fatal("it did not die")
				}
				if c := w.record().Progress.Checking; !c.UnderWay(time.Now()) || time.Since(c.At) > 25*time.Second {
					t.Fatalf("claim %+v, want it renewed while it read", c)
				}
				next := w.live()
				next.OwnerDied = func(owner string) bool { return known && owner == first.Owner }
				o := replication.VerifyOptions{Trigger: replication.TriggerSchedule}
				r, err := next.Verify(t.Context(), o)
				var leased *replication.LeasedError
				if !known && (!errors.As(err, &leased) || !strings.Contains(err.Error(), first.Owner)) {
					t.Fatalf("%v, want it to name the process that is believed to be running", err)
				}
				if !known {
					time.Sleep(91 * time.Second)
					r, err = next.Verify(t.Context(), o)
				}
				if err != nil || !r.Equal() {
					t.Errorf("%+v, %v", r, err)
				}
			})
		})
	}
}

// A process that was suspended for so long that another took over stops reading.
func TestAVerificationThatWasOvertakenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowToRead(t)
		first := w.live()
		time.AfterFunc(30*time.Second, func() {
			st := w.record()
			c := *st.Progress.Checking
			c.Owner = "another"
			st.Progress.Checking = &c
			if err := w.state.SaveProgress(t.Context(), pairID, st.Lease.Fence, time.Now(), st.Progress); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		if _, err := first.Verify(t.Context(), replication.VerifyOptions{Trigger: replication.TriggerSchedule}); err == nil || time.Since(began) > 45*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if c := w.record().Progress.Checking; c.Owner != "another" || !c.UnderWay(time.Now()) {
			t.Errorf("the claim of the other is gone: %+v", c)
		}
	})
}
