package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// Engine does the passes of one pair. All fields but Feed, Log, Now, OwnerDied and Observe
// are needed. An Engine may be used again and again, but not concurrently.
type Engine struct {
	Pair   Pair
	Feed   Feed // nil: the primary has none
	Source Source
	Target Target
	Stage  Stage
	State  State
	Log    *slog.Logger
	Now    func() time.Time
	// Owner names this process in the lease. It must differ between processes.
	Owner string
	// OwnerDied reports whether the process that an owner names in a lease is known
	// to be dead; nil knows nothing. The lease of a dead process is taken over at once.
	OwnerDied func(owner string) bool
	// Observe is called with progress, to be shown. It must be quick.
	Observe func(ProgressEvent)
	// Tuning is for tests and experts.
	Tuning Tuning
}

// ProgressEvent is a sign of progress.
type ProgressEvent struct {
	Pair  PairID
	Phase Phase
	// Done counts the objects that the run is done with, of the Total of the whole work,
	// not of a window. A listing has no total.
	Done, Total int
	Bytes       int64 // of file content that was sent to the replica
	Ref         object.Ref
}

// DefaultLeaseTTL is how long a lease lasts that isn't renewed.
const DefaultLeaseTTL = time.Minute

// Tuning bounds a pass. Zero values mean the defaults.
type Tuning struct {
	LeaseTTL    time.Duration // DefaultLeaseTTL
	Overlap     int64         // ids read again below the position, of a feed without epochs: 100
	Window      int           // objects between two commits: 100
	WindowBytes int           // bytes of bodies held in a window: 16 MiB
	Backlog     int           // dirty objects beyond which a full comparison is cheaper: 1,000
	Margin      time.Duration // stop before the deadline: 5 s
	// RecordPollsEvery is how long the record of a poll that found nothing stands for
	// those after it, where each write costs money; 0 records every poll.
	RecordPollsEvery time.Duration
}

func (t Tuning) withDefaults() Tuning {
	if t.LeaseTTL <= 0 {
		t.LeaseTTL = DefaultLeaseTTL
	}
	if t.Overlap <= 0 {
		t.Overlap = 100
	}
	if t.Window <= 0 {
		t.Window = 100
	}
	if t.WindowBytes <= 0 {
		t.WindowBytes = 16 << 20
	}
	if t.Backlog <= 0 {
		t.Backlog = 1000
	}
	if t.Margin <= 0 {
		t.Margin = 5 * time.Second
	}
	return t
}

// PassOptions say how a pass is to be done.
type PassOptions struct {
	Trigger Trigger // for the run record
	// Full asks for a full comparison that reads both sides.
	Full bool
	// Deadline is when the process must be done; zero means never.
	Deadline time.Time
	// Drain, when closed, ends the pass after the objects in progress.
	Drain <-chan struct{}

	stopped bool // the pair may be stopped
}

// Outcome is how a run ended.
type Outcome string

// The outcomes of a run.
const (
	OutcomeDone    Outcome = "done"    // nothing is left
	OutcomeDiffers Outcome = "differs" // a verification found differences and left them
	OutcomePartial Outcome = "partial" // unsynced objects are left (Run.Left), or work for the next pass
	OutcomeFailed  Outcome = "failed"  // a server or this machine failed
	OutcomeHeld    Outcome = "held"    // deletions wait for approval; all else is done
	OutcomeStopped Outcome = "stopped" // the operator has stopped the pair
	OutcomeBusy    Outcome = "busy"    // another process is working on the pair
	OutcomeWaiting Outcome = "waiting" // the pair failed before; its next try isn't due
)

// Trigger is what started a run.
type Trigger string

// The triggers that keep to the waiting time after failures: the interval, a scan that
// found changes, and a change that was pushed.
const (
	TriggerSchedule Trigger = "schedule"
	TriggerScan     Trigger = "scan"
	TriggerPush     Trigger = "push"
)

// The triggers that don't keep to the waiting time after failures: a change of the
// desired state that a process was waiting for, such as of sync-start or resync, a
// command that runs the pass itself, and a server that answers again.
const (
	TriggerOperator Trigger = "operator"
	TriggerManual   Trigger = "manual"
	TriggerRecovery Trigger = "recovery"
)

// Mode is what a run does; "" is a poll that found no work.
type Mode string

// The modes of a run.
const (
	ModeChanges Mode = "changes" // applies changes
	ModeCompare Mode = "compare" // compares everything and applies what differs
	ModeVerify  Mode = "verify"  // compares everything and reports what differs
	ModeFiles   Mode = "files"   // checks the content of cookbook files
	ModeRepair  Mode = "repair"  // repairs what a verification found
	ModeUndo    Mode = "undo"    // restores what runs replaced
)

// Phase is what a run is doing, as progress shows it.
type Phase string

// The phases of a run.
const (
	PhaseListPrimary Phase = "listing the primary"
	PhaseListReplica Phase = "listing the replica"
	PhaseRead        Phase = "reading"
	PhaseCompare     Phase = "comparing"
	PhaseCheckFiles  Phase = "checking files"
	PhaseWrite       Phase = "writing"
	PhaseDelete      Phase = "deleting"
)

// isAutomatic reports whether a trigger keeps to the waiting time after failures.
func isAutomatic(trigger Trigger) bool {
	return trigger == TriggerSchedule || trigger == TriggerScan || trigger == TriggerPush
}

// Pass runs the engine once. The error, if any, is why the pass failed; the Run
// says what was done all the same. A pass that finds nothing to do costs one
// request to the primary, one state read and one state write.
func (e *Engine) Pass(ctx context.Context, o PassOptions) (Run, error) {
	return e.startRun(ctx, o, nil, func(st PairState, run Run) (Run, error) {
		todo, err := e.lookForWork(ctx, st, o)
		run.Changes(todo)
		switch {
		case err != nil:
			return e.pollFailed(ctx, st, run, err)
		case todo.held:
			run.Outcome, run.Ended = OutcomeHeld, e.Now()
			return run, nil
		case !todo.hasWork():
			return e.emptyPoll(ctx, st, run, todo)
		}
		return e.runPass(ctx, st, run, todo, o)
	})
}

// Fail records that a pass couldn't even begin, since a key can't be read, say.
// Only Pair, State, Log and Now are needed. It returns what Pass would.
func (e *Engine) Fail(ctx context.Context, o PassOptions, cause error) (Run, error) {
	return e.startRun(ctx, o, cause, func(st PairState, run Run) (Run, error) {
		return e.pollFailed(ctx, st, run, cause)
	})
}

// startRun reads the record of the pair and goes on, unless nothing may be done now. Cause
// is why nothing can be done, if that is known before.
func (e *Engine) startRun(ctx context.Context, o PassOptions, cause error, goOn func(PairState, Run) (Run, error)) (Run, error) {
	e.setDefaults()
	run := Run{Pair: e.Pair.ID, Trigger: o.Trigger, Started: e.Now()}
	st, err := e.State.Pair(ctx, e.Pair.ID)
	if err != nil {
		return e.failedRun(run, errors.Join(cause, err))
	}
	if outcome := e.skipReason(st, o.Trigger, run.Started); outcome != "" {
		run.Outcome, run.Ended = outcome, e.Now()
		return run, nil
	}
	// The holder may commit and release while this process polls, and what was
	// read now would be written over it.
	if st, err = e.withFreeLease(ctx, st, run.Started); err != nil {
		return e.busyRun(run, err)
	}
	return goOn(st, run)
}

func (e *Engine) setDefaults() {
	e.Tuning = e.Tuning.withDefaults()
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	if e.Observe == nil {
		e.Observe = func(ProgressEvent) {}
	}
}

// skipReason says why a pair must not be worked on now, or "".
func (e *Engine) skipReason(st PairState, trigger Trigger, now time.Time) Outcome {
	switch {
	case st.Desired.Stopped:
		return OutcomeStopped
	case isAutomatic(trigger) && st.Progress.Failures > 0 && now.Before(st.Progress.NextTry(now, e.Pair.Interval)):
		return OutcomeWaiting
	}
	return ""
}

// holdAnswered reports whether the operator answered the hold of a pair.
func holdAnswered(st PairState, now time.Time) bool {
	h := st.Progress.Hold
	return h != nil && h.Primary == "" && h.isAnsweredBy(st.Desired.AllowedAt, now)
}

// isAnsweredBy reports whether the operator's answer came after a hold, as far as clocks may
// differ. The hold may be of one that was ahead: then the answer counts for as long as an
// approval does.
func (h *Hold) isAnsweredBy(answer, now time.Time) bool {
	skew := clockSkew
	switch {
	case h.LastAnswer.IsZero():
		skew = 0
	case sameMoment(answer, h.LastAnswer):
		return false
	}
	return answer.After(h.At.Add(-skew)) || isAhead(h.At, now) && ageAt(answer, now) < time.Hour
}

// lastAnswer returns [Hold.LastAnswer] of a hold that begins now.
func lastAnswer(answered, now time.Time) time.Time {
	if answered.IsZero() {
		return now
	}
	return answered
}

// allowedDeletions is how many deletions the operator approved for the coming pass. An
// approval is good for one pass, for an hour, and for the primary that was accepted.
func allowedDeletions(st PairState, now time.Time) int {
	d := st.Desired
	if !d.AllowedAt.Before(d.PrimaryAcceptedAt) && !sameMoment(d.AllowedAt, st.Progress.AllowanceUsed) && ageAt(d.AllowedAt, now) < time.Hour {
		return d.AllowDeletes
	}
	return 0
}

// nextPollDelay is the time to the next pass.
func (e *Engine) nextPollDelay(p Progress) time.Duration {
	if p.Position == nil {
		return max(e.Pair.CompareEvery, e.Pair.Interval)
	}
	return e.Pair.Interval
}

// emptyPoll records that there was nothing to do. Losing the race against
// another process is no harm: that one records more.
func (e *Engine) emptyPoll(ctx context.Context, st PairState, run Run, todo dueWork) (Run, error) {
	now := e.Now()
	run.Ended = now
	p := st.Progress
	run.setOutcome(p)
	if todo.replica != "" {
		p.sawReplica(todo.replica, now)
	} else if todo.noop && p.Failures == 0 || e.recordIsFresh(p, todo.next, now) {
		return run, nil
	}
	p.recordSuccess(now, e.nextPollDelay(p), todo.next != nil)
	if todo.next != nil {
		p.Position = todo.next
	}
	err := e.State.SaveProgress(ctx, e.Pair.ID, st.Lease.Fence, now, p)
	if err != nil && !errors.Is(err, ErrFenced) {
		return e.failedRun(run, fmt.Errorf("record the poll: %w", err))
	}
	return run, nil
}

// setOutcome records that a pass did all it could, and what it left.
func (r *Run) setOutcome(p Progress) {
	r.Outcome, r.Left = OutcomeDone, p.Unsynced
	switch {
	case p.Hold != nil:
		r.Outcome = OutcomeHeld
	case p.Unsynced > 0:
		r.Outcome = OutcomePartial
	}
}

// recordIsFresh reports whether the record says of this poll all that matters.
func (e *Engine) recordIsFresh(p Progress, next *Position, now time.Time) bool {
	moved := next != nil && (p.Position == nil || next.Seq != p.Position.Seq || next.Snapshot != p.Position.Snapshot)
	return (p.Status == Synced || p.Status == Held) && p.LastError == nil && !moved && ageAt(p.LastSuccess, now) < e.Tuning.RecordPollsEvery
}

// pollFailed records a poll that could not find out whether there is work.
func (e *Engine) pollFailed(ctx context.Context, st PairState, run Run, err error) (Run, error) {
	if isCanceled(err) && ctx.Err() != nil {
		run.Outcome, run.Ended = OutcomePartial, e.Now()
		return run, err
	}
	p := st.Progress
	p.recordFailure(e.Now(), e.Pair.Interval, err)
	noteCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if noteErr := e.State.SaveProgress(noteCtx, e.Pair.ID, st.Lease.Fence, e.Now(), p); noteErr != nil && !errors.Is(noteErr, ErrFenced) {
		err = errors.Join(err, fmt.Errorf("record the failure: %w", noteErr))
	}
	e.logFailure("poll failed", run, err)
	return e.failedRun(run, err)
}

// busyRun ends a pass that can't have the lease.
func (e *Engine) busyRun(run Run, err error) (Run, error) {
	var leased *LeasedError
	if !errors.As(err, &leased) {
		return e.failedRun(run, fmt.Errorf("take the lease: %w", err))
	}
	run.Outcome, run.Ended = OutcomeBusy, e.Now()
	return run, err
}

func (e *Engine) failedRun(run Run, err error) (Run, error) {
	run.Outcome, run.Ended = OutcomeFailed, e.Now()
	run.Error = newFailure(e.Now(), err)
	return run, err
}

func (e *Engine) logFailure(msg string, run Run, err error) {
	e.Log.Error(msg, "pair", e.Pair.ID.String(), "run", run.ID, "class", string(fault.ClassOf(err)), "error", err.Error(), "hint", fault.HintOf(err))
}

func newFailure(at time.Time, err error) *Failure {
	return &Failure{At: at, Class: fault.ClassOf(err), Message: err.Error(), Hint: fault.HintOf(err)}
}
