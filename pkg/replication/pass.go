package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// pass is one pass under way, under the lease, or one that only reads. Each part owns what
// it collects; all share the ledger.
type pass struct {
	*Engine
	guard    *guard
	due      dueWork
	ledger   *ledger
	rec      *recorder
	errs     *errorClassifier
	lister   *lister
	observer *observer
	files    *fileStager
	brake    *deletionBrake
	writer   *writer

	poison object.Ref // not to be touched in this pass
}

// newPass returns a pass of a pair with the given record. Without a lease its guard is of
// watchReading, and nothing may be written.
func (e *Engine) newPass(g *guard, st PairState, run Run) *pass {
	prune := st.pruneAsked(e.Now())
	if prune { // this pass deletes whatever the primary doesn't have
		pruning := *e
		pruning.Pair.Prune = PruneAll
		e = &pruning
	}
	l := &ledger{pair: e.Pair}
	errs, files := &errorClassifier{}, &fileStager{Engine: e}
	rec := &recorder{Engine: e, guard: g, fence: st.Lease.Fence, files: files, ledger: l,
		desired: st.Desired, progress: st.Progress, before: st.Progress, run: run}
	backups := &backupWriter{Engine: e, guard: g, errs: errs, rec: rec, bags: map[object.Ref]bool{}}
	brake := &deletionBrake{Engine: e, guard: g, rec: rec, ledger: l, pruning: prune}
	return &pass{
		Engine: e, guard: g, ledger: l, rec: rec, errs: errs, files: files, brake: brake,
		lister:   &lister{Engine: e, guard: g, errs: errs, rec: rec, ledger: l},
		observer: &observer{Engine: e, guard: g, errs: errs, rec: rec, ledger: l},
		writer: &writer{Engine: e, guard: g, errs: errs, rec: rec, ledger: l, files: files, brake: brake, backups: backups,
			deletionReason: "gone from the primary"},
	}
}

// runPass does a pass that has something to do: takes the lease, goes through the
// work in windows, and records how it ended.
func (e *Engine) runPass(ctx context.Context, st PairState, run Run, t dueWork, o PassOptions) (Run, error) {
	taken := e.Now()
	got, err := e.acquireLease(ctx, taken)
	if err != nil {
		return e.busyRun(run, err)
	}
	fence := got.Lease.Fence
	defer e.releaseLease(ctx, fence)
	// Somebody worked on the pair since its record was read: what was found to
	// do is out of date.
	if got.Lease.Fence != st.Lease.Fence+1 || got.Desired.Stopped {
		run.Outcome, run.Ended = OutcomeBusy, e.Now()
		return run, nil
	}
	run.ID = runID(taken, fence)
	g := e.watchLease(ctx, fence, taken, o)
	defer g.stopAndWait()
	p := e.newPass(g, got, run)
	p.due = t
	p.brake.reviewing = holdAnswered(got, taken)
	err = p.doWork()
	return p.finishRun(ctx, err)
}

// runID names a run: sorted by time, and apart from all others of the pair.
func runID(taken time.Time, fence int64) string {
	return fmt.Sprintf("%s-%d", taken.UTC().Format("20060102T150405.000Z"), fence)
}

// doWork goes through the work.
func (p *pass) doWork() error {
	if err := p.loadLedger(p.guard.hard); err != nil {
		return err
	}
	p.resumeAfterHold()
	if id := p.due.replica; id != "" && p.rec.progress.knowsReplica(id) {
		p.rec.progress.sawReplica(id, p.Now())
	}
	if same, err := p.checkIdentity(p.guard.hard); err != nil {
		return err
	} else if !same {
		p.due = dueWork{full: true, repairs: true, reason: "the primary is a different server or organization than before"}
		p.rec.progress.Work = nil
	}
	p.beginRun()
	if p.due.full {
		return (&comparison{pass: p}).compareAll()
	}
	return p.applyChanges()
}

// loadLedger reads what the state knows of the objects, and marks dirty what a pass that
// died left behind.
func (p *pass) loadLedger(ctx context.Context) error {
	if err := p.loadRecords(ctx); err != nil {
		return err
	}
	p.recoverInterruptedWrites()
	return nil
}

// readLedger reads what the state knows of the objects.
func (e *Engine) readLedger(ctx context.Context) (ledger, error) {
	entries, err := e.State.Entries(ctx, e.Pair.ID)
	if err != nil {
		return ledger{}, fmt.Errorf("read the ledger: %w", err)
	}
	return newLedger(e.Pair, entries), nil
}

// loadRecords reads what the state knows of the objects, and narrows it to what belongs to
// the pair.
func (p *pass) loadRecords(ctx context.Context) (err error) {
	if *p.ledger, err = p.readLedger(ctx); err != nil {
		return err
	}
	p.brake.missing = map[object.Ref]bool{}
	p.ledger.dropForbiddenHolds()
	return nil
}

// poisonCrashes is how often a pass may die while working on one object alone before
// the object becomes unsynced.
const poisonCrashes = 4

// recoverInterruptedWrites takes up what a pass that died left behind: the objects that it may have
// written can't be assumed to be as the ledger says.
func (p *pass) recoverInterruptedWrites() {
	if p.rec.progress.Work == nil || len(p.rec.progress.Work.Intent) == 0 {
		return
	}
	w := *p.rec.progress.Work
	w.Crashes++
	intent := p.Pair.selectRefs(w.Intent)
	for _, r := range intent {
		if w.Deletes { // a bag's items go with it
			w.Intent = slices.Concat(w.Intent, p.ledger.itemsOf(r))
		}
	}
	p.rec.progress.Work = &w
	for _, r := range p.Pair.selectRefs(w.Intent) {
		if p.ledger.isReplicated(r) || !w.Deletes {
			p.ledger.markDirty(r)
		}
		if !w.Deletes {
			p.ledger.markParentBagDirty(r)
		}
	}
	if len(intent) == 1 && w.Crashes >= poisonCrashes {
		p.poison = intent[0]
		p.rec.markUnsynced(p.poison, &fault.Error{Op: "write", Object: p.poison, Class: fault.Rejected,
			Hint: "look for the reason in the log of the process; the object is tried again later",
			Err:  fmt.Errorf("the process died %d times while working on this object", w.Crashes)})
	}
}

// beginRun fills the run record and says that the pass starts.
func (p *pass) beginRun() {
	p.rec.run.Mode, p.rec.run.Outcome = ModeChanges, OutcomeRunning
	if p.due.full {
		p.rec.run.Mode = ModeCompare
	}
	if pos := p.rec.progress.Position; pos != nil {
		p.rec.run.From, p.rec.run.To = pos.Seq, pos.Seq
	}
	p.Log.Info("pass begins", "pair", p.Pair.ID.String(), "run", p.rec.run.ID, "mode", p.rec.run.Mode, "reason", p.due.reason, "seq", p.rec.run.From)
}

// finishRun records how the pass ended. Outcomes of objects that were applied but
// not yet committed are written whatever went wrong.
func (p *pass) finishRun(ctx context.Context, err error) (Run, error) {
	now := p.Now()
	hold := heldBy(err)
	p.rec.run.Outcome, err = p.guard.outcomeOf(ctx, err)
	switch p.rec.run.Outcome {
	case OutcomeDone:
		p.rec.updateCounts()
		p.rec.run.setOutcome(p.rec.progress)
		p.rec.progress.recordSuccess(now, p.nextPollDelay(p.rec.progress), p.due.full || p.due.next != nil)
	case OutcomeBusy:
		p.rec.run.Ended = now
		p.logFailure("the lease was lost; the pass ends without recording more", p.rec.run, err)
		return p.rec.run, fmt.Errorf("pass of %s: %w", p.Pair.ID, err)
	case OutcomeHeld:
		p.rec.progress.recordHold(now, hold)
		p.Log.Error("the pair is held", "pair", p.Pair.ID.String(), "run", p.rec.run.ID, "reason", hold.Reason)
	case OutcomePartial:
		p.rec.progress.recordLeft(now, p.Pair.Interval)
	case OutcomeFailed:
		p.rec.run.Error = newFailure(now, err)
		p.rec.progress.recordFailure(now, p.Pair.Interval, err)
		p.logFailure("the pass failed", p.rec.run, err)
	}
	p.rec.uncountCrash()
	p.rec.run.Ended = now
	if saveErr := p.rec.commitEnd(ctx); saveErr != nil {
		return p.rec.run, errors.Join(err, saveErr)
	}
	p.rec.logEnd("pass ends")
	return p.rec.run, err
}

// holdError carries the verdict of the brake to the end of the pass.
type holdError struct{ hold *Hold }

func (h *holdError) Error() string { return "held: " + h.hold.Reason }

// dueFailures returns the unsynced objects and failed listings whose time has come, and
// those that the operator asked for.
func (p *pass) dueFailures() (due []object.Scope) {
	asked := PairState{Desired: p.rec.desired, Progress: p.rec.progress}.RetryAsked()
	only, now := p.rec.desired.RetryOnly, p.Now()
	isDue := func(u Unsynced) bool {
		if asked && (len(only) == 0 || slices.Contains(only, u.Ref)) {
			return true
		}
		if u.Class == fault.DeletionHeld { // no time makes it due
			return p.brake.reviewing
		}
		return !now.Before(capFuture(u.NextTry, now, retryBound))
	}
	for _, u := range p.ledger.failureRecords() {
		if isDue(u) {
			due = append(due, object.Scope(u.Ref))
		}
	}
	if asked {
		p.rec.progress.RetriedAt = p.rec.desired.RetryAt
	}
	return due
}
