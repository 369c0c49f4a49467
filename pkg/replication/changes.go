package replication

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// applyChanges does what the feed and the retry schedule named. The dirty objects
// are all observed first, so that the brake sees every deletion before any
// write.
func (p *pass) applyChanges() error {
	refs, err := p.dirtyObjects()
	if err != nil {
		return err
	}
	p.rec.progress.Pending = len(refs)
	p.rec.startProgress(0, len(refs))
	if len(refs) > p.Tuning.Backlog {
		p.due.full, p.due.reason = true, "many changes at once: comparing is cheaper"
		p.rec.run.Mode, p.ledger.relisted, p.observer.resync = ModeCompare, nil, nil // what was named is left to the next pass
		return (&comparison{pass: p}).compareAll()
	}
	observed, err := p.observer.observeObjects(refs, readOptions{bulk: newBulkReader(refs, false, bulkBytes)})
	if err != nil {
		return err
	}
	list := p.decideAll(observed)
	deletes, err := p.brakeChanges(list)
	if err != nil {
		return err
	}
	for window := range eachWindow(p.rec, list) {
		p.rec.window = len(window)
		gone, err := p.writer.applyWindow(window)
		if err != nil && !errors.Is(err, ErrMayNotCreate) {
			return err
		}
		p.rec.windowDone()
		p.rec.progress.Pending -= len(window) - len(gone)
		p.rec.addProgress(len(window))
	}
	if err := p.writer.removeObjects(deletes); err != nil {
		return err
	}
	p.rec.progress.Pending = p.writer.refusedCreates.count
	if err := p.writer.refusalError(); err != nil {
		return err
	}
	p.ledger.resolveRelisted()
	p.resetDirty()
	p.markSnapshot()
	p.advancePosition(p.due.next)
	return nil
}

// dirtyObjects names the objects to look at, in the order of application.
func (p *pass) dirtyObjects() ([]object.Ref, error) {
	set := map[object.Ref]struct{}{}
	p.ledger.changeIDs = map[object.Ref]int64{}
	scopes := map[object.Scope]int64{}
	for _, c := range p.due.changes {
		scopes[c.Scope] = max(scopes[c.Scope], c.ID)
	}
	for _, s := range p.dueFailures() {
		scopes[s] = max(scopes[s], 0)
	}
	p.addRequestedObjects(scopes)
	for s := range p.dirtyScopes() {
		scopes[s] = max(scopes[s], 0)
	}
	if w := p.rec.progress.Work; w != nil {
		for _, r := range p.Pair.selectRefs(w.Intent) {
			set[r] = struct{}{}
		}
	}
	for _, r := range p.ledger.orphanedDirty() {
		set[r] = struct{}{}
	}
	for r := range p.due.stale {
		set[r] = struct{}{}
	}
	p.ledger.markRelisted(scopes)
	for scope, id := range scopes {
		refs, err := p.lister.listScope(p.guard.hard, scope)
		if err != nil {
			return nil, err
		}
		for _, r := range refs {
			if p.Pair.Manages(r) {
				set[r] = struct{}{}
				p.ledger.changeIDs[r] = max(p.ledger.changeIDs[r], id)
			}
		}
	}
	p.ledger.addParentBags(set)
	delete(set, p.poison)
	return slices.SortedFunc(maps.Keys(set), object.Compare), nil
}

func containAny(scopes map[object.Scope]int64, r object.Ref) bool {
	for s := range scopes {
		if s.Contains(r) {
			return true
		}
	}
	return false
}

// brakeChanges asks the brake about what was observed to be gone. What the prune rule
// "all" deletes though replication didn't put it there needs no approval if the
// replica doesn't have it.
func (p *pass) brakeChanges(list []decidedObject) ([]object.Ref, error) {
	d := p.removalOf(list)
	missing, err := p.missingOnReplica(d.refs)
	if err != nil {
		return nil, err
	}
	d.refs = slices.DeleteFunc(d.refs, func(r object.Ref) bool { return p.brake.missing[r] })
	if d.refs, err = p.addForeignItems(d.refs); err != nil {
		return nil, err
	}
	deletes, err := p.brake.checkBrake(d)
	return append(deletes, missing...), err
}

// addForeignItems adds the items on the replica that replication didn't put there and that
// the prune rule "all" deletes with their bags. A bag whose items can't be listed is taken
// out, and is unsynced.
func (p *pass) addForeignItems(refs []object.Ref) ([]object.Ref, error) {
	if p.Pair.pruneRule() != PruneAll {
		return refs, nil
	}
	deleted := map[object.Ref]struct{}{}
	for _, r := range refs {
		deleted[r] = struct{}{}
	}
	err := p.guard.forEach(len(refs), p.Pair.maxWorkers(), nil, func(ctx context.Context, i int) error {
		bag := refs[i]
		if bag.Kind.Child() == "" {
			return nil
		}
		items, err := p.Target.List(ctx, object.Scope{Kind: bag.Kind.Child(), Name: bag.Name})
		var objErr error
		if err != nil && !fault.IsAbsent(err) {
			if objErr, err = p.errs.classifyError(ctx, p.Target, "replica", err); err != nil {
				return err
			}
		}
		p.rec.mu.Lock()
		defer p.rec.mu.Unlock()
		if objErr != nil {
			p.rec.markUnsynced(bag, objErr)
			delete(deleted, bag)
		}
		for _, item := range p.Pair.selectRefs(items) {
			deleted[item] = struct{}{}
		}
		return nil
	})
	return slices.SortedFunc(maps.Keys(deleted), object.Compare), err
}

// missingOnReplica returns those of the objects that replication didn't put on the
// replica and the replica doesn't have.
func (p *pass) missingOnReplica(refs []object.Ref) (missing []object.Ref, err error) {
	foreign := slices.DeleteFunc(slices.Clone(refs), func(r object.Ref) bool { return p.ledger.isReplicated(r) || p.ledger.isHeld(r) })
	err = p.guard.forEach(len(foreign), p.Pair.maxWorkers(), nil, func(ctx context.Context, i int) error {
		if _, err := p.Target.Get(ctx, foreign[i]); !fault.IsAbsent(err) {
			return nil // what can't be read counts
		}
		p.rec.mu.Lock()
		defer p.rec.mu.Unlock()
		p.brake.missing[foreign[i]] = true
		missing = append(missing, foreign[i])
		return nil
	})
	return missing, err
}

// removalOf is what the decisions say to delete.
func (p *pass) removalOf(list []decidedObject) removal {
	r := removal{}
	present := map[object.Ref]bool{}
	for _, d := range list {
		switch {
		case d.err != nil:
		case d.Action == ActionDelete:
			r.refs = append(r.refs, d.Ref)
		case !d.Absent:
			present[d.Ref] = true
			if !d.entry.isReplicated() {
				r.creates = append(r.creates, d.Ref)
			}
		}
	}
	r.onPrimary = func(bag object.Ref) bool { return present[bag] }
	return r
}

// eachWindow cuts a list into windows. Each is as large as it may be when its turn comes:
// after crashes the first is small, and the others aren't if that one succeeds.
func eachWindow[T any](r *recorder, list []T) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(list) > 0 {
			n := min(r.windowSize(), len(list))
			if !yield(list[:n:n]) {
				return
			}
			list = list[n:]
		}
	}
}

// advancePosition ends the work: everything up to the position is applied or listed as
// unsynced.
func (p *pass) advancePosition(to *Position) {
	p.rec.progress.Work = nil
	if p.brake.allowed {
		p.rec.progress.AllowanceUsed = p.rec.desired.AllowedAt
		if p.rec.updateHold(); p.rec.progress.Hold == nil {
			p.rec.progress.Deletions = nil // the operator looked: a new hour begins
		}
	}
	if to != nil {
		p.rec.progress.Position = to
		p.rec.run.To = to.Seq
	}
}
