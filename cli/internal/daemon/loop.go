package daemon

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"chefsync/pkg/replication"
)

// loop is the life of one pair.
type loop struct {
	daemon  *Daemon
	job     Job
	slots   chan struct{}
	wake    chan struct{}
	failing atomic.Bool     // the newest pass failed, or waits because one did
	scanned <-chan struct{} // closed once its source was scanned; nil without one
	said    string          // what was last said about the pair, to say it once
	tried   attempt         // the last verification

	filesTried attempt // the last check of files

	mu    sync.Mutex
	stop  context.CancelFunc // drains the pass at work; nil without one
	cause string             // the trigger of who woke it; "" when nobody did
}

// drain lets the pass at work end with the objects in its hands.
func (l *loop) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
	}
}

// recovered ends the wait that failures put off: a server answers again.
func (l *loop) recovered() {
	if l.failing.Load() {
		l.wakeUp(triggerRecovery)
	}
}

// wakeUp ends the wait for the next pass: by the word of a scan or a push, there may
// be a change to read, or a server answers again, or the operator changed a wish.
func (l *loop) wakeUp(trigger string) {
	l.mu.Lock()
	if l.cause == "" || urgency(trigger) > urgency(l.cause) {
		l.cause = trigger
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
}

// drainable calls do with what tells it to end with the objects in its hands: the
// end of ctx, or drain.
func (l *loop) drainable(ctx context.Context, do func(drain <-chan struct{})) {
	drained, stop := context.WithCancel(ctx)
	defer stop()
	l.mu.Lock()
	l.stop = stop
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.stop = nil
	}()
	do(drained.Done())
}

// pass runs one pass.
func (l *loop) pass(ctx, work context.Context, trigger string) (run replication.Run, err error) {
	l.drainable(ctx, func(drain <-chan struct{}) {
		run, err = l.job.Pass(work, replication.PassOptions{Trigger: trigger, Drain: drain})
	})
	return run, err
}

// startSpread is over how long the first passes are spread.
const startSpread = 3 * time.Second

func (l *loop) run(ctx, work context.Context) {
	d := l.daemon
	if l.scanned != nil {
		select {
		case <-l.scanned:
		case <-ctx.Done():
			return
		}
	}
	wait := time.Duration(d.Random() * float64(min(l.job.Interval, startSpread)))
	for {
		trigger := l.await(ctx, wait)
		if trigger == "" {
			return
		}
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		started := d.Now()
		run, err := l.pass(ctx, work, trigger)
		if err == nil && (run.Outcome == replication.OutcomeDone || run.Outcome == replication.OutcomeHeld || run.Left > 0) {
			l.verify(ctx, work)
		}
		<-l.slots
		l.failing.Store(err != nil || run.Outcome == replication.OutcomeWaiting)
		l.say(run, err)
		wait = l.next(ctx, started, run, err)
	}
}

// settle is how long more changes are waited for after word of one: they come in
// bursts, and one pass does for all.
const settle = 200 * time.Millisecond

// await waits for the next pass and returns its trigger, "" at the end of ctx. A
// pass that doesn't wait for the time that failures put off begins at once.
func (l *loop) await(ctx context.Context, wait time.Duration) (trigger string) {
	switch sleep(ctx, wait, l.wake) {
	case ended:
		return ""
	case due:
		return replication.TriggerSchedule
	}
	if trigger = l.takeCause(); urgency(trigger) > 0 {
		return trigger
	}
	if sleep(ctx, settle, nil) == ended {
		return ""
	}
	select {
	case <-l.wake: // of the burst
		if cause := l.takeCause(); urgency(cause) > 0 {
			return cause
		}
	default:
	}
	return trigger
}

// takeCause returns the trigger of who woke the pair: the most urgent, or else the
// first.
func (l *loop) takeCause() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	cause := l.cause
	l.cause = ""
	return cmp.Or(cause, replication.TriggerScan)
}

// The triggers of passes that don't wait for the time that failures put off: what the
// operator changed woke the pair, or a server that answers again.
const (
	TriggerOperator = replication.TriggerOperator
	triggerRecovery = "recovery"
)

func urgency(trigger string) int {
	switch trigger {
	case TriggerOperator:
		return 2
	case triggerRecovery:
		return 1
	}
	return 0
}

// next is how long to wait for the next pass: no time when work is left, until
// the time that the engine wrote down when the pair is failing, else the rest of
// the interval.
func (l *loop) next(ctx context.Context, started time.Time, run replication.Run, err error) time.Duration {
	d := l.daemon
	if err == nil && run.Outcome == replication.OutcomePartial && run.Left == 0 {
		return 0
	}
	now := d.Now()
	wait := d.jitter(l.job.Interval) - now.Sub(started)
	if err != nil || run.Outcome == replication.OutcomeWaiting {
		if st, readErr := d.State.Pair(ctx, l.job.ID); readErr == nil {
			wait = max(wait, st.Progress.NextTry(now, l.job.Interval).Sub(now))
		}
	}
	return max(wait, time.Second)
}

// verifyAgain is after how long a verification is tried again that didn't end, and
// verifyBusy one that met another process at work.
const (
	verifyAgain = 15 * time.Minute
	verifyBusy  = time.Minute
)

// verify compares both sides, and checks a portion of the files, when their time has
// come.
func (l *loop) verify(ctx, work context.Context) {
	d, job := l.daemon, l.job
	objects := job.VerifyEvery > 0 && l.tried.due(job.VerifyEvery, d.Now())
	files := job.FilesEvery > 0 && l.filesTried.due(job.FilesEvery, d.Now())
	if job.Verify == nil || !objects && !files {
		return
	}
	st, err := d.State.Pair(ctx, job.ID)
	if err != nil {
		return // a state that can't be read is said by the watch
	}
	if objects && st.Progress.VerifyDue(job.VerifyEvery, d.Now()) {
		l.tried = l.verifyNow(ctx, work, replication.VerifyOptions{})
	}
	if files && ctx.Err() == nil && st.Progress.FilesDue(job.FilesEvery, d.Now()) {
		l.filesTried = l.verifyNow(ctx, work, replication.VerifyOptions{Portion: true})
	}
}

// attempt is a verification that was begun, and how long another waits.
type attempt struct {
	at   time.Time
	wait time.Duration
}

func (a attempt) due(every time.Duration, now time.Time) bool {
	waited := now.Sub(a.at)
	return waited < 0 || waited >= min(every, a.wait) // below 0: the clock was ahead
}

func (l *loop) verifyNow(ctx, work context.Context, o replication.VerifyOptions) attempt {
	d, began := l.daemon, attempt{l.daemon.Now(), verifyAgain}
	var report replication.Report
	var err error
	l.drainable(ctx, func(drain <-chan struct{}) {
		o.Trigger, o.Drain = replication.TriggerSchedule, drain
		report, err = l.job.Verify(work, o)
	})
	var leased *replication.LeasedError
	switch {
	case err == nil && o.Portion:
		began.wait = 0 // a round has its own pace
	case err == nil, report.Outcome == replication.OutcomePartial:
	case errors.As(err, &leased):
		d.Log.Info("the verification waits: another process works on the pair", "pair", l.job.ID.String(), "owner", leased.Lease.Owner,
			"until", leased.Lease.Expires.UTC().Format(time.RFC3339))
		began.wait = verifyBusy
	default:
		d.Log.Warn("verification failed", "pair", l.job.ID.String(), "error", err.Error())
	}
	return began
}

// say logs how the pair does, when that is news. The engine itself logs what a
// pass did.
func (l *loop) say(run replication.Run, err error) {
	word := run.Outcome
	var leased *replication.LeasedError
	if errors.As(err, &leased) {
		word = replication.OutcomeBusy
	}
	if word == l.said || word == replication.OutcomeWaiting {
		return
	}
	was := l.said
	l.said = word
	log := l.daemon.Log.With("pair", l.job.ID.String())
	switch word {
	case replication.OutcomeBusy:
		log.Info("another process works on this pair; waiting for its lease to end")
	case replication.OutcomeHeld:
		log.Warn("deletions wait for approval")
	case replication.OutcomeStopped:
		log.Info("stopped by the operator")
	case replication.OutcomeFailed:
		// The engine has said why.
	case replication.OutcomeDone:
		if was != "" && was != replication.OutcomePartial {
			log.Info("working again", "after", was)
		}
	}
}
