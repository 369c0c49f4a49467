package replication_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
)

// slow makes a world whose replica takes a while for each write, on the fake
// clock of a synctest bubble.
func slow(t *testing.T, objects int, each time.Duration) *world {
	w := newWorld(t)
	w.pair.Concurrency = 1
	w.tuning = replication.Tuning{Window: 5, LeaseTTL: time.Minute, Margin: 10 * time.Second}
	for i := range objects {
		w.primary.Set(fmt.Sprintf("/roles/r%03d", i), "x")
	}
	w.replica.Delay = each
	return w
}

func (w *world) live() *replication.Engine {
	e := w.engine()
	e.Now = time.Now
	return e
}

// A pass ends before its deadline with its work saved, and the next one resumes
// where it ended.
func TestAPassEndsBeforeItsDeadlineAndTheNextGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 100, time.Second)
		passes := 0
		for {
			before := w.replica.Writes
			deadline := time.Now().Add(40 * time.Second)
			run, err := w.live().Pass(context.Background(), replication.PassOptions{Deadline: deadline})
			if err != nil {
				t.Fatal(err)
			}
			if time.Now().After(deadline) {
				t.Fatalf("the pass ended %s after its deadline", time.Since(deadline))
			}
			passes++
			if run.Outcome == replication.OutcomeDone {
				break
			}
			if run.Outcome != replication.OutcomePartial || w.replica.Writes == before {
				t.Fatalf("outcome %s after %d writes; want part of the work done", run.Outcome, w.replica.Writes-before)
			}
			if got := w.record().Status(); got != replication.Bootstrapping {
				t.Fatalf("status %s in the middle of the first compare", got)
			}
		}
		w.wantEqual()
		if passes < 3 || w.replica.Writes != 100 {
			t.Errorf("%d passes, %d writes; want several passes and each object written once", passes, w.replica.Writes)
		}
	})
}

func TestAPassOutlivesItsFirstLeaseByRenewingIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 200, time.Second)
		run, err := w.live().Pass(context.Background(), replication.PassOptions{})
		if err != nil || run.Outcome != replication.OutcomeDone || run.Ended.Sub(run.Started) < 3*time.Minute {
			t.Fatalf("%s after %s, %v", run.Outcome, run.Ended.Sub(run.Started), err)
		}
		if st := w.record(); st.Lease.Owner != "" || st.Lease.Fence != 1 {
			t.Errorf("lease %+v, want it free after one taking", st.Lease)
		}
	})
}

// A process that lost its lease writes nothing more, to the state or the replica,
// than what was under way.
func TestAProcessThatLostItsLeaseStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 300, time.Second)
		state := &unrenewable{Store: w.state}
		e := w.live()
		e.State = state
		_, err := e.Pass(context.Background(), replication.PassOptions{})
		if err == nil {
			t.Fatal("the pass succeeded without a lease")
		}
		if writes := w.replica.Writes; writes > 46 {
			t.Errorf("%d writes of a second each: want a third of the lease's minute left", writes)
		}
		w.pass()
	})
}

type unrenewable struct{ *store.Store }

func (u *unrenewable) Renew(context.Context, replication.PairID, int64, time.Time, time.Duration) (replication.PairState, error) {
	return replication.PairState{}, errors.New("the state is unreachable")
}

func TestAStolenLeaseRefusesEveryStateWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 100, time.Second)
		done := make(chan error)
		go func() {
			_, err := w.live().Pass(context.Background(), replication.PassOptions{})
			done <- err
		}()
		time.Sleep(12 * time.Second)
		before := w.record().Progress
		// As if the clock of the thief were far ahead.
		if _, err := w.state.Acquire(context.Background(), pairID, "thief", time.Now().Add(time.Hour), time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, replication.ErrFenced) {
			t.Errorf("the pass ended with %v, want it fenced", err)
		}
		if after := w.record().Progress; after.Work.After != before.Work.After || w.record().Lease.Owner != "thief" {
			t.Errorf("the fenced process wrote to the state: %+v", after)
		}
	})
}

// Once the pair is stopped and the lease is free, nothing is written.
func TestStopMeansStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 100, time.Second)
		done := make(chan replication.Run)
		go func() {
			run, err := w.live().Pass(context.Background(), replication.PassOptions{})
			if err != nil {
				t.Error(err)
			}
			done <- run
		}()
		time.Sleep(10 * time.Second)
		yes := true
		if err := w.state.ChangeDesired(context.Background(), pairID, replication.DesiredChange{Stop: &yes, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		run := <-done
		writes := w.replica.Writes
		if run.Outcome != replication.OutcomeStopped || writes == 0 || writes > 20 {
			t.Errorf("outcome %s after %d writes; want it stopped within seconds", run.Outcome, writes)
		}
		w.wantStatus(replication.Stopped)
		if run, _ := w.live().Pass(context.Background(), replication.PassOptions{}); run.Outcome != replication.OutcomeStopped || w.replica.Writes != writes {
			t.Errorf("a stopped pair did %s", run.Outcome)
		}
		no := false
		_ = w.state.ChangeDesired(context.Background(), pairID, replication.DesiredChange{Stop: &no, At: time.Now()})
		if _, err := w.live().Pass(context.Background(), replication.PassOptions{}); err != nil {
			t.Fatal(err)
		}
		w.wantEqual()
	})
}

func TestADrainedPassFinishesTheObjectsInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 100, time.Second)
		drain := make(chan struct{})
		time.AfterFunc(10*time.Second+500*time.Millisecond, func() { close(drain) })
		run, err := w.live().Pass(context.Background(), replication.PassOptions{Drain: drain})
		if err != nil || run.Outcome != replication.OutcomePartial {
			t.Fatalf("outcome %s, %v", run.Outcome, err)
		}
		if w.replica.Writes != run.Counts.Created || w.record().Progress.Objects != run.Counts.Created {
			t.Errorf("%d writes, %d recorded: an objects in progress was cut off", w.replica.Writes, run.Counts.Created)
		}
		if work := w.record().Progress.Work; work == nil || len(work.Intent) != 0 {
			t.Errorf("work %+v: want no unknown results", work)
		}
	})
}

// A process that was suspended until its lease had ended finishes the write that was
// under way, and begins none.
func TestAProcessSuspendedBeyondItsLeaseBeginsNoWrite(t *testing.T) {
	w := newWorld(t)
	w.pair.Concurrency = 1
	for i := range 50 {
		w.primary.Set(fmt.Sprintf("/roles/r%02d", i), "x")
	}
	w.replica.Lose = func(string, object.Ref) error {
		if w.replica.Writes == 10 {
			w.advance(time.Hour)
		}
		return nil
	}
	if _, err := w.engine().Pass(context.Background(), replication.PassOptions{}); !errors.Is(err, replication.ErrFenced) {
		t.Errorf("the pass ended with %v, want it fenced", err)
	}
	if w.replica.Writes != 10 {
		t.Errorf("%d writes, want none after the 10th", w.replica.Writes)
	}
	w.pass()
	w.wantEqual()
}
