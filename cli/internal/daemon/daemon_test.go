package daemon_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/cli/internal/daemon"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// world is a state and a set of jobs that count their passes.
type world struct {
	mu     sync.Mutex
	pairs  map[replication.PairID]replication.PairState
	passes map[replication.PairID][]time.Time
	active int
	most   int
	log    strings.Builder
	// damaged is a pair whose record can't be read, and with it those of all at once.
	damaged replication.PairID
}

var errDamaged = &fault.Error{Op: "read record", Class: fault.Local, Err: errors.New("damaged")}

func newWorld() *world {
	return &world{pairs: map[replication.PairID]replication.PairState{}, passes: map[replication.PairID][]time.Time{}}
}

func (w *world) Pair(_ context.Context, id replication.PairID) (replication.PairState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id == w.damaged {
		return replication.PairState{}, errDamaged
	}
	st := w.pairs[id]
	st.ID = id
	return st, nil
}

func (w *world) Pairs(context.Context) ([]replication.PairState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.damaged != (replication.PairID{}) {
		return nil, errDamaged
	}
	var all []replication.PairState
	for id, p := range w.pairs {
		p.ID = id
		all = append(all, p)
	}
	return all, nil
}

type passFunc func(ctx context.Context, n int, o replication.PassOptions) (replication.Outcome, error)

func (w *world) job(name string, interval time.Duration, f passFunc) daemon.Job {
	return w.jobOn("eu", name, interval, f)
}

func (w *world) jobOn(replica, name string, interval time.Duration, f passFunc) daemon.Job {
	id := replication.PairID{Replica: replica, Org: name}
	w.pairs[id] = replication.PairState{ID: id}
	return daemon.Job{ID: id, Interval: interval, Pass: func(ctx context.Context, o replication.PassOptions) (replication.Run, error) {
		w.mu.Lock()
		w.passes[id] = append(w.passes[id], time.Now())
		n := len(w.passes[id])
		w.active++
		w.most = max(w.most, w.active)
		w.mu.Unlock()
		outcome, err := f(ctx, n, o)
		w.mu.Lock()
		w.active--
		w.mu.Unlock()
		return replication.Run{Pair: id, Outcome: outcome}, err
	}}
}

func (w *world) count(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.passes[replication.PairID{Replica: "eu", Org: name}])
}

func (w *world) daemon(jobs ...daemon.Job) *daemon.Daemon {
	return &daemon.Daemon{
		Jobs: jobs, State: w, Now: time.Now, Parallel: 2, Watch: 2 * time.Second, Grace: 20 * time.Second,
		Random: func() float64 { return 0.5 },
		Log:    slog.New(slog.NewTextHandler(&w.log, nil)),
	}
}

// during runs the daemon in a bubble for a time and waits for its end.
func during(t *testing.T, d *daemon.Daemon, span time.Duration, while func()) (stopped time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- d.Run(ctx) }()
	if while != nil {
		while()
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	return time.Since(start)
}

func done(context.Context, int, replication.PassOptions) (replication.Outcome, error) {
	return replication.OutcomeDone, nil
}

func TestAPairRunsOnceAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		during(t, w.daemon(w.job("a", time.Minute, done)), 10*time.Minute, nil)
		if n := w.count("a"); n != 10 {
			t.Errorf("%d passes in 10 minutes, want 10", n)
		}
	})
}

func TestWorkThatIsLeftGoesOnSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		job := w.job("a", time.Hour, func(_ context.Context, n int, _ replication.PassOptions) (replication.Outcome, error) {
			if n < 5 {
				return replication.OutcomePartial, nil
			}
			return replication.OutcomeDone, nil
		})
		during(t, w.daemon(job), time.Minute, nil)
		if n := w.count("a"); n != 5 {
			t.Errorf("%d passes, want 5", n)
		}
	})
}

func TestAFailingPairWaitsAsTheEngineSaysAndComesBackByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var id replication.PairID
		job := w.job("a", time.Minute, func(_ context.Context, n int, _ replication.PassOptions) (replication.Outcome, error) {
			if n > 3 {
				return replication.OutcomeDone, nil
			}
			w.mu.Lock()
			st := w.pairs[id]
			st.Progress.NextRun = time.Now().Add(15 * time.Minute)
			w.pairs[id] = st
			w.mu.Unlock()
			return replication.OutcomeFailed, errors.New("no route to host")
		})
		id = job.ID
		during(t, w.daemon(job), 50*time.Minute, nil)
		if n := w.count("a"); n != 8 {
			t.Errorf("%d passes, want 3 that fail, 15 minutes apart, then one a minute", n)
		}
		if !strings.Contains(w.log.String(), "working again") {
			t.Errorf("the log doesn't say that the pair works again:\n%s", w.log.String())
		}
	})
}

func TestARequestOfTheOperatorWakesThePair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		job := w.job("a", time.Hour, done)
		during(t, w.daemon(job), time.Minute, func() {
			time.Sleep(30 * time.Second)
			w.mu.Lock()
			st := w.pairs[job.ID]
			st.Desired.RetryAt = time.Now()
			w.pairs[job.ID] = st
			w.mu.Unlock()
		})
		if n := w.count("a"); n != 2 {
			t.Errorf("%d passes, want one at the start and one for the request", n)
		}
	})
}

// The state can't be read when the daemon starts; a pass has begun before it can.
func TestARequestBeforeTheFirstReadWakesThePair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		job := w.job("a", time.Hour, done)
		d := w.daemon(job)
		d.State = &locked{world: w, until: time.Now().Add(10 * time.Second)}
		during(t, d, time.Minute, func() {
			time.Sleep(5 * time.Second)
			w.mu.Lock()
			defer w.mu.Unlock()
			st := w.pairs[job.ID]
			st.Desired.RetryAt = time.Now()
			w.pairs[job.ID] = st
		})
		if n := w.count("a"); n != 2 {
			t.Errorf("%d passes, want the first and one for the request", n)
		}
	})
}

// locked is a state whose records can't be listed for a time.
type locked struct {
	*world
	until time.Time
}

func (l *locked) Pairs(ctx context.Context) ([]replication.PairState, error) {
	if time.Now().Before(l.until) {
		return nil, errors.New("database is locked")
	}
	return l.world.Pairs(ctx)
}

func TestPassesAtOnceOfAReplicaAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		slow := func(_ context.Context, _ int, _ replication.PassOptions) (replication.Outcome, error) {
			time.Sleep(10 * time.Second)
			return replication.OutcomeDone, nil
		}
		var jobs []daemon.Job
		for _, name := range []string{"a", "b", "c", "d"} {
			jobs = append(jobs, w.job(name, time.Minute, slow))
		}
		during(t, w.daemon(jobs...), 5*time.Minute, nil)
		if w.most != 2 {
			t.Errorf("%d passes at once, want 2", w.most)
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			if n := w.count(name); n < 4 {
				t.Errorf("pair %s had %d passes in 5 minutes", name, n)
			}
		}
	})
}

func TestTheEndDrainsTheRunningPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var cut error
		job := w.job("a", time.Minute, func(ctx context.Context, _ int, o replication.PassOptions) (replication.Outcome, error) {
			<-o.Drain
			time.Sleep(5 * time.Second) // the objects in progress
			cut = ctx.Err()
			return replication.OutcomePartial, nil
		})
		took := during(t, w.daemon(job), 10*time.Second, nil)
		if cut != nil || took != 15*time.Second || w.count("a") != 1 {
			t.Errorf("ended after %s with %d passes, context: %v; want 15s, 1 pass, nil", took, w.count("a"), cut)
		}
	})
}

func TestAStopDrainsTheRunningPassOfThatPairOnly(t *testing.T) { stopDrains(t, false) }

func TestAStopIsSeenThoughTheRecordOfAnotherPairIsDamaged(t *testing.T) { stopDrains(t, true) }

func stopDrains(t *testing.T, damaged bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var stopped time.Duration
		var other bool
		start := time.Now()
		a := w.job("a", time.Hour, func(_ context.Context, n int, o replication.PassOptions) (replication.Outcome, error) {
			if n > 1 {
				return replication.OutcomeStopped, nil
			}
			<-o.Drain
			stopped = time.Since(start)
			return replication.OutcomePartial, nil
		})
		b := w.job("b", time.Hour, func(_ context.Context, _ int, o replication.PassOptions) (replication.Outcome, error) {
			select {
			case <-o.Drain:
				other = true
			case <-time.After(time.Minute):
			}
			return replication.OutcomeDone, nil
		})
		if damaged {
			w.damaged = b.ID
		}
		during(t, w.daemon(a, b), 3*time.Minute, func() {
			time.Sleep(20 * time.Second)
			w.mu.Lock()
			w.pairs[a.ID] = replication.PairState{ID: a.ID, Desired: replication.Desired{Stopped: true}}
			w.mu.Unlock()
		})
		if stopped < 20*time.Second || stopped > 23*time.Second || other {
			t.Errorf("the pass was drained after %s, the other one: %v", stopped, other)
		}
	})
}

func TestAPassThatDoesNotEndIsCutAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		job := w.job("a", time.Minute, func(ctx context.Context, _ int, _ replication.PassOptions) (replication.Outcome, error) {
			<-ctx.Done()
			return replication.OutcomePartial, ctx.Err()
		})
		if took := during(t, w.daemon(job), 10*time.Second, nil); took != 30*time.Second {
			t.Errorf("ended after %s, want 10s and 20s of grace", took)
		}
	})
}

func TestAnotherRunningProcessIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		job := w.job("a", time.Minute, func(context.Context, int, replication.PassOptions) (replication.Outcome, error) {
			return replication.OutcomeBusy, nil
		})
		during(t, w.daemon(job), 5*time.Minute, nil)
		if n := strings.Count(w.log.String(), "another process"); n != 1 {
			t.Errorf("said %d times:\n%s", n, w.log.String())
		}
	})
}

// verified lets the state say that a pair was compared, and when it was verified.
func (w *world) verified(id replication.PairID, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pairs[id] = replication.PairState{ID: id, Progress: replication.Progress{LastCompare: time.Now(), LastCheck: at}}
}

func TestVerificationComesRoundInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		job := w.job("a", time.Minute, done)
		w.verified(job.ID, time.Now().Add(-3*time.Minute)) // by the process before this one
		var at []time.Duration
		start := time.Now()
		job.VerifyEvery = 10 * time.Minute
		job.Verify = func(_ context.Context, o replication.VerifyOptions) (replication.Report, error) {
			at = append(at, time.Since(start).Round(time.Minute))
			if o.Trigger != replication.TriggerSchedule {
				t.Errorf("trigger %q", o.Trigger)
			}
			w.verified(job.ID, time.Now())
			return replication.Report{Outcome: replication.OutcomeDone}, nil
		}
		during(t, w.daemon(job), 35*time.Minute, nil)
		if want := []time.Duration{7 * time.Minute, 17 * time.Minute, 27 * time.Minute}; !slices.Equal(at, want) {
			t.Errorf("verified after %v, want %v: a restart doesn't put it off", at, want)
		}
	})
}

func TestAVerificationThatFailsIsTriedAgainNotAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		job := w.job("a", time.Minute, done)
		w.verified(job.ID, time.Time{})
		n := 0
		job.VerifyEvery = 24 * time.Hour
		job.Verify = func(context.Context, replication.VerifyOptions) (replication.Report, error) {
			n++
			return replication.Report{Outcome: replication.OutcomeFailed}, errors.New("no route to host")
		}
		during(t, w.daemon(job), 31*time.Minute, nil)
		if n != 3 || !strings.Contains(w.log.String(), "verification failed") {
			t.Errorf("tried %d times in 31 minutes, want 3:\n%s", n, w.log.String())
		}
	})
}

func TestAStopDrainsTheRunningVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		job := w.job("a", time.Minute, done)
		w.verified(job.ID, time.Time{})
		var took time.Duration
		job.VerifyEvery = time.Hour
		job.Verify = func(ctx context.Context, o replication.VerifyOptions) (replication.Report, error) {
			start := time.Now()
			<-o.Drain
			took = time.Since(start)
			time.Sleep(5 * time.Second) // the objects in progress
			return replication.Report{Outcome: replication.OutcomePartial}, ctx.Err()
		}
		during(t, w.daemon(job), time.Minute, func() {
			time.Sleep(20 * time.Second)
			w.mu.Lock()
			st := w.pairs[job.ID]
			st.Desired.Stopped = true
			w.pairs[job.ID] = st
			w.mu.Unlock()
		})
		if took < 15*time.Second || took > 25*time.Second || strings.Contains(w.log.String(), "failed") {
			t.Errorf("drained after %s:\n%s", took, w.log.String())
		}
	})
}

func TestOnceRunsEveryPairInOrder(t *testing.T) {
	w := newWorld()
	boom := errors.New("boom")
	d := w.daemon(
		w.job("a", time.Minute, done),
		w.job("b", time.Minute, func(context.Context, int, replication.PassOptions) (replication.Outcome, error) {
			return replication.OutcomeFailed, boom
		}),
		w.job("c", time.Minute, done),
	)
	results := d.Once(t.Context(), "manual", false)
	for i, want := range []daemon.Result{
		{Run: replication.Run{Pair: d.Jobs[0].ID, Outcome: "done"}, Begun: true},
		{Run: replication.Run{Pair: d.Jobs[1].ID, Outcome: "failed"}, Err: boom, Begun: true},
		{Run: replication.Run{Pair: d.Jobs[2].ID, Outcome: "done"}, Begun: true},
	} {
		if results[i] != want {
			t.Errorf("result %d is %+v, want %+v", i, results[i], want)
		}
	}
}
