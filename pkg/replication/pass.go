package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// pass is one pass under way, under the lease.
type pass struct {
	*Engine
	guard    *guard
	fence    int64
	desired  Desired
	progress Progress
	before   Progress // as it was when the lease was taken
	due      dueWork
	run      Run

	ledger         ledger
	snapshotMarked bool // the next position says how the ledger compares with the snapshot

	primary    string              // who the primary said to be when a compare began
	missing    map[object.Ref]bool // objects to be deleted that the replica doesn't have
	absentBags map[string]bool     // bags that the primary said in this pass not to have
	// bagItems are the items that go with a bag that is being deleted, and keptBags
	// the bags that could not be: their items are deleted singly.
	bagItems map[object.Ref][]object.Ref
	keptBags map[object.Ref]bool

	flights          flights
	staged, uploaded atomic.Int64
	mu               sync.Mutex     // guards what the workers of a window collect
	failures         int            // transient failures in a row
	poison           object.Ref     // not to be touched in this pass
	pruning          bool           // a resync was asked to delete whatever the primary doesn't have
	allowed          bool           // the operator's approval was looked at
	reviewing        bool           // the operator answered the hold: what is held is decided again
	approved         bool           // and it may be deleted
	refusedCreates   refusedCreates // creates that the replica refuses
	// resync is what the operator wants compared on both sides.
	resync map[object.Scope]int64
	// passedBy counts the files that the stage had no room for.
	passedBy atomic.Int64
	// objectsBefore counts, by kind, what the replica had before the deletions of this pass.
	objectsBefore map[object.Kind]int
	// released is what the brake was asked when it let deletions go, and creates are the
	// objects that it counted as being there by then.
	released Brake
	creates  []object.Ref
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
	p := &pass{Engine: e, fence: fence, desired: got.Desired, progress: got.Progress, before: got.Progress, due: t, run: run}
	p.reviewing = holdAnswered(got, taken)
	p.run.ID = runID(taken, fence)
	p.guard = e.watchLease(ctx, fence, taken, o)
	defer p.guard.stopAndWait()
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
	if id := p.due.replica; id != "" && p.progress.knowsReplica(id) {
		p.progress.sawReplica(id, p.Now())
	}
	if same, err := p.checkIdentity(p.guard.hard, &p.progress); err != nil {
		return err
	} else if !same {
		p.due = dueWork{full: true, deep: true, reason: "the primary is another server or organization than before"}
		p.progress.Work = nil
	}
	p.beginRun()
	if p.due.full {
		return p.compareAll()
	}
	return p.applyChanges()
}

// loadLedger reads what the state knows of the objects, and doubts what a pass that
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
	inventory, err := e.State.Inventory(ctx, e.Pair.ID)
	if err != nil {
		return ledger{}, fmt.Errorf("read the inventory: %w", err)
	}
	records, err := e.State.Unsynced(ctx, e.Pair.ID)
	if err != nil {
		return ledger{}, fmt.Errorf("read the unsynced objects: %w", err)
	}
	return newLedger(e.Pair, inventory, records), nil
}

// loadRecords reads what the state knows of the objects, and narrows it to what belongs to
// the pair.
func (p *pass) loadRecords(ctx context.Context) (err error) {
	if p.ledger, err = p.readLedger(ctx); err != nil {
		return err
	}
	p.missing = map[object.Ref]bool{}
	if p.pruning = p.pruneAsked(); p.pruning {
		p.pruneAll()
	}
	p.ledger.pair = p.Pair
	p.ledger.overlookUnselected()
	p.ledger.dropForbiddenHolds()
	return nil
}

// poisonCrashes is how often a pass may die while working on one object alone before
// the object is set aside.
const poisonCrashes = 4

// recoverInterruptedWrites takes up what a pass that died left behind: the objects that it may have
// written aren't believed to be as the inventory says.
func (p *pass) recoverInterruptedWrites() {
	if p.progress.Work == nil || len(p.progress.Work.Intent) == 0 {
		return
	}
	w := *p.progress.Work
	w.Crashes++
	intent := p.Pair.selectRefs(w.Intent)
	for _, r := range intent {
		if w.Deletes { // a bag's items go with it
			w.Intent = slices.Concat(w.Intent, p.ledger.itemsOf(r))
		}
	}
	p.progress.Work = &w
	for _, r := range p.Pair.selectRefs(w.Intent) {
		if _, ours := p.ledger.inventory[r]; ours || !w.Deletes {
			p.ledger.markDirty(r)
		}
		if !w.Deletes {
			p.ledger.markParentBagDirty(r)
		}
	}
	if len(intent) == 1 && w.Crashes >= poisonCrashes {
		p.poison = intent[0]
		p.setAside(p.poison, &fault.Error{Op: "write", Object: p.poison, Class: fault.Rejected,
			Hint: "look for the reason in the log of the process; the object is tried again later",
			Err:  fmt.Errorf("the process died %d times while working on this object", w.Crashes)})
	}
}

// updateWork changes the record of the unfinished pass. Who holds the record as it was
// keeps it.
func (p *pass) updateWork(change func(*Work)) {
	w := *p.progress.Work
	change(&w)
	p.progress.Work = &w
}

// uncountCrash takes back beforehand that the next pass will count this one among those that
// died, if it leaves an Intent behind: it ends in order, though not well.
func (p *pass) uncountCrash() {
	if w := p.progress.Work; w != nil && len(w.Intent) > 0 {
		p.updateWork(func(w *Work) { w.Crashes-- })
	}
}

// beginRun fills the run record and says that the pass starts.
func (p *pass) beginRun() {
	p.run.Mode, p.run.Outcome = ModeChanges, OutcomeRunning
	if p.due.full {
		p.run.Mode = ModeCompare
	}
	if pos := p.progress.Position; pos != nil {
		p.run.From, p.run.To = pos.Seq, pos.Seq
	}
	p.Log.Info("pass begins", "pair", p.Pair.ID.String(), "run", p.run.ID, "mode", p.run.Mode, "reason", p.due.reason, "seq", p.run.From)
}

// finishRun records how the pass ended. Outcomes of objects that were applied but
// not yet committed are written whatever went wrong.
func (p *pass) finishRun(ctx context.Context, err error) (Run, error) {
	now := p.Now()
	var h *holdError
	switch {
	case err == nil:
		p.updateCounts()
		p.run.setOutcome(p.progress)
		p.progress.recordSuccess(now, p.nextPollDelay(p.progress))
	case errors.Is(err, ErrFenced) || errors.Is(context.Cause(p.guard.hard), ErrFenced):
		p.run.Outcome, p.run.Ended = OutcomeBusy, now
		p.logFailure("the lease was lost; the pass ends without recording more", p.run, ErrFenced)
		return p.run, fmt.Errorf("pass of %s: %w", p.Pair.ID, ErrFenced)
	case errors.As(err, &h):
		p.run.Outcome = OutcomeHeld
		p.progress.recordHold(now, h.hold)
		p.Log.Error("the pair is held", "pair", p.Pair.ID.String(), "run", p.run.ID, "reason", h.hold.Reason)
		err = nil
	case errors.Is(err, errOperatorStop):
		p.run.Outcome = OutcomeStopped
		err = nil
	case errors.Is(err, errDrained), errors.Is(err, errDeadline), ctx.Err() != nil:
		p.run.Outcome = OutcomePartial
		p.progress.recordLeft(now, p.Pair.Interval)
		if ctx.Err() == nil {
			err = nil
		}
	default:
		p.run.Outcome = OutcomeFailed
		p.run.Error = newFailure(now, err)
		p.progress.recordFailure(now, p.Pair.Interval, err)
		p.logFailure("the pass failed", p.run, err)
	}
	p.uncountCrash()
	p.run.Ended = now
	saveCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if saveErr := p.commit(saveCtx); saveErr != nil {
		p.run.Outcome = OutcomeFailed
		return p.run, errors.Join(err, saveErr)
	}
	p.logEnd()
	return p.run, err
}

func (p *pass) logEnd() {
	c := p.run.Counts
	p.Log.Info("pass ends", "pair", p.Pair.ID.String(), "run", p.run.ID, "outcome", p.run.Outcome, "mode", p.run.Mode,
		"seq", p.run.To, "changes", c.Changes, "observed", c.Observed, "equal", c.Equal, "created", c.Created,
		"updated", c.Updated, "deleted", c.Deleted, "unsynced", p.progress.Unsynced,
		"staged_bytes", c.Staged, "uploaded_bytes", c.Uploaded, "duration_ms", p.run.Ended.Sub(p.run.Started).Milliseconds())
}

// holdError carries the verdict of the brake to the end of the pass.
type holdError struct{ hold *Hold }

func (h *holdError) Error() string { return "held: " + h.hold.Reason }

// commit writes what was collected since the last commit, with the progress as
// it is now.
func (p *pass) commit(ctx context.Context) error {
	p.updateCounts()
	p.run.Counts.Staged, p.run.Counts.Uploaded = p.staged.Load(), p.uploaded.Load()
	p.reopenSnapshot()
	u := p.ledger.pending
	u.Progress = p.progress
	run := p.run
	if run.Outcome == OutcomeRunning {
		run.Seen = p.Now()
	}
	u.Run = &run
	if err := p.State.Commit(ctx, p.Pair.ID, p.fence, p.Now(), u); err != nil {
		return fmt.Errorf("record the work: %w", err)
	}
	p.ledger.pending = Update{}
	return nil
}

// updateCounts counts what is recorded of the pair, also of what is only overlooked so far:
// the selection may change back before any compare.
func (p *pass) updateCounts() {
	unsynced := withoutHeld(append(p.ledger.failureRecords(), p.ledger.overlooked.Unsynced...))
	p.updateHold()
	p.progress.Objects, p.progress.Unsynced = len(p.ledger.inventory)+len(p.ledger.overlooked.Removed), len(unsynced)
	p.progress.NextRetry, p.progress.UnsyncedSince = time.Time{}, time.Time{}
	for _, u := range unsynced {
		if p.progress.UnsyncedSince.IsZero() || u.FirstSeen.Before(p.progress.UnsyncedSince) {
			p.progress.UnsyncedSince = u.FirstSeen
		}
		if p.progress.NextRetry.IsZero() || u.NextTry.Before(p.progress.NextRetry) {
			p.progress.NextRetry = u.NextTry
		}
	}
}

// setAside lists an object as unsynced.
func (p *pass) setAside(ref object.Ref, err error) {
	if u, set := p.ledger.setFailure(ref, err, p.Now()); set {
		p.logUnsynced("object set aside", u)
	}
}

// setUnlisted lists as unsynced what a listing that failed would have named.
func (p *pass) setUnlisted(scope object.Scope, err error) {
	p.logUnsynced("listing failed", p.ledger.setListingFailure(scope, err, p.Now()))
}

func (p *pass) logUnsynced(msg string, u Unsynced) {
	p.run.Counts.Unsynced++
	p.Log.Warn(msg, "pair", p.Pair.ID.String(), "run", p.run.ID, "kind", string(u.Ref.Kind), "object", u.Ref.Path(),
		"outcome", "unsynced", "class", string(u.Class), "attempts", u.Attempts, "error", u.Reason, "hint", u.Hint)
}

// dueFailures returns the unsynced objects and failed listings whose time has come, and
// those that the operator asked for.
func (p *pass) dueFailures() (due []object.Scope) {
	asked := PairState{Desired: p.desired, Progress: p.progress}.retryAsked()
	only, now := p.desired.RetryOnly, p.Now()
	isDue := func(u Unsynced) bool {
		if asked && (len(only) == 0 || slices.Contains(only, u.Ref)) {
			return true
		}
		if u.Class == fault.DeletionHeld { // no time makes it due
			return p.reviewing
		}
		return !now.Before(capFuture(u.NextTry, now, retryBound))
	}
	for _, u := range p.ledger.failureRecords() {
		if isDue(u) {
			due = append(due, object.Scope(u.Ref))
		}
	}
	if asked {
		p.progress.RetriedAt = p.desired.RetryAt
	}
	return due
}
