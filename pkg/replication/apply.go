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

// result is how the writing of one object went.
type result struct {
	fingerprint string
	err         error
}

// applyWindow does what was decided about a window of objects, deletions left aside.
// It returns the objects to delete.
func (p *pass) applyWindow(window []decidedObject) (deletes []object.Ref, err error) {
	var writes []decidedObject
	for _, d := range window {
		if d.err != nil {
			p.setAside(d.Ref, d.err)
			continue
		}
		if !d.Absent {
			p.ledger.releaseReturned(d.Ref)
		}
		switch d.Action {
		case ActionSkip:
			p.recordEqual(d.observedObject)
		case ActionAdopt:
			p.ledger.setApplied(d.Ref, d.Fingerprint)
			p.recordEqual(d.observedObject)
		case ActionDelete:
			deletes = append(deletes, d.Ref)
		default:
			writes = append(writes, d)
		}
	}
	return deletes, p.writeObjects(writes)
}

// recordEqual notes that the replica holds an object as well as it can.
func (p *pass) recordEqual(s observedObject) {
	p.run.Counts.Equal++
	if len(s.dropped) == 0 {
		p.ledger.resolveFailure(s.Ref)
		return
	}
	p.setAside(s.Ref, &fault.Error{Op: "hold all of", Object: s.Ref, Server: "the replica", Class: fault.Degraded,
		Hint: "a replica with Chef Server API version 2 holds all files",
		Err:  fmt.Errorf("%d files have no place on it, such as %s", len(s.dropped), s.dropped[0])})
}

// writeObjects does the creates and updates of a window, phase after phase. Creates that the
// replica refuses for a whole kind are the error, once all else is done.
func (p *pass) writeObjects(list []decidedObject) error {
	if err := p.recordIntent(refsOf(list), false); err != nil {
		return err
	}
	p.uploadAhead(list)
	var done atomic.Int64
	waiting := p.refusedCreates.count
	for _, kinds := range object.Phases() {
		group := slices.DeleteFunc(slices.Clone(list), func(d decidedObject) bool { return !slices.Contains(kinds, d.Ref.Kind) })
		err := p.forEach(len(group), p.Pair.maxWorkers(), p.laneOf(refsOf(group)), func(ctx context.Context, i int) error {
			d := group[i]
			if p.refusedBefore(d.Decision) {
				return nil
			}
			p.Observe(ProgressEvent{Pair: p.Pair.ID, Phase: PhaseWrite, Done: int(done.Add(1)), Total: len(list), Ref: d.Ref})
			p.beginWrite(d.Ref)
			r, err := p.putObject(ctx, d.observedObject, d.Action == ActionCreate)
			if err != nil {
				return err
			}
			if p.recordRefusal(d.Ref, r.err) {
				return nil
			}
			p.recordWrite(d.Decision, r)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(list) > 0 {
		p.resetCrashes()
	}
	if p.refusedCreates.count > waiting {
		return p.refusalError()
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
func (p *pass) uploadAhead(list []decidedObject) {
	var objs []object.Object
	for _, d := range list {
		if len(d.obj.Files) > 0 && (d.Action != ActionCreate || p.refusedCreates.kinds[d.Ref.Kind] == nil) {
			objs = append(objs, d.obj)
		}
	}
	if len(objs) > 1 && p.guard.stopError() == nil {
		p.Target.Upload(p.guard.hard, objs, p.contentOf)
	}
}

func (p *pass) laneOf(refs []object.Ref) func(int) string {
	return func(i int) string { return p.Target.Lane(refs[i]) }
}

// resetCrashes forgets earlier crashes: a window of writes came to its end.
func (p *pass) resetCrashes() {
	p.updateWork(func(w *Work) { w.Crashes = 0 })
}

// recordIntent records what the window is about to write or delete, before it does: a
// pass that dies leaves word of what it may have done.
func (p *pass) recordIntent(refs []object.Ref, deletes bool) error {
	if len(refs) == 0 {
		return nil
	}
	if p.progress.Work == nil {
		p.progress.Work = &Work{Reason: "changes", Started: p.run.Started}
	}
	p.updateWork(func(w *Work) { w.Wrote, w.Intent, w.Deletes = true, refs, deletes })
	if p.progress.Status != Bootstrapping {
		p.progress.setStatus(Syncing, p.Now())
	}
	if err := p.commit(p.guard.hard); err != nil {
		return err
	}
	// From here on Intent shrinks to what was begun and not ended.
	p.updateWork(func(w *Work) { w.Intent = nil })
	return nil
}

func (p *pass) beginWrite(ref object.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.updateWork(func(w *Work) { w.Intent = append(slices.Clone(w.Intent), ref) })
}

func (p *pass) endWrite(ref object.Ref) {
	p.updateWork(func(w *Work) {
		w.Intent = slices.DeleteFunc(slices.Clone(w.Intent), func(r object.Ref) bool { return r == ref })
	})
}

// putObject writes one object to the replica. Errors of one object are in the result;
// an error ends the pass.
func (p *pass) putObject(ctx context.Context, s observedObject, create bool) (result, error) {
	obj := s.obj
	var err error
	for attempt := range 3 {
		if attempt > 0 || obj.Body == nil {
			if obj, err = p.Source.Get(ctx, s.Ref); err != nil {
				if fault.IsAbsent(err) {
					return result{err: errGone}, nil
				}
				objErr, fatal := p.classifyError(ctx, p.Source, "primary", err)
				return result{err: objErr}, fatal
			}
		}
		content := p.contentOf(obj)
		if err = p.Target.Put(ctx, obj, create, content); !errors.Is(err, errChanged) {
			break
		}
	}
	if err == nil || fault.ClassOf(err) == fault.Degraded {
		p.resetFailures()
		return result{obj.Fingerprint, err}, nil
	}
	if errors.Is(err, ErrMayNotCreate) {
		return result{err: err}, nil
	}
	objErr, fatal := p.classifyError(ctx, p.Target, "replica", err)
	return result{err: objErr}, fatal
}

// errGone: the object vanished from the primary after it was observed. The
// change that says so comes after the running ones.
var errGone = errors.New("the object is gone from the primary")

// recordWrite notes the result of a create or update.
func (p *pass) recordWrite(step Decision, r result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endWrite(step.Ref)
	if r.err == nil || r.fingerprint != "" {
		p.ledger.setApplied(step.Ref, r.fingerprint)
		p.ledger.markParentBagDirty(step.Ref)
		if step.Action == ActionCreate {
			p.run.Counts.Created++
		} else {
			p.run.Counts.Updated++
		}
		p.logStep(step, "applied")
	}
	switch {
	case r.err == nil:
		p.ledger.resolveFailure(step.Ref)
	case errors.Is(r.err, errGone):
		p.logStep(step, "gone")
	default:
		p.setAside(step.Ref, r.err)
		if !fault.ClassOf(r.err).IsRefusal() {
			// The replica may hold it by now.
			p.ledger.markDirty(step.Ref)
			p.ledger.markParentBagDirty(step.Ref)
		}
	}
}

func (p *pass) logStep(step Decision, outcome string) {
	p.Log.Info("object "+outcome, "pair", p.Pair.ID.String(), "run", p.run.ID, "kind", string(step.Ref.Kind), "object", step.Ref.Path(),
		"action", string(step.Action), "seq", p.ledger.changeIDs[step.Ref], "outcome", outcome, "reason", step.Reason)
}

// removeObjects deletes objects from the replica. Items go with their bag in one request
// if the bag is deleted too; those of a bag that must stay are deleted singly.
func (p *pass) removeObjects(deletes []object.Ref) error {
	if !p.approved {
		deletes = slices.DeleteFunc(slices.Clone(deletes), p.ledger.isHeld)
	}
	var rest []object.Ref
	rest, p.bagItems = splitItems(p.recheckBrake(deletes))
	p.keptBags = map[object.Ref]bool{}
	if err := p.removeInWindows(rest); err != nil {
		return err
	}
	var items []object.Ref
	for bag := range p.keptBags {
		items = append(items, p.bagItems[bag]...)
	}
	p.bagItems = nil
	return p.removeInWindows(items)
}

// splitItems takes the items out of a list of objects whose bag is in it too.
func splitItems(refs []object.Ref) (rest []object.Ref, items map[object.Ref][]object.Ref) {
	items = map[object.Ref][]object.Ref{}
	for _, r := range refs {
		if r.Kind == object.DataBag {
			items[r] = nil
		}
	}
	for _, r := range refs {
		if _, goes := items[r.Bag()]; goes && r.Kind == object.DataBagItem {
			items[r.Bag()] = append(items[r.Bag()], r)
			continue
		}
		rest = append(rest, r)
	}
	return rest, items
}

// removeInWindows deletes objects in reverse order of application. Nothing else is
// written meanwhile.
func (p *pass) removeInWindows(deletes []object.Ref) error {
	slices.SortFunc(deletes, func(a, b object.Ref) int { return object.Compare(b, a) })
	for window := range eachWindow(p, deletes) {
		if err := p.recordIntent(slices.Clone(window), true); err != nil {
			return err
		}
		if err := p.removeWindow(window, len(deletes)); err != nil {
			return err
		}
		p.windowDone()
	}
	return nil
}

func (p *pass) removeWindow(refs []object.Ref, total int) error {
	for _, k := range slices.Backward(object.Kinds()) {
		group := slices.DeleteFunc(slices.Clone(refs), func(r object.Ref) bool { return r.Kind != k })
		workers := p.Pair.maxWorkers()
		if k == object.Cookbook || k == object.CookbookArtifact || k == object.DataBag {
			// Deletions of cookbooks disturb each other (docs/chef-server-api.md §3.3).
			workers = 1
		}
		err := p.forEach(len(group), workers, p.laneOf(group), func(ctx context.Context, i int) error {
			p.Observe(ProgressEvent{Pair: p.Pair.ID, Phase: PhaseDelete, Total: total, Ref: group[i]})
			p.beginWrite(group[i])
			objErr, fatal := p.deleteOne(ctx, group[i])
			if fatal != nil {
				return fatal
			}
			p.recordDeletion(group[i], objErr)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) deleteOne(ctx context.Context, ref object.Ref) (objErr, fatal error) {
	if ref.Kind == object.DataBag && (p.Pair.pruneRule() != PruneAll || !p.Pair.Selection.selectsAll()) {
		if objErr, fatal = p.refuseForeignItems(ctx, ref); objErr != nil || fatal != nil {
			return objErr, fatal
		}
	}
	err := p.Target.Delete(ctx, ref)
	if err == nil || fault.IsAbsent(err) {
		p.resetFailures()
		return nil, nil
	}
	return p.classifyError(ctx, p.Target, "replica", err)
}

// refuseForeignItems refuses to delete a bag with items that must stay: deleting the bag
// would delete them.
func (p *pass) refuseForeignItems(ctx context.Context, bag object.Ref) (objErr, fatal error) {
	items, err := p.Target.List(ctx, object.Scope{Kind: object.DataBagItem, Name: bag.Name})
	if fault.IsAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return p.classifyError(ctx, p.Target, "replica", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	foreign, unselected := 0, 0
	for _, item := range items {
		_, ours := p.ledger.inventory[item]
		switch {
		case !p.Pair.Manages(item):
			unselected++
		case !ours && p.Pair.pruneRule() != PruneAll:
			foreign++
		}
	}
	refusal := &fault.Error{Op: "delete", Object: bag, Server: "the replica", Class: fault.Rejected}
	switch {
	case unselected > 0:
		refusal.Hint = "delete the items on the replica, or exclude the bag itself"
		refusal.Err = fmt.Errorf("the bag still holds %d items that are not selected for replication", unselected)
	case foreign > 0:
		refusal.Hint = `move the items elsewhere, or set prune = "all" to let replication delete them`
		refusal.Err = fmt.Errorf("the bag still holds %d items that replication did not put there", foreign)
	default:
		return nil, nil
	}
	return refusal, nil
}

func (p *pass) recordDeletion(ref object.Ref, objErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endWrite(ref)
	items := p.ledger.itemsOf(ref)
	p.ledger.dropHeld(ref) // approved: what fails now is a failure like any other
	if objErr != nil {
		p.setAside(ref, objErr)
		if fault.ClassOf(objErr).IsRefusal() {
			p.keptBags[ref] = true
			return
		}
		for _, item := range items {
			p.ledger.markDirty(item)
		}
		return
	}
	for _, item := range p.bagItems[ref] {
		if _, known := p.ledger.inventory[item]; !known { // by the rule "all"
			items = append(items, item)
		}
	}
	p.run.Counts.Deleted += 1 + len(items)
	for _, r := range append(items, ref) {
		p.ledger.removeObject(r)
		p.ledger.resolveFailure(r)
		if !p.missing[r] {
			p.progress.Deletions = p.progress.Deletions.countingAt(p.Now()).addOne(r.Kind, p.objectsBefore[r.Kind])
		}
		p.logStep(Decision{Action: ActionDelete, Ref: r, Reason: "gone from the primary"}, "applied")
	}
}
