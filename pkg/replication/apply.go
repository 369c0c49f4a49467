package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"chefsync/pkg/object"
)

// result is how the writing of one object went.
type result struct {
	fingerprint string
	err         error
}

// applyWindow plans a window of observed objects and does it, deletions left
// aside. It returns the objects to delete.
func (p *pass) applyWindow(window []seen) (deletes []object.Ref, err error) {
	observed, byRef := make([]Observation, 0, len(window)), make(map[object.Ref]seen, len(window))
	for _, s := range window {
		if s.err != nil {
			p.setAside(s.Ref, s.err)
			continue
		}
		if !s.Absent {
			p.cameBack(s.Ref)
		}
		observed = append(observed, s.Observation)
		byRef[s.Ref] = s
	}
	var writes []Step
	for _, step := range MakePlan(observed, p.inventory, p.Pair.prune()) {
		switch step.Action {
		case ActionSkip:
			p.equal(byRef[step.Ref])
		case ActionAdopt:
			p.applied(step.Ref, byRef[step.Ref].Fingerprint)
			p.equal(byRef[step.Ref])
		case ActionDelete:
			deletes = append(deletes, step.Ref)
		default:
			writes = append(writes, step)
		}
	}
	return deletes, p.write(writes, byRef)
}

// equal notes that the replica holds an object as well as it can.
func (p *pass) equal(s seen) {
	p.run.Counts.Equal++
	if len(s.dropped) == 0 {
		p.settled(s.Ref)
		return
	}
	p.setAside(s.Ref, &Error{Op: "hold all of", Ref: s.Ref, Server: "the replica", Class: Degraded,
		Hint: "a replica with Chef Server API version 2 holds all files",
		Err:  fmt.Errorf("%d files have no place on it, such as %s", len(s.dropped), s.dropped[0])})
}

// write does the creates and updates of a window, phase after phase. Creates that the
// replica refuses for a whole kind are the error, once all else is done.
func (p *pass) write(steps []Step, byRef map[object.Ref]seen) error {
	if err := p.intend(steps); err != nil {
		return err
	}
	p.uploadAhead(steps, byRef)
	var done atomic.Int64
	waiting := p.refused.count
	for _, kinds := range object.Phases() {
		group := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return !slices.Contains(kinds, s.Ref.Kind) })
		err := p.each(len(group), p.Pair.concurrency(), p.laneOf(group), func(ctx context.Context, i int) error {
			step := group[i]
			if p.refusedBefore(step) {
				return nil
			}
			p.Observe(Event{Pair: p.Pair.ID, Phase: "writing", Done: int(done.Add(1)), Total: len(steps), Ref: step.Ref})
			p.starting(step.Ref)
			r, err := p.put(ctx, byRef[step.Ref], step.Action == ActionCreate)
			if err != nil {
				return err
			}
			if p.refuse(step.Ref, r.err) {
				return nil
			}
			p.wrote(step, r)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(steps) > 0 {
		p.survived()
	}
	if p.refused.count > waiting {
		return p.refusal()
	}
	return nil
}

// uploadAhead sends the files of the cookbook versions of a window together.
func (p *pass) uploadAhead(steps []Step, byRef map[object.Ref]seen) {
	var objs []object.Object
	for _, step := range steps {
		if obj := byRef[step.Ref].obj; len(obj.Files) > 0 && (step.Action != ActionCreate || p.refused.kinds[step.Ref.Kind] == nil) {
			objs = append(objs, obj)
		}
	}
	if len(objs) > 1 && p.guard.stopped() == nil {
		p.Target.Upload(p.guard.hard, objs, p.contentOf)
	}
}

func (p *pass) laneOf(group []Step) func(int) string {
	return func(i int) string { return p.Target.Lane(group[i].Ref) }
}

// survived forgets earlier crashes: a window of writes came to its end.
func (p *pass) survived() {
	w := *p.progress.Work
	w.Crashes = 0
	p.progress.Work = &w
}

// intend records what the window is about to write or delete, before it does: a
// pass that dies leaves word of what it may have done.
func (p *pass) intend(steps []Step) error {
	if len(steps) == 0 {
		return nil
	}
	if p.progress.Work == nil {
		p.progress.Work = &Work{Reason: "changes", Started: p.run.Started}
	}
	w := *p.progress.Work
	w.Wrote = true
	w.Intent = make([]object.Ref, len(steps))
	for i, s := range steps {
		w.Intent[i] = s.Ref
	}
	w.Deletes = steps[0].Action == ActionDelete // windows are of one sort
	p.progress.Work = &w
	if p.progress.Status != Bootstrapping {
		p.progress.to(Syncing, p.Now())
	}
	if err := p.commit(p.guard.hard); err != nil {
		return err
	}
	// From here on Intent shrinks to what was begun and not ended.
	w.Intent = nil
	p.progress.Work = &w
	return nil
}

func (p *pass) starting(ref object.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := *p.progress.Work
	w.Intent = append(slices.Clone(w.Intent), ref)
	p.progress.Work = &w
}

func (p *pass) ended(ref object.Ref) {
	w := *p.progress.Work
	w.Intent = slices.DeleteFunc(slices.Clone(w.Intent), func(r object.Ref) bool { return r == ref })
	p.progress.Work = &w
}

// put writes one object to the replica. Errors of one object are in the result;
// an error ends the pass.
func (p *pass) put(ctx context.Context, s seen, create bool) (result, error) {
	obj := s.obj
	var err error
	for attempt := range 3 {
		if attempt > 0 || obj.Body == nil {
			if obj, err = p.Source.Get(ctx, s.Ref); err != nil {
				if IsAbsent(err) {
					return result{err: errGone}, nil
				}
				objErr, fatal := p.judge(ctx, p.Source, "primary", err)
				return result{err: objErr}, fatal
			}
		}
		content := p.contentOf(obj)
		if err = p.Target.Put(ctx, obj, create, content); !errors.Is(err, errChanged) {
			break
		}
	}
	if err == nil || ClassOf(err) == Degraded {
		p.calm()
		return result{obj.Fingerprint, err}, nil
	}
	if errors.Is(err, ErrMayNotCreate) {
		return result{err: err}, nil
	}
	objErr, fatal := p.judge(ctx, p.Target, "replica", err)
	return result{err: objErr}, fatal
}

// errGone: the object vanished from the primary after it was observed. The
// change that says so comes after the ones at work.
var errGone = errors.New("the object is gone from the primary")

// wrote notes the result of a create or update.
func (p *pass) wrote(step Step, r result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended(step.Ref)
	if r.err == nil || r.fingerprint != "" {
		p.applied(step.Ref, r.fingerprint)
		p.madeBag(step.Ref)
		if step.Action == ActionCreate {
			p.run.Counts.Created++
		} else {
			p.run.Counts.Updated++
		}
		p.logStep(step, "applied")
	}
	switch {
	case r.err == nil:
		p.settled(step.Ref)
	case errors.Is(r.err, errGone):
		p.logStep(step, "gone")
	default:
		p.setAside(step.Ref, r.err)
		if ClassOf(r.err) != Rejected {
			// The replica may hold it by now.
			p.applied(step.Ref, unknownFingerprint)
			p.madeBag(step.Ref)
		}
	}
}

// madeBag takes up the bag of an item that was written, or may have been: the item
// made it if it wasn't there, and nobody would delete one that isn't known.
func (p *pass) madeBag(item object.Ref) {
	bag := item.Bag()
	if item.Kind == object.DataBagItem && p.inventory[bag] == "" && p.Pair.Manages(bag) {
		p.applied(bag, unknownFingerprint)
	}
}

func (p *pass) logStep(step Step, outcome string) {
	p.Log.Info("object "+outcome, "pair", p.Pair.ID.String(), "run", p.run.ID, "kind", string(step.Ref.Kind), "object", step.Ref.Path(),
		"action", string(step.Action), "seq", p.changeIDs[step.Ref], "outcome", outcome, "reason", step.Reason)
}

// remove deletes objects from the replica. Items go with their bag in one request
// if the bag is deleted too; those of a bag that must stay are deleted singly.
func (p *pass) remove(deletes []object.Ref) error {
	if !p.approved {
		deletes = slices.DeleteFunc(slices.Clone(deletes), p.isHeld)
	}
	var rest []object.Ref
	rest, p.bagItems = splitItems(deletes)
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
	for window := range windows(p, deletes) {
		steps := make([]Step, len(window))
		for i, r := range window {
			steps[i] = Step{ActionDelete, r, "gone from the primary"}
		}
		if err := p.intend(steps); err != nil {
			return err
		}
		if err := p.removeWindow(steps, len(deletes)); err != nil {
			return err
		}
		p.windowDone()
	}
	return nil
}

func (p *pass) removeWindow(steps []Step, total int) error {
	for _, k := range slices.Backward(object.Kinds()) {
		group := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.Ref.Kind != k })
		workers := p.Pair.concurrency()
		if k == object.Cookbook || k == object.CookbookArtifact || k == object.DataBag {
			// Deletions of cookbooks disturb each other (docs/chef-server-api.md §3.3).
			workers = 1
		}
		err := p.each(len(group), workers, p.laneOf(group), func(ctx context.Context, i int) error {
			p.Observe(Event{Pair: p.Pair.ID, Phase: "deleting", Total: total, Ref: group[i].Ref})
			p.starting(group[i].Ref)
			objErr, fatal := p.deleteOne(ctx, group[i].Ref)
			if fatal != nil {
				return fatal
			}
			p.deleted(group[i], objErr)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) deleteOne(ctx context.Context, ref object.Ref) (objErr, fatal error) {
	if ref.Kind == object.DataBag && (p.Pair.prune() != PruneAll || !p.Pair.Selection.all()) {
		if objErr, fatal = p.strangers(ctx, ref); objErr != nil || fatal != nil {
			return objErr, fatal
		}
	}
	err := p.Target.Delete(ctx, ref)
	if err == nil || IsAbsent(err) {
		p.calm()
		return nil, nil
	}
	return p.judge(ctx, p.Target, "replica", err)
}

// strangers refuses to delete a bag with items that must stay: deleting the bag
// would delete them.
func (p *pass) strangers(ctx context.Context, bag object.Ref) (objErr, fatal error) {
	items, err := p.Target.List(ctx, object.Scope{Kind: object.DataBagItem, Name: bag.Name})
	if IsAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return p.judge(ctx, p.Target, "replica", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	foreign, unselected := 0, 0
	for _, item := range items {
		_, ours := p.inventory[item]
		switch {
		case !p.Pair.Manages(item):
			unselected++
		case !ours && p.Pair.prune() != PruneAll:
			foreign++
		}
	}
	refusal := &Error{Op: "delete", Ref: bag, Server: "the replica", Class: Rejected}
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

func (p *pass) deleted(step Step, objErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended(step.Ref)
	items := p.itemsOf(step.Ref)
	p.dropHeld(step.Ref) // approved: what fails now is a failure like any other
	if objErr != nil {
		p.setAside(step.Ref, objErr)
		if ClassOf(objErr) == Rejected {
			p.keptBags[step.Ref] = true
			return
		}
		for _, item := range items {
			p.applied(item, unknownFingerprint)
		}
		return
	}
	for _, item := range p.bagItems[step.Ref] {
		if _, known := p.inventory[item]; !known { // by the rule "all"
			items = append(items, item)
		}
	}
	p.run.Counts.Deleted += 1 + len(items)
	for _, r := range append(items, step.Ref) {
		p.removed(r)
		p.settled(r)
		if !p.missing[r] {
			p.progress.Deletions = p.progress.Deletions.at(p.Now()).plus(r.Kind, p.objectsBefore[r.Kind])
		}
		p.logStep(Step{ActionDelete, r, step.Reason}, "applied")
	}
}

// itemsOf names what replication put into a bag. It goes with the bag, also what
// the primary got again after the bag was seen to be gone.
func (p *pass) itemsOf(bag object.Ref) (items []object.Ref) {
	if bag.Kind != object.DataBag {
		return nil
	}
	for r := range p.inventory {
		if r != bag && object.ScopeOf(bag).Contains(r) {
			items = append(items, r)
		}
	}
	return items
}
