package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// writer applies decisions to the replica.
type writer struct {
	*Engine
	guard   *guard
	errs    *errorClassifier
	rec     *recorder
	ledger  *ledger
	files   *fileStager
	brake   *deletionBrake
	backups *backupWriter

	plan           *Plan // that the decisions are added to, nil for none
	refusedCreates refusedCreates
	deletionReason string // for the log
	// bagItems are the items that go with a bag that is being deleted, and keptBags
	// the bags that could not be: their items are deleted singly.
	bagItems map[object.Ref][]object.Ref
	keptBags map[object.Ref]bool
}

// result is how the writing of one object went.
type result struct {
	fingerprint string
	err         error
}

// applyWindow does what was decided about a window of objects, deletions left aside.
// It returns the objects to delete.
func (w *writer) applyWindow(window []decidedObject) (deletes []object.Ref, err error) {
	var writes []decidedObject
	for _, d := range window {
		if d.err != nil {
			w.rec.markUnsynced(d.Ref, d.err)
			continue
		}
		if !d.Absent {
			w.ledger.releaseReturned(d.Ref)
		}
		switch d.Action {
		case ActionSkip:
			w.recordEqual(d.observedObject)
		case ActionAdopt:
			w.ledger.setApplied(d.Ref, d.Fingerprint)
			w.recordEqual(d.observedObject)
		case ActionDelete:
			deletes = append(deletes, d.Ref)
		default:
			writes = append(writes, d)
		}
	}
	if w.plan != nil {
		w.plan.addDecisions(window, w.ledger)
	}
	return deletes, w.writeObjects(writes)
}

// recordEqual notes that the replica holds an object as well as it can.
func (w *writer) recordEqual(s observedObject) {
	w.rec.run.Counts.Equal++
	if len(s.dropped) == 0 {
		w.ledger.resolveFailure(s.Ref)
		return
	}
	w.rec.markUnsynced(s.Ref, &fault.Error{Op: "hold all of", Object: s.Ref, Server: "the replica", Class: fault.Degraded,
		Hint: "a replica with Chef Server API version 2 holds all files",
		Err:  fmt.Errorf("it has no place for %s, such as %s", countNoun(len(s.dropped), "file", "files"), s.dropped[0])})
}

// writeObjects does the creates and updates of a window, phase after phase. Creates that the
// replica refuses for a whole kind are the error, once all else is done.
func (w *writer) writeObjects(list []decidedObject) error {
	if err := w.backups.keepReplaced(list); err != nil {
		return err
	}
	if err := w.rec.recordIntent(refsOf(list), false); err != nil {
		return err
	}
	w.uploadAhead(list)
	var done atomic.Int64
	equal := max(0, w.rec.window-len(list))
	waiting := w.refusedCreates.count
	for _, kinds := range object.Phases() {
		group := slices.DeleteFunc(slices.Clone(list), func(d decidedObject) bool { return !slices.Contains(kinds, d.Ref.Kind) })
		err := w.guard.forEach(len(group), w.Pair.maxWorkers(), w.laneOf(refsOf(group)), func(ctx context.Context, i int) error {
			d := group[i]
			if w.refusedBefore(d.Decision) {
				return nil
			}
			w.rec.beginWrite(d.Ref)
			r, err := w.putObject(ctx, d.observedObject, d.Action == ActionCreate)
			if err != nil {
				return err // it may be written or not
			}
			if !w.recordRefusal(d.Ref, r.err) {
				w.recordWrite(d.Decision, r)
			}
			w.rec.reportProgress(PhaseWrite, equal+int(done.Add(1)), d.Ref)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(list) > 0 {
		w.rec.resetCrashes()
	}
	if w.refusedCreates.count > waiting {
		return w.refusalError()
	}
	return nil
}

// refsOf returns the objects of a list.
func refsOf(list []decidedObject) []object.Ref {
	refs := make([]object.Ref, len(list))
	for i, d := range list {
		refs[i] = d.Ref
	}
	return refs
}

// uploadAhead sends the files of the cookbook versions of a window together.
func (w *writer) uploadAhead(list []decidedObject) {
	var objs []object.Object
	for _, d := range list {
		if len(d.obj.Files) > 0 && (d.Action != ActionCreate || w.refusedCreates.kinds[d.Ref.Kind] == nil) {
			objs = append(objs, d.obj)
		}
	}
	if len(objs) > 1 && w.guard.stopError() == nil {
		w.Target.Upload(w.guard.hard, objs, w.files.contentOf)
	}
}

func (w *writer) laneOf(refs []object.Ref) func(int) string {
	return func(i int) string { return w.Target.Lane(refs[i]) }
}

// putObject writes one object to the replica. Errors of one object are in the result;
// an error ends the pass.
func (w *writer) putObject(ctx context.Context, s observedObject, create bool) (result, error) {
	obj := s.obj
	var err error
	for attempt := range 3 {
		if attempt > 0 || obj.Body == nil {
			if obj, err = w.Source.Get(ctx, s.Ref); err != nil {
				if fault.IsAbsent(err) {
					return result{err: errGone}, nil
				}
				objErr, fatal := w.errs.classifyError(ctx, w.Source, "primary", err)
				return result{err: objErr}, fatal
			}
		}
		content := w.files.contentOf(obj)
		if err = w.Target.Put(ctx, obj, create, content); !errors.Is(err, errChanged) {
			break
		}
	}
	if err == nil || fault.ClassOf(err) == fault.Degraded {
		w.errs.resetFailures()
		return result{obj.Fingerprint, err}, nil
	}
	if errors.Is(err, ErrMayNotCreate) {
		return result{err: err}, nil
	}
	objErr, fatal := w.errs.classifyError(ctx, w.Target, "replica", err)
	return result{err: objErr}, fatal
}

// errGone: the object vanished from the primary after it was observed. The
// change that says so comes after the running ones.
var errGone = errors.New("the object is gone from the primary")

// recordWrite notes the result of a create or update.
func (w *writer) recordWrite(step Decision, r result) {
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	w.rec.endWrite(step.Ref)
	if r.err == nil || r.fingerprint != "" {
		w.ledger.setApplied(step.Ref, r.fingerprint)
		w.ledger.markParentBagDirty(step.Ref)
		if step.Action == ActionCreate {
			w.rec.run.Counts.Created++
		} else {
			w.rec.run.Counts.Updated++
		}
		w.rec.logStep(step, "applied")
	}
	switch {
	case r.err == nil:
		w.ledger.resolveFailure(step.Ref)
	case errors.Is(r.err, errGone):
		w.rec.logStep(step, "gone")
	default:
		w.rec.markUnsynced(step.Ref, r.err)
		if !fault.ClassOf(r.err).IsRefusal() {
			// The replica may hold it by now.
			w.ledger.markDirty(step.Ref)
			w.ledger.markParentBagDirty(step.Ref)
		}
	}
}

// removeObjects deletes objects from the replica. Items go with their bag in one request
// if the bag is deleted too; those of a bag that must stay are deleted singly.
func (w *writer) removeObjects(deletes []object.Ref) error {
	if !w.brake.approved {
		deletes = slices.DeleteFunc(slices.Clone(deletes), w.ledger.isHeld)
	}
	var rest []object.Ref
	rest, w.bagItems = splitItems(w.brake.recheckBrake(deletes))
	w.keptBags = map[object.Ref]bool{}
	if err := w.removeInWindows(rest); err != nil {
		return err
	}
	var items []object.Ref
	for bag := range w.keptBags {
		items = append(items, w.bagItems[bag]...)
	}
	w.bagItems = nil
	return w.removeInWindows(items)
}

// splitItems takes the items out of a list of objects whose bag is in it too.
func splitItems(refs []object.Ref) (rest []object.Ref, items map[object.Ref][]object.Ref) {
	items = map[object.Ref][]object.Ref{}
	for _, r := range refs {
		if r.Kind.Child() != "" {
			items[r] = nil
		}
	}
	for _, r := range refs {
		if _, goes := items[r.Parent()]; goes {
			items[r.Parent()] = append(items[r.Parent()], r)
			continue
		}
		rest = append(rest, r)
	}
	return rest, items
}

// removeInWindows deletes objects in reverse order of application. Nothing else is
// written meanwhile.
func (w *writer) removeInWindows(deletes []object.Ref) error {
	slices.SortFunc(deletes, func(a, b object.Ref) int { return object.Compare(b, a) })
	w.rec.startProgress(0, len(deletes))
	for window := range eachWindow(w.rec, deletes) {
		if err := w.backups.keepDeleted(window, w.brake.isMissing); err != nil {
			return err
		}
		if err := w.rec.recordIntent(slices.Clone(window), true); err != nil {
			return err
		}
		if err := w.removeWindow(window); err != nil {
			return err
		}
		w.rec.addProgress(len(window))
		w.rec.windowDone()
	}
	return nil
}

func (w *writer) removeWindow(refs []object.Ref) error {
	var done atomic.Int64
	for _, k := range slices.Backward(object.Kinds()) {
		group := slices.DeleteFunc(slices.Clone(refs), func(r object.Ref) bool { return r.Kind != k })
		workers := w.Pair.maxWorkers()
		if k.HasFiles() || k.Child() != "" {
			// Deletions of cookbooks disturb each other (docs/chef-server-api.md §3.3).
			workers = 1
		}
		err := w.guard.forEach(len(group), workers, w.laneOf(group), func(ctx context.Context, i int) error {
			w.rec.beginWrite(group[i])
			objErr, fatal := w.deleteOne(ctx, group[i])
			if fatal != nil {
				return fatal
			}
			w.recordDeletion(group[i], objErr)
			w.rec.reportProgress(PhaseDelete, int(done.Add(1)), group[i])
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) deleteOne(ctx context.Context, ref object.Ref) (objErr, fatal error) {
	if ref.Kind.Child() != "" && (w.Pair.pruneRule() != PruneAll || !w.Pair.Selection.selectsAll()) {
		if objErr, fatal = w.refuseForeignItems(ctx, ref); objErr != nil || fatal != nil {
			return objErr, fatal
		}
	}
	err := w.Target.Delete(ctx, ref)
	if err == nil || fault.IsAbsent(err) {
		w.errs.resetFailures()
		return nil, nil
	}
	return w.errs.classifyError(ctx, w.Target, "replica", err)
}

// refuseForeignItems refuses to delete a bag with items that must stay: deleting the bag
// would delete them.
func (w *writer) refuseForeignItems(ctx context.Context, bag object.Ref) (objErr, fatal error) {
	items, err := w.Target.List(ctx, object.Scope{Kind: bag.Kind.Child(), Name: bag.Name})
	if fault.IsAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return w.errs.classifyError(ctx, w.Target, "replica", err)
	}
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	foreign, unselected := 0, 0
	for _, item := range items {
		ours := w.ledger.isReplicated(item)
		switch {
		case !w.Pair.Manages(item):
			unselected++
		case !ours && w.Pair.pruneRule() != PruneAll:
			foreign++
		}
	}
	refusal := &fault.Error{Op: "delete", Object: bag, Server: "the replica", Class: fault.Rejected}
	switch {
	case unselected > 0:
		refusal.Hint = "delete the items on the replica, or exclude the bag itself"
		refusal.Err = fmt.Errorf("the bag still holds %s for replication", countNoun(unselected, "item that is not selected", "items that are not selected"))
	case foreign > 0:
		refusal.Hint = `move the items elsewhere, or set prune = "all" to let replication delete them`
		refusal.Err = fmt.Errorf("the bag still holds %s that replication did not create", countNoun(foreign, "item", "items"))
	default:
		return nil, nil
	}
	return refusal, nil
}

func (w *writer) recordDeletion(ref object.Ref, objErr error) {
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	w.rec.endWrite(ref)
	items := w.ledger.itemsOf(ref)
	w.ledger.dropHeld(ref) // approved: what fails now is a failure like any other
	if objErr != nil {
		w.rec.markUnsynced(ref, objErr)
		if fault.ClassOf(objErr).IsRefusal() {
			w.keptBags[ref] = true
			return
		}
		for _, item := range items {
			w.ledger.markDirty(item)
		}
		return
	}
	var steps []Decision
	for _, r := range append(items, ref) {
		steps = append(steps, Decision{Action: ActionDelete, Ref: r, Reason: w.deletionReason})
	}
	for _, item := range w.bagItems[ref] {
		if !w.ledger.isReplicated(item) { // by the rule "all"
			steps = append(steps, Decision{Action: ActionDelete, Ref: item, Cause: CauseExtra, Reason: "added on the replica"})
		}
	}
	if w.plan != nil {
		w.plan.Steps = append(w.plan.Steps, steps...)
	}
	w.rec.run.Counts.Deleted += len(steps)
	for _, step := range steps {
		r := step.Ref
		w.ledger.removeObject(r)
		w.ledger.resolveFailure(r)
		if !w.brake.missing[r] && !w.brake.uncounted {
			w.rec.progress.Deletions = w.rec.progress.Deletions.countingAt(w.Now()).addOne(r, w.brake.objectsBefore[r.Kind])
		}
		w.rec.logStep(step, "applied")
	}
}
