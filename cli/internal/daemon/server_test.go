package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/cli/internal/daemon"
	"chefsync/pkg/replication"
)

// hang is a pass of a replica that accepts connections and never answers.
func hang(ctx context.Context, _ int, _ replication.PassOptions) (replication.Outcome, error) {
	<-ctx.Done()
	return replication.OutcomePartial, ctx.Err()
}

// organizations makes jobs of ten organizations on a replica that works and on one
// that hangs, the latter first.
func (w *world) organizations() (jobs []daemon.Job) {
	for i := range 10 {
		name := fmt.Sprintf("org-%d", i)
		jobs = append(jobs, w.jobOn("hole", name, 2*time.Second, hang), w.jobOn("good", name, 2*time.Second, done))
	}
	return jobs
}

func TestAReplicaThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := w.daemon(w.organizations()...)
		d.Parallel = 4
		during(t, d, time.Minute, nil)
		for id, passes := range w.passes {
			if id.Replica == "good" && (len(passes) < 29 || !slices.IsSortedFunc(passes, time.Time.Compare)) {
				t.Errorf("pair %s had %d passes in a minute, want one every 2 s", id, len(passes))
			}
		}
		if len(w.passes) != 10+4 {
			t.Errorf("%d pairs had a pass, want all of the good replica and 4 of the other", len(w.passes))
		}
	})
}

func TestOnceAReplicaThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := w.daemon(w.organizations()...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		results := d.Once(ctx, "manual", false)
		for id, passes := range w.passes {
			if id.Replica == "good" && passes[0] != start {
				t.Errorf("pair %s began after %s", id, passes[0].Sub(start))
			}
		}
		if len(w.passes) != 10+2 || time.Since(start) != time.Minute {
			t.Errorf("%d pairs in %s, want the hanging ones that had a slot and all others", len(w.passes), time.Since(start))
		}
		for i, r := range results {
			if _, began := w.passes[d.Jobs[i].ID]; began != r.Begun || r.Run.Pair != d.Jobs[i].ID {
				t.Errorf("result of %s: %+v", d.Jobs[i].ID, r)
			}
		}
	})
}

func TestOnceAPairWaitsForTheScanOfItsOwnSourceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, slow, quick := newWorld(), &scans{}, &scans{}
		a, b := w.job("a", time.Minute, done), w.job("b", time.Minute, done)
		d := w.daemon(a, b)
		d.Sources = []daemon.Source{
			slow.source(time.Minute, func(context.Context, int) (bool, error) { time.Sleep(time.Minute); return false, nil }, a),
			quick.source(time.Minute, func(context.Context, int) (bool, error) { time.Sleep(time.Second); return false, nil }, b),
		}
		start := time.Now()
		d.Once(t.Context(), "manual", false)
		if first, second := w.passes[a.ID][0].Sub(start), w.passes[b.ID][0].Sub(start); first != time.Minute || second != time.Second {
			t.Errorf("passes began after %s and %s, want 1m and 1s", first, second)
		}
	})
}

// server is a server whose checks are counted, and which is up as its test says.
type server struct {
	mu   sync.Mutex
	down bool
	n    int
	err  error
}

func (s *server) check(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return !s.down, s.err
}

func (s *server) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *server) failing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

func TestEachServerIsCheckedOnceAMinuteWhateverOthersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(), &server{}
		d := w.daemon()
		d.Servers = []daemon.Server{
			{Name: "hole", Check: func(ctx context.Context) (bool, error) { <-ctx.Done(); return false, ctx.Err() }},
			{Name: "eu", Check: s.check},
		}
		if took := during(t, d, 10*time.Minute, nil); took != 10*time.Minute || s.n != 10 {
			t.Errorf("%d checks in %s, want 10 in 10m", s.n, took)
		}
	})
}

// After failures a pair waits for up to a quarter of an hour, and so does a scan.
func TestWhatFailedGoesOnWhenItsServerAnswersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, eu, scanned := newWorld(), &server{down: true}, &scans{}
		var triggers []string
		var id replication.PairID
		failing := w.job("a", time.Hour, func(_ context.Context, _ int, o replication.PassOptions) (replication.Outcome, error) {
			triggers = append(triggers, string(o.Trigger))
			if !eu.failing() {
				return replication.OutcomeDone, nil
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.pairs[id] = replication.PairState{ID: id, Progress: replication.Progress{NextRun: time.Now().Add(time.Hour)}}
			return replication.OutcomeFailed, errors.New("connection refused")
		})
		id = failing.ID
		healthy, elsewhere := w.job("b", time.Hour, done), w.jobOn("us", "a", time.Hour, done)
		d := w.daemon(failing, healthy, elsewhere)
		d.Sources = []daemon.Source{scanned.source(20*time.Minute, func(context.Context, int) (bool, error) {
			if eu.failing() {
				return false, errors.New("connection refused")
			}
			return false, nil
		})}
		d.Servers = []daemon.Server{{Name: "eu", Pairs: []replication.PairID{failing.ID, healthy.ID}, Sources: []string{"acme"}, Check: eu.check}}
		during(t, d, 15*time.Minute, func() {
			time.Sleep(5 * time.Minute)
			eu.set(false)
			time.Sleep(2 * time.Minute)
		})
		if got := strings.Join(triggers, " "); got != "schedule recovery" {
			t.Errorf("passes of the pair that failed: %q, want the second one after the recovery", got)
		}
		if w.count("b") != 1 || len(w.passes[elsewhere.ID]) != 1 {
			t.Errorf("pairs that hadn't failed had %d and %d passes", w.count("b"), len(w.passes[elsewhere.ID]))
		}
		if len(scanned.at) != 2 || scanned.at[1] > 7*time.Minute {
			t.Errorf("scans at %v, want one after the recovery", scanned.at)
		}
		if log := w.log.String(); strings.Count(log, "doesn't respond") != 1 || strings.Count(log, "responds again") != 1 {
			t.Errorf("log:\n%s", log)
		}
	})
}

// The process before this one ended while the server was down, and its pairs wait.
func TestAfterARestartWhatWaitsIsTriedOnceTheServerIsSeenToAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, eu := newWorld(), &server{}
		var triggers []string
		job := w.job("a", time.Hour, func(_ context.Context, _ int, o replication.PassOptions) (replication.Outcome, error) {
			triggers = append(triggers, string(o.Trigger))
			if o.Trigger == replication.TriggerSchedule {
				return replication.OutcomeWaiting, nil
			}
			return replication.OutcomeDone, nil
		})
		d := w.daemon(job)
		d.Servers = []daemon.Server{{Name: "eu", Pairs: []replication.PairID{job.ID}, Check: eu.check}}
		during(t, d, 10*time.Minute, nil)
		if got := strings.Join(triggers, " "); got != "schedule recovery" || strings.Contains(w.log.String(), "answers again") {
			t.Errorf("passes %q, log:\n%s", got, w.log.String())
		}
	})
}

func TestAStateThatCannotRecordAServerIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(), &server{err: errors.New("disk full")}
		d := w.daemon()
		d.Servers = []daemon.Server{{Name: "eu", Check: s.check}}
		during(t, d, 5*time.Minute, nil)
		if n := strings.Count(w.log.String(), "disk full"); n != 1 || s.n != 5 {
			t.Errorf("said %d times in %d checks:\n%s", n, s.n, w.log.String())
		}
	})
}
