// Package daemon is the in-process scheduler: one loop for each pair, a bounded number of
// concurrent passes for each replica, and a shutdown that loses no work.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"chefsync/pkg/replication"
)

// Job is the work of one pair.
type Job struct {
	ID       replication.PairID
	Interval time.Duration // between the starts of two passes
	// Pass runs the engine once.
	Pass func(context.Context, replication.PassOptions) (replication.Run, error)
	// Verify compares both sides once VerifyEvery has passed since the last recorded
	// verification; nil means never. The engine logs what it finds.
	Verify      func(context.Context, replication.VerifyOptions) (replication.Report, error)
	VerifyEvery time.Duration
	// FilesEvery is the time within which Verify checks the content of all files, in
	// portions; 0 means never.
	FilesEvery time.Duration
}

// Daemon runs jobs until it is stopped.
type Daemon struct {
	Jobs []Job
	// Sources are scanned for changes. The first pass of a pair waits for the first scan of a
	// source whose change log has not begun, so that it begins with a position.
	Sources []Source
	// Servers are checked regularly. When one answers again, its pairs go on.
	Servers []Server
	// Serve receives pushes until ctx ends, and calls changed with the name of a source for
	// each change. An error stops the daemon; nil serves nothing.
	Serve func(ctx context.Context, changed func(source string)) error
	State replication.PairReader
	Log   *slog.Logger
	Now   func() time.Time
	// Parallel is the number of concurrent passes on each replica: one that hangs delays
	// no pair of another.
	Parallel int
	// Watch is the interval at which the specs of pairs are read, so that sync-start wakes
	// a pair that waits for its next run.
	Watch time.Duration
	// Grace is how long running passes may go on after ctx ended, before their requests
	// are canceled.
	Grace time.Duration
	// Random returns a number in [0,1), for jitter.
	Random func() float64
	// Present fails once the state is gone, such as when its file was removed. Its error
	// stops the daemon; nil checks nothing.
	Present func() error
	// Tasks are done beside the passes until ctx ends. They delay nothing.
	Tasks []Task
}

// Run runs the jobs until ctx ends, then lets running passes finish their objects. It
// returns nil after an orderly shutdown, else why it could not go on.
func (d *Daemon) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func(do func()) {
		group.Go(func() error {
			do()
			return nil
		})
	}
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	d.Log.Info("started", "pairs", len(d.Jobs), "parallel", d.Parallel)
	slots := d.newSlots()
	loops := make(map[replication.PairID]*pairLoop, len(d.Jobs))
	for _, job := range d.Jobs {
		l := &pairLoop{daemon: d, job: job, slots: slots[job.ID.Replica], wake: make(chan struct{}, 1)}
		loops[job.ID] = l
	}
	sources := d.newSourceLoops(loops)
	for _, s := range sources {
		start(func() { s.run(ctx) })
	}
	for _, l := range loops {
		start(func() { l.runPasses(ctx, work) })
	}
	for _, c := range d.newServerLoops(loops, sources) {
		start(func() { c.task().run(ctx, c.log) })
	}
	group.Go(func() error { return d.serveChanges(ctx, sources) })
	group.Go(func() error { return d.watchSpecs(ctx, loops) })
	for _, t := range d.Tasks {
		start(func() { t.run(ctx, d.Log) })
	}
	// Waited for like the loops: nothing is logged once Run has returned.
	start(func() {
		<-ctx.Done()
		d.Log.Info("stopping: running passes finish their objects", "grace", d.Grace.String())
		timer := time.AfterFunc(d.Grace, cut)
		context.AfterFunc(work, func() { timer.Stop() })
	})
	err := group.Wait()
	d.Log.Info("stopped")
	return err
}

// newSlots returns a semaphore for each replica.
func (d *Daemon) newSlots() map[string]chan struct{} {
	all := map[string]chan struct{}{}
	for _, job := range d.Jobs {
		if all[job.ID.Replica] == nil {
			all[job.ID.Replica] = make(chan struct{}, max(d.Parallel, 1))
		}
	}
	return all
}

// watchSpecs watches the specs of the pairs: a stop drains the running pass, any other
// change wakes the pair. It returns before ctx ends only if the state is gone.
func (d *Daemon) watchSpecs(ctx context.Context, loops map[replication.PairID]*pairLoop) error {
	seen := map[replication.PairID]replication.Desired{}
	failing, began := false, d.Now()
	for {
		if d.Present != nil {
			if err := d.Present(); err != nil {
				return err
			}
		}
		pairs, err := d.readPairs(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			d.Log.Error("the state can't be read", "error", err.Error())
		}
		failing = err != nil
		for _, p := range pairs {
			l := loops[p.ID]
			last, known := seen[p.ID]
			changed := known && !reflect.DeepEqual(p.Desired, last)
			if !known { // passes begin with what was requested before the start
				changed = lastChange(p.Desired).After(began)
			}
			seen[p.ID] = p.Desired
			switch {
			case l == nil:
			case p.Desired.Stopped:
				l.drainPass()
			case changed:
				l.wakeUp(replication.TriggerOperator)
			}
		}
		if waitFor(ctx, d.Watch, nil) == ended {
			return nil
		}
	}
}

// readPairs returns the records of the pairs that can be read, and why others can't.
func (d *Daemon) readPairs(ctx context.Context) (map[replication.PairID]replication.PairState, error) {
	ids := make([]replication.PairID, len(d.Jobs))
	for i, job := range d.Jobs {
		ids[i] = job.ID
	}
	known, unread, err := replication.ReadPairs(ctx, d.State, ids)
	failed := []error{err}
	for _, id := range ids {
		failed = append(failed, unread[id])
	}
	return known, errors.Join(failed...)
}

// lastChange returns the time of the newest request of the operator.
func lastChange(d replication.Desired) time.Time {
	return slices.MaxFunc([]time.Time{d.Since, d.AllowedAt, d.ResyncAt, d.ResyncObjectsAt, d.RetryAt}, time.Time.Compare)
}

// addJitter changes a wait by up to a tenth in either direction.
func (d *Daemon) addJitter(wait time.Duration) time.Duration {
	return wait + time.Duration((d.Random()-0.5)*0.2*float64(wait))
}

// wakeReason is why waitFor returned.
type wakeReason int

const (
	ended wakeReason = iota // the context ended
	due                     // the time has passed
	woken                   // the wake channel was signaled
)

// waitFor waits for a time, a signal of wake, or the end of ctx.
func waitFor(ctx context.Context, wait time.Duration, wake <-chan struct{}) wakeReason {
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

// Result is the result of a pass.
type Result struct {
	Run   replication.Run
	Err   error
	Begun bool // false if ctx ended before
}

// Once scans each source and runs one pass for each job, after the scan of its source and
// with the concurrency of Run. It returns the results in the order of the jobs.
func (d *Daemon) Once(ctx context.Context, trigger replication.Trigger, full bool) []Result {
	var group sync.WaitGroup
	scanned := d.scanAll(ctx, &group)
	slots := d.newSlots()
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
			r.Run.Pair = job.ID
			if r.Err = ctx.Err(); r.Err != nil {
				return
			}
			r.Begun = true
			r.Run, r.Err = job.Pass(ctx, replication.PassOptions{Trigger: trigger, Full: full})
		})
	}
	group.Wait()
	return results
}
