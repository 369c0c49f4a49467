// Package daemon is the in-process scheduler: one loop a pair, a bounded number
// of passes at once for each replica, and an end without lost work.
package daemon

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"chefsync/pkg/replication"
)

// Job is the work of one pair.
type Job struct {
	ID       replication.PairID
	Interval time.Duration // between the starts of two passes
	// Pass runs the engine once.
	Pass func(context.Context, replication.PassOptions) (replication.Run, error)
	// Verify compares both sides, every VerifyEvery by what the state says of the
	// last time; nil means never. What was found is logged by the engine.
	Verify      func(context.Context, replication.VerifyOptions) (replication.Report, error)
	VerifyEvery time.Duration
	// FilesEvery is the time in which Verify checks the content of all files, in
	// portions; 0 is never.
	FilesEvery time.Duration
}

// State is what the daemon reads of the state.
type State interface {
	Pair(ctx context.Context, id replication.PairID) (replication.PairState, error)
	Pairs(ctx context.Context) ([]replication.PairState, error)
}

// Daemon runs the jobs until it is told to end.
type Daemon struct {
	Jobs []Job
	// Sources are scanned for changes. The pairs of one wait with their first pass
	// until its first scan has ended, so that they begin with a position.
	Sources []Source
	// Servers are checked, and their pairs go on when they answer again.
	Servers []Server
	// Serve takes what is pushed, and calls changed with the name of a source for
	// each change, until ctx ends. An error ends the daemon. Nil: nothing is served.
	Serve func(ctx context.Context, changed func(source string)) error
	State State
	Log   *slog.Logger
	Now   func() time.Time
	// Parallel bounds the passes at work at once, of each replica by itself: one that
	// hangs keeps no pair of another waiting.
	Parallel int
	// Watch is how often the wishes of the operator are looked at, so that
	// sync-start wakes a pair that waits for its next run.
	Watch time.Duration
	// Grace is how long passes may go on after the end was asked for, before
	// their requests are cut.
	Grace time.Duration
	// Random returns a number in [0,1), for jitter.
	Random func() float64
	// Beat records that the daemon lives, every BeatEvery; nil records nothing.
	Beat func(context.Context) error
	// Present fails once the state is gone that the daemon works on, as when its file
	// was removed. Its error ends the daemon. Nil checks nothing.
	Present func() error
	// Housekeeping runs at the start and then every hour; nil means none.
	Housekeeping func(context.Context) error
}

// Run works until ctx ends, then lets the passes at work finish their objects.
// It returns nil after an orderly end, else why it could not go on.
func (d *Daemon) Run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	d.Log.Info("started", "pairs", len(d.Jobs), "parallel", d.Parallel)
	slots := d.slots()
	var group sync.WaitGroup
	loops := make(map[replication.PairID]*loop, len(d.Jobs))
	for _, job := range d.Jobs {
		l := &loop{daemon: d, job: job, slots: slots[job.ID.Replica], wake: make(chan struct{}, 1)}
		loops[job.ID] = l
	}
	sources := d.scannings(loops)
	for _, s := range sources {
		group.Go(func() { s.run(ctx) })
	}
	for _, l := range loops {
		group.Go(func() { l.run(ctx, work) })
	}
	for _, c := range d.checkings(loops, sources) {
		group.Go(func() { c.run(ctx) })
	}
	failed := failure{end: end}
	group.Go(func() { failed.because(d.serve(ctx, sources)) })
	group.Go(func() { failed.because(d.watch(ctx, loops)) })
	group.Go(func() { d.heartbeat(ctx) })
	group.Go(func() { d.keepHouse(ctx) })
	// Waited for like the loops: nothing is logged once Run has returned.
	group.Go(func() {
		<-ctx.Done()
		d.Log.Info("stopping: passes finish the objects at work", "grace", d.Grace.String())
		timer := time.AfterFunc(d.Grace, cut)
		context.AfterFunc(work, func() { timer.Stop() })
	})
	group.Wait()
	d.Log.Info("stopped")
	return failed.err
}

// slots are the places of the passes at work, by replica.
func (d *Daemon) slots() map[string]chan struct{} {
	all := map[string]chan struct{}{}
	for _, job := range d.Jobs {
		if all[job.ID.Replica] == nil {
			all[job.ID.Replica] = make(chan struct{}, max(d.Parallel, 1))
		}
	}
	return all
}

// watch tells the loops of wishes of their operator: a stop drains the pass at
// work, anything else wakes the pair. It ends before ctx only with an error: the state
// is gone.
func (d *Daemon) watch(ctx context.Context, loops map[replication.PairID]*loop) error {
	seen := map[replication.PairID]replication.Desired{}
	failing, began := false, d.Now()
	for {
		if d.Present != nil {
			if err := d.Present(); err != nil {
				return err
			}
		}
		pairs, err := d.wishes(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			d.Log.Error("the state can't be read", "error", err.Error())
		}
		failing = err != nil
		for _, p := range pairs {
			l := loops[p.ID]
			last, known := seen[p.ID]
			changed := known && !reflect.DeepEqual(p.Desired, last)
			if !known { // what was wished before the start is in the record that passes begin with
				changed = wishedAt(p.Desired).After(began)
			}
			seen[p.ID] = p.Desired
			switch {
			case l == nil:
			case p.Desired.Stopped:
				l.drain()
			case changed:
				l.wakeUp(replication.TriggerOperator)
			}
		}
		if sleep(ctx, d.Watch, nil) == ended {
			return nil
		}
	}
}

// wishes reads the records of the pairs. If one of them is damaged, the others are
// read all the same: a stop of theirs is not to wait for it.
func (d *Daemon) wishes(ctx context.Context) ([]replication.PairState, error) {
	all, err := d.State.Pairs(ctx)
	if err == nil || replication.ClassOf(err) != replication.Local {
		return all, err
	}
	all = nil
	for _, job := range d.Jobs {
		if st, readErr := d.State.Pair(ctx, job.ID); readErr == nil {
			all = append(all, st)
		}
	}
	return all, err
}

// wishedAt is the time of the newest wish.
func wishedAt(d replication.Desired) time.Time {
	return slices.MaxFunc([]time.Time{d.Since, d.AllowedAt, d.ResyncAt, d.ResyncObjectsAt, d.RetryAt}, time.Time.Compare)
}

func (d *Daemon) keepHouse(ctx context.Context) {
	if d.Housekeeping == nil {
		return
	}
	for {
		if err := d.Housekeeping(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("housekeeping failed", "error", err.Error())
		}
		if sleep(ctx, time.Hour, nil) == ended {
			return
		}
	}
}

// jitter spreads a wait by a tenth to either side.
func (d *Daemon) jitter(wait time.Duration) time.Duration {
	return wait + time.Duration((d.Random()-0.5)*0.2*float64(wait))
}

// alarm says why a sleep was over.
type alarm int

const (
	ended alarm = iota // the context ended
	due                // the time is over
	woken              // somebody asked for a pass
)

// sleep waits for a time, a wake, or the end of ctx.
func sleep(ctx context.Context, wait time.Duration, wake <-chan struct{}) alarm {
	if ctx.Err() != nil {
		return ended
	}
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ended
	case <-timer.C:
		return due
	case <-wake:
		return woken
	}
}

// Result is what a pass ended with.
type Result struct {
	Run replication.Run
	Err error
}

// Once scans each source and runs one pass for each job, after the scan of its source
// and bounded as Run does. It returns the results in the order of the jobs.
func (d *Daemon) Once(ctx context.Context, trigger string, full bool) []Result {
	var group sync.WaitGroup
	scanned := d.scanAll(ctx, &group)
	slots := d.slots()
	results := make([]Result, len(d.Jobs))
	for i, job := range d.Jobs {
		group.Go(func() {
			if scan := scanned[job.ID]; scan != nil {
				<-scan
			}
			slots := slots[job.ID.Replica]
			slots <- struct{}{}
			defer func() { <-slots }()
			r := &results[i]
			r.Run, r.Err = job.Pass(ctx, replication.PassOptions{Trigger: trigger, Full: full})
		})
	}
	group.Wait()
	return results
}
