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

// pairLoop runs the passes of one pair.
type pairLoop struct {
	daemon           *Daemon
	job              Job
	slots            chan struct{}
	wake             chan struct{}
	failing          atomic.Bool         // the last pass failed, or waits because one did
	sourceReady      <-chan struct{}     // closed once the pair can begin with a position; nil without a source
	lastOutcome      replication.Outcome // that was logged, to log it once
	lastVerification attempt

	lastFileCheck attempt

	mu          sync.Mutex
	stop        context.CancelFunc  // drains the running pass; nil without one
	wakeTrigger replication.Trigger // why it was woken; "" if it wasn't
}

// drainPass lets the running pass end after the objects that it is writing.
func (l *pairLoop) drainPass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
	}
}

// wakeIfFailing wakes a pair that waits after failures: a server answers again.
func (l *pairLoop) wakeIfFailing() {
	if l.failing.Load() {
		l.wakeUp(replication.TriggerRecovery)
	}
}

// wakeUp ends the wait for the next pass.
func (l *pairLoop) wakeUp(trigger replication.Trigger) {
	l.mu.Lock()
	if l.wakeTrigger == "" || triggerPriority(trigger) > triggerPriority(l.wakeTrigger) {
		l.wakeTrigger = trigger
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it was woken before
	}
}

// withDrain calls do with a channel that is closed when ctx ends or drainPass is called.
func (l *pairLoop) withDrain(ctx context.Context, do func(drain <-chan struct{})) {
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

func (l *pairLoop) runPass(ctx, work context.Context, trigger replication.Trigger) (run replication.Run, err error) {
	l.withDrain(ctx, func(drain <-chan struct{}) {
		run, err = l.job.Pass(work, replication.PassOptions{Trigger: trigger, Drain: drain})
	})
	return run, err
}

// startSpread is the time over which the first passes are spread.
const startSpread = 3 * time.Second

// runPasses runs passes until ctx ends; work is the context of their requests.
func (l *pairLoop) runPasses(ctx, work context.Context) {
	d := l.daemon
	if l.sourceReady != nil {
		select {
		case <-l.sourceReady:
		case <-ctx.Done():
			return
		}
	}
	wait := time.Duration(d.Random() * float64(min(l.job.Interval, startSpread)))
	for {
		trigger := l.nextTrigger(ctx, wait)
		if trigger == "" {
			return
		}
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		started := d.Now()
		run, err := l.runPass(ctx, work, trigger)
		if err == nil && (run.Outcome == replication.OutcomeDone || run.Outcome == replication.OutcomeHeld || run.Left > 0) {
			l.verifyIfDue(ctx, work)
		}
		<-l.slots
		l.failing.Store(err != nil || run.Outcome == replication.OutcomeWaiting)
		l.logOutcome(run, err)
		wait = l.nextWait(ctx, started, run, err)
	}
}

// burstDelay is how long a pass waits for more changes after one: they come in bursts, and
// one pass applies them all.
const burstDelay = 200 * time.Millisecond

// nextTrigger waits for the next pass and returns its trigger, "" at the end of ctx. Urgent
// triggers aren't delayed.
func (l *pairLoop) nextTrigger(ctx context.Context, wait time.Duration) (trigger replication.Trigger) {
	switch waitFor(ctx, wait, l.wake) {
	case ended:
		return ""
	case due:
		return replication.TriggerSchedule
	}
	if trigger = l.takeTrigger(); triggerPriority(trigger) > 0 {
		return trigger
	}
	if waitFor(ctx, burstDelay, nil) == ended {
		return ""
	}
	select {
	case <-l.wake: // of the burst
		if cause := l.takeTrigger(); triggerPriority(cause) > 0 {
			return cause
		}
	default:
	}
	return trigger
}

// takeTrigger returns and clears why the pair was woken.
func (l *pairLoop) takeTrigger() replication.Trigger {
	l.mu.Lock()
	defer l.mu.Unlock()
	cause := l.wakeTrigger
	l.wakeTrigger = ""
	return cmp.Or(cause, replication.TriggerScan)
}

// triggerPriority returns 0 for a trigger that isn't urgent.
func triggerPriority(trigger replication.Trigger) int {
	switch trigger {
	case replication.TriggerOperator:
		return 2
	case replication.TriggerRecovery:
		return 1
	}
	return 0
}

// nextWait returns how long to wait for the next pass: not at all if work is left, until
// the recorded time if the pair fails, else for the rest of the interval.
func (l *pairLoop) nextWait(ctx context.Context, started time.Time, run replication.Run, err error) time.Duration {
	d := l.daemon
	if err == nil && run.Outcome == replication.OutcomePartial && run.Left == 0 {
		return 0
	}
	now := d.Now()
	wait := d.addJitter(l.job.Interval) - now.Sub(started)
	if err != nil || run.Outcome == replication.OutcomeWaiting {
		if st, readErr := d.State.Pair(ctx, l.job.ID); readErr == nil {
			wait = max(wait, st.Progress.NextTry(now, l.job.Interval).Sub(now))
		}
	}
	return max(wait, time.Second)
}

// retryVerification is the wait after a verification that failed, retryBusy after one that
// found the pair leased by another process.
const (
	retryVerification = 15 * time.Minute
	retryBusy         = time.Minute
)

// verifyIfDue compares both sides, and checks a portion of the files, when they are due.
func (l *pairLoop) verifyIfDue(ctx, work context.Context) {
	d, job := l.daemon, l.job
	objects := job.VerifyEvery > 0 && l.lastVerification.isDue(job.VerifyEvery, d.Now())
	files := job.FilesEvery > 0 && l.lastFileCheck.isDue(job.FilesEvery, d.Now())
	if job.Verify == nil || !objects && !files {
		return
	}
	st, err := d.State.Pair(ctx, job.ID)
	if err != nil {
		return // watchSpecs logs it
	}
	if objects && st.Progress.VerifyDue(job.VerifyEvery, d.Now()) {
		l.lastVerification = l.verifyNow(ctx, work, replication.VerifyOptions{})
	}
	if files && ctx.Err() == nil && st.Progress.FilesDue(job.FilesEvery, d.Now()) {
		l.lastFileCheck = l.verifyNow(ctx, work, replication.VerifyOptions{Portion: true})
	}
}

// attempt is the time of the last verification and the wait for the next one.
type attempt struct {
	at   time.Time
	wait time.Duration
}

func (a attempt) isDue(every time.Duration, now time.Time) bool {
	waited := now.Sub(a.at)
	return waited < 0 || waited >= min(every, a.wait) // below 0: the clock was ahead
}

func (l *pairLoop) verifyNow(ctx, work context.Context, o replication.VerifyOptions) attempt {
	d, began := l.daemon, attempt{l.daemon.Now(), retryVerification}
	var report replication.Report
	var err error
	l.withDrain(ctx, func(drain <-chan struct{}) {
		o.Trigger, o.Drain = replication.TriggerSchedule, drain
		report, err = l.job.Verify(work, o)
	})
	var leased *replication.LeasedError
	switch {
	case err == nil && o.Portion:
		began.wait = 0 // the record says when the next portion is due
	case err == nil, report.Outcome == replication.OutcomePartial:
	case errors.As(err, &leased):
		d.Log.Info("the verification waits: another process is working on the pair", "pair", l.job.ID.String(), "owner", leased.Lease.Owner,
			"until", leased.Lease.Expires.UTC().Format(time.RFC3339))
		began.wait = retryBusy
	default:
		d.Log.Warn("verification failed", "pair", l.job.ID.String(), "error", err.Error())
	}
	return began
}

// logOutcome logs the outcome of a pass if it differs from the one before. The engine logs
// what a pass did.
func (l *pairLoop) logOutcome(run replication.Run, err error) {
	word := run.Outcome
	var leased *replication.LeasedError
	if errors.As(err, &leased) {
		word = replication.OutcomeBusy
	}
	if word == l.lastOutcome || word == replication.OutcomeWaiting {
		return
	}
	was := l.lastOutcome
	l.lastOutcome = word
	log := l.daemon.Log.With("pair", l.job.ID.String())
	switch word {
	case replication.OutcomeBusy:
		log.Info("another process is working on this pair; waiting for its lease to expire")
	case replication.OutcomeHeld:
		log.Warn("deletions wait for approval")
	case replication.OutcomeStopped:
		log.Info("stopped by the operator")
	case replication.OutcomeFailed:
		// The engine has logged why.
	case replication.OutcomeDone:
		if was != "" && was != replication.OutcomePartial {
			log.Info("working again", "after", was)
		}
	}
}
