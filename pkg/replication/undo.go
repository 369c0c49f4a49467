package replication

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// NewUndoRequest returns the change of the desired state that must come before Undo: the
// pair is stopped until somebody starts it.
func NewUndoRequest(run string, now time.Time) DesiredChange {
	reason := "restored to its state before run " + run
	return DesiredChange{Stop: new(true), Reason: &reason, At: now}
}

// undo is an undo under way: a pass that has the backups for its source.
type undo struct {
	*pass
	backups map[object.Ref]Backup
	foreign map[object.Ref]bool // that aren't replication's when they are restored
}

// PreviewUndo says what Undo would do, and does nothing.
func (e *Engine) PreviewUndo(ctx context.Context, undone string) (Plan, error) {
	e.setDefaults()
	plan := Plan{Pair: e.Pair.ID, Mode: ModeUndo, Reason: "back to before run " + undone, At: e.Now(), Steps: []Decision{}}
	st, err := e.State.Pair(ctx, e.Pair.ID)
	if err != nil {
		return plan, err
	}
	backups, err := e.backupsSince(ctx, st, undone)
	if err != nil {
		return plan, err
	}
	g := e.watchReading(ctx, PassOptions{}, nil)
	defer g.stopAndWait()
	u := &undo{pass: e.newUndo(backups).dryRun().readOnlyPass(g, st, dueWork{}), backups: backups}
	u.writer.plan = &plan
	refs := slices.SortedFunc(maps.Keys(backups), object.Compare)
	err = u.restoreBackups(refs)
	plan.Failed = u.failuresOf(refs)
	plan.sortSteps()
	return plan, err
}

// Undo makes the objects of the replica that a run and those after it wrote or deleted
// what they were before that run. The pair must be stopped, see NewUndoRequest. When it is
// started again, the next pass looks at these objects and replicates them as the primary
// has them by then.
func (e *Engine) Undo(ctx context.Context, undone string, o PassOptions) (Run, error) {
	e.setDefaults()
	run := Run{Pair: e.Pair.ID, Trigger: o.Trigger, Mode: ModeUndo, Started: e.Now(), Outcome: OutcomeRunning}
	taken := e.Now()
	st, err := e.acquireLease(ctx, taken)
	if err != nil {
		return e.busyRun(run, err)
	}
	defer e.releaseLease(ctx, st.Lease.Fence)
	if !st.Desired.Stopped {
		return e.failedRun(run, &fault.Error{Op: "undo run " + undone, Class: fault.Local, Err: errors.New("the pair isn't stopped")})
	}
	backups, err := e.backupsSince(ctx, st, undone)
	if err != nil {
		return e.failedRun(run, err)
	}
	run.ID = runID(taken, st.Lease.Fence)
	o.stopped = true
	g := e.watchLease(ctx, st.Lease.Fence, taken, o)
	defer g.stopAndWait()
	p := e.newUndo(backups).newPass(g, st, run)
	p.Log.Info("undo begins", "pair", e.Pair.ID.String(), "run", run.ID, "mode", run.Mode, "reason", "back to before run "+undone)
	u := &undo{pass: p, backups: backups}
	refs := slices.SortedFunc(maps.Keys(backups), object.Compare)
	err = u.restoreBackups(refs)
	return u.finishUndo(ctx, refs, err)
}

// newUndo returns the engine for an undo: it replicates from the backups.
func (e *Engine) newUndo(backups map[object.Ref]Backup) *Engine {
	from := *e
	from.Source = &backupSource{stage: e.Stage, space: e.backupSpace(), primary: e.Pair.Space, backups: backups}
	from.Feed = nil
	from.Pair.Kinds, from.Pair.Selection, from.Pair.Prune = object.Kinds(), Selection{}, PruneReplicated
	from.Pair.Space = e.backupSpace()
	return &from
}

// backupsSince returns the oldest backup of each object since a run began.
func (e *Engine) backupsSince(ctx context.Context, st PairState, undone string) (map[object.Ref]Backup, error) {
	if place := st.Desired.Moved; place != "" {
		return nil, &fault.Error{Op: "undo run " + undone, Class: fault.Local, Err: fmt.Errorf("the pair was moved to %s", place),
			Hint: "once it is stopped there, take it back: chef-sync-ctl sync-start " + e.Pair.ID.String() + " --force"}
	}
	parts, err := e.State.Backups(ctx, e.Pair.ID, undone)
	if err != nil {
		return nil, err
	}
	if err := e.checkUndo(ctx, st, undone, parts); err != nil {
		return nil, &fault.Error{Op: "undo run " + undone, Class: fault.Local, Err: err, Hint: "chef-sync-ctl runs " + e.Pair.ID.String()}
	}
	replica, err := e.Target.Identity(ctx)
	if err != nil {
		return nil, err
	}
	if !st.Progress.knowsReplica(replica) { // no pass has noticed it
		return nil, &fault.Error{Op: "undo run " + undone, Class: fault.Local, Err: errors.New(anotherReplica), Hint: "chef-sync-ctl runs " + e.Pair.ID.String()}
	}
	oldest := map[object.Ref]Backup{}
	for _, part := range parts {
		for _, b := range part.Objects {
			if _, older := oldest[b.Ref]; !older {
				oldest[b.Ref] = b
			}
		}
	}
	return oldest, nil
}

// maxUndoRuns bounds the runs that an undo goes back.
const maxUndoRuns = 1000

// anotherReplica is why the runs on the replica before can't be undone.
const anotherReplica = "the replica is another organization since"

// ErrNoRun means that a pair has no run of the given id.
var ErrNoRun = errors.New("there is no such run")

// checkUndo says why a run can't be undone, or nil.
func (e *Engine) checkUndo(ctx context.Context, st PairState, undone string, parts []BackupPart) error {
	runs, err := e.State.Runs(ctx, e.Pair.ID, maxUndoRuns) // newest first
	if err != nil {
		return err
	}
	at := slices.IndexFunc(runs, func(r Run) bool { return r.ID == undone })
	if at < 0 {
		return ErrNoRun
	}
	kept := map[string]bool{}
	for _, part := range parts {
		kept[part.Run] = true
	}
	wrote := func(r Run) bool { return r.Counts.Created+r.Counts.Updated+r.Counts.Deleted > 0 }
	switch r := runs[at]; {
	case ageAt(r.Started, e.Now()) > BackupAge:
		return fmt.Errorf("it is older than %d days, and what it replaced isn't kept any more", int(BackupAge.Hours()/24))
	case st.Progress.ReplicaNew.After(r.Started):
		return errors.New(anotherReplica)
	case !wrote(r) && !kept[r.ID]:
		return errors.New("it wrote nothing to the replica")
	case !kept[r.ID]:
		return errors.New("it kept nothing of what it replaced")
	}
	for _, later := range runs[:at] {
		if wrote(later) && !kept[later.ID] {
			return fmt.Errorf("run %s, which came later, kept nothing of what it replaced", later.ID)
		}
	}
	return nil
}

// restoreBackups restores objects, and then deletes those that the replica didn't have.
func (u *undo) restoreBackups(refs []object.Ref) error {
	if err := u.loadLedger(u.guard.hard); err != nil {
		return err
	}
	u.rec.progress.Dirty = shortenScopes(slices.Concat(u.rec.progress.Dirty, refs))
	u.findForeign()
	var deletes []object.Ref
	u.rec.startProgress(0, len(refs))
	for window := range eachWindow(u.rec, refs) {
		list, err := u.decideUndo(window)
		if err != nil {
			return err
		}
		u.rec.window = len(window)
		gone, err := u.writer.applyWindow(list)
		if err != nil {
			return err
		}
		u.disownForeign(list)
		deletes = append(deletes, gone...)
		u.rec.windowDone()
		u.rec.addProgress(len(window))
	}
	u.writer.deletionReason = undoReason(ActionDelete)
	u.brake.approved = true  // by who asked for the undo
	u.brake.uncounted = true // the limit is for what the primary causes
	return u.writer.removeObjects(deletes)
}

// findForeign finds the objects that weren't replication's before the runs, with the bags of
// such items that weren't either.
func (u *undo) findForeign() {
	u.foreign = map[object.Ref]bool{}
	for r, b := range u.backups {
		if !b.Foreign {
			continue
		}
		u.foreign[r] = true
		bag := r.Parent()
		if _, kept := u.backups[bag]; !kept && !u.ledger.isReplicated(bag) {
			u.foreign[bag] = true
		}
	}
}

// disownForeign records that restored objects aren't replication's, if they weren't before the
// runs. Otherwise the next pass would delete those that the primary doesn't have.
func (u *undo) disownForeign(list []decidedObject) {
	for _, d := range list {
		if d.err != nil || d.Absent {
			continue
		}
		for _, r := range []object.Ref{d.Ref, d.Ref.Parent()} {
			if u.foreign[r] && u.ledger.isReplicated(r) {
				u.ledger.removeObject(r)
			}
		}
	}
}

// undoReason returns the reason of an action of an undo.
func undoReason(a Action) string {
	switch a {
	case ActionCreate:
		return "deleted since"
	case ActionUpdate:
		return "changed since"
	case ActionDelete:
		return "created since"
	}
	return "as it was"
}

// decideUndo says what to do about some objects so that they are as backups have them. What
// is recorded of them doesn't matter: the replica is read.
func (u *undo) decideUndo(refs []object.Ref) ([]decidedObject, error) {
	observed, err := u.observer.observeObjects(refs, readOptions{look: true, applies: true})
	if err != nil {
		return nil, err
	}
	list := make([]decidedObject, len(observed))
	for i, s := range observed {
		d := Decide(s.Observation, Entry{}, PruneAll)
		d.Reason = undoReason(d.Action)
		list[i] = decidedObject{s, d, u.ledger.entryOf(s.Ref)}
		if s.err == nil && s.Absent && d.Action == ActionSkip {
			u.ledger.removeObject(s.Ref)
		}
	}
	return list, nil
}

// failuresOf returns the records of those of the objects that could not be restored.
func (u *undo) failuresOf(refs []object.Ref) (list []Unsynced) {
	for _, r := range refs {
		if f := u.ledger.failing[r]; f != nil && f.Class != fault.DeletionHeld {
			list = append(list, *f)
		}
	}
	return list
}

// finishUndo records how the undo of some objects ended.
func (u *undo) finishUndo(ctx context.Context, refs []object.Ref, err error) (Run, error) {
	u.rec.run.Left = len(u.failuresOf(refs))
	u.rec.run.Outcome, err = u.guard.outcomeOf(ctx, err)
	switch u.rec.run.Outcome {
	case OutcomeBusy:
		u.rec.run.Ended = u.Now()
		return u.rec.run, fmt.Errorf("undo of %s: %w", u.Pair.ID, err)
	case OutcomeFailed:
		u.rec.run.Error = newFailure(u.Now(), err)
	case OutcomeDone:
		if u.rec.run.Left > 0 {
			u.rec.run.Outcome = OutcomePartial
		}
	}
	u.rec.restoreStatus()
	u.rec.uncountCrash()
	u.rec.run.Ended = u.Now()
	if saveErr := u.rec.commitEnd(ctx); saveErr != nil {
		return u.rec.run, errors.Join(err, saveErr)
	}
	u.rec.logEnd("undo ends")
	return u.rec.run, err
}
