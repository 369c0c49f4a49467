package replication_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// dies leaves the pair as a process does that is killed at its third write.
func (w *world) dies(t *testing.T) (owner string) {
	t.Helper()
	for i := range 20 {
		w.primary.Set(fmt.Sprintf("/roles/r%02d", i), "x")
	}
	e, before := w.engine(), w.replica.Writes
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	w.replica.Lose = func(string, object.Ref) error {
		if w.replica.Writes == before+3 {
			kill()
		}
		return nil
	}
	e.State = &deadAfter{State: e.State, dead: ctx}
	if _, err := e.Pass(ctx, replication.PassOptions{}); err == nil {
		t.Fatal("the process wasn't killed")
	}
	w.replica.Lose = nil
	if l := w.record().Lease; l.Owner != e.Owner {
		t.Fatalf("lease %+v, want %s to have died with it", l, e.Owner)
	}
	return e.Owner
}

// deadAfter is the state of a process that can't write to it once it is dead, not
// even to free its lease.
type deadAfter struct {
	replication.State
	dead context.Context
}

func (d *deadAfter) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	if d.dead.Err() != nil {
		return d.dead.Err()
	}
	return d.State.Commit(ctx, id, fence, now, u)
}

func (d *deadAfter) Release(ctx context.Context, id replication.PairID, fence int64) error {
	if d.dead.Err() != nil {
		return d.dead.Err()
	}
	return d.State.Release(ctx, id, fence)
}

// The lease of a process that is known to be dead keeps nobody waiting: not a pass, a
// verification, or the record of a failure.
func TestTheLeaseOfADeadProcessIsTakenOverAtOnce(t *testing.T) {
	ctx := context.Background()
	for name, next := range map[string]func(*replication.Engine) error{
		"pass": func(e *replication.Engine) error { _, err := e.Pass(ctx, replication.PassOptions{}); return err },
		"verification": func(e *replication.Engine) error {
			r, err := e.Verify(ctx, replication.VerifyOptions{Repair: true})
			if r.Outcome == replication.OutcomeBusy {
				return errors.New("busy")
			}
			return err
		},
		"scheduled verification": func(e *replication.Engine) error {
			_, err := e.Verify(ctx, replication.VerifyOptions{Trigger: replication.TriggerSchedule})
			return err
		},
		"failure": func(e *replication.Engine) error {
			run, _ := e.Fail(ctx, replication.PassOptions{}, errors.New("no key"))
			if run.Outcome != replication.OutcomeFailed {
				return errors.New(string(run.Outcome))
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.pass()
			dead := w.dies(t)
			waits := w.engine()
			waits.OwnerDied = func(string) bool { return false }
			var leased *replication.LeasedError
			if _, err := waits.Pass(ctx, replication.PassOptions{}); !errors.As(err, &leased) || leased.Lease.Owner != dead {
				t.Fatalf("a process that doesn't know: %v", err)
			}
			e := w.engine()
			e.OwnerDied = func(owner string) bool { return owner == dead }
			if err := next(e); err != nil {
				t.Fatal(err)
			}
			if l := w.record().Lease; l.Owner != "" {
				t.Errorf("lease %+v", l)
			}
			w.pass()
			w.wantEqual()
		})
	}
}

// If somebody else took the lease over first, the right to it is his.
func TestALeaseIsTakenOverByOneProcess(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	dead := w.dies(t)
	e := w.engine()
	var faster replication.PairState
	e.OwnerDied = func(owner string) bool {
		if owner != dead {
			return false
		}
		st := w.record()
		if err := w.state.Release(t.Context(), pairID, st.Lease.Fence); err != nil {
			t.Fatal(err)
		}
		var err error
		if faster, err = w.state.Acquire(t.Context(), pairID, "faster", w.now(), time.Minute); err != nil {
			t.Fatal(err)
		}
		return true
	}
	var leased *replication.LeasedError
	if run, err := e.Pass(t.Context(), replication.PassOptions{}); !errors.As(err, &leased) || run.Outcome != replication.OutcomeBusy {
		t.Errorf("%s, %v; want busy", run.Outcome, err)
	}
	if l := w.record().Lease; l != faster.Lease {
		t.Errorf("lease %+v, want %+v", l, faster.Lease)
	}
}

func TestAuditLeaseFromTheFuture(t *testing.T) {
	for name, c := range map[string]struct {
		expires time.Duration
		taken   bool
	}{
		"of a living process":                         {time.Minute, false},
		"of one whose clock is ahead a little":        {15 * time.Minute, false},
		"of a clock that was a month ahead":           {30 * 24 * time.Hour, true},
		"of a clock that was ahead by twenty minutes": {21 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			held, err := w.state.Acquire(t.Context(), pairID, "other", w.now().Add(c.expires-time.Minute), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.engine().Pass(t.Context(), replication.PassOptions{Trigger: replication.TriggerSchedule})
			var leased *replication.LeasedError
			if c.taken != (err == nil) || !c.taken && !errors.As(err, &leased) {
				t.Fatalf("taken over: %v, want %v", err, c.taken)
			}
			if !c.taken {
				return
			}
			w.wantEqual()
			if err := w.state.Commit(t.Context(), pairID, held.Lease.Fence, w.now(), replication.Update{}); !errors.Is(err, replication.ErrFenced) {
				t.Errorf("a write of the old holder: %v, want it refused", err)
			}
		})
	}
}

// While a machine is suspended its monotonic clock stops. The lease ends by the
// wall clock, which other machines go by.
func TestALeaseEndsByTheWallClock(t *testing.T) {
	w := newWorld(t)
	w.pair.Concurrency = 1
	for i := range 20 {
		w.primary.Set(fmt.Sprintf("/roles/r%02d", i), "x")
	}
	start := time.Now()
	var suspended atomic.Bool
	w.replica.Lose = func(string, object.Ref) error {
		if w.replica.Writes == 10 {
			suspended.Store(true)
		}
		return nil
	}
	e := w.engine()
	e.Now = func() time.Time {
		if suspended.Load() {
			return sleptAnHour(start)
		}
		return start
	}
	if now := sleptAnHour(start); now.Sub(start) != 0 || now.Round(0).Sub(start.Round(0)) != time.Hour || !strings.Contains(now.String(), "m=") {
		t.Fatalf("%s after %s is not the time after a suspension", now, start)
	}
	if _, err := e.Pass(t.Context(), replication.PassOptions{}); !errors.Is(err, replication.ErrFenced) {
		t.Errorf("the pass ended with %v, want it fenced", err)
	}
	if w.replica.Writes != 10 {
		t.Errorf("%d writes, want none after the 10th", w.replica.Writes)
	}
}

// sleptAnHour is t with the wall clock an hour later and the monotonic clock as it
// was. The seconds of a time with both begin at bit 30 of its first word.
func sleptAnHour(t time.Time) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += 3600 << 30
	return t
}
