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
	p.progress.Pending = len(refs)
	if len(refs) > p.Tuning.Backlog {
		p.due.full, p.due.reason = true, "many changes at once: comparing is cheaper"
		p.run.Mode, p.ledger.relisted, p.resync = ModeCompare, nil, nil // what was named is left to the next pass
		return p.compareAll()
	}
	observed, err := p.observeObjects(refs, readOptions{bulk: newBulkReader(refs, false, bulkBytes)})
	if err != nil {
		return err
	}
	list := p.decideAll(observed)
	deletes, err := p.brakeChanges(list)
	if err != nil {
		return err
	}
	for window := range eachWindow(p, list) {
		gone, err := p.applyWindow(window)
		if err != nil && !errors.Is(err, ErrMayNotCreate) {
			return err
		}
		p.windowDone()
		p.progress.Pending -= len(window) - len(gone)
	}
	if err := p.removeObjects(deletes); err != nil {
		return err
	}
	p.progress.Pending = p.refusedCreates.count
	if err := p.refusalError(); err != nil {
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
	if w := p.progress.Work; w != nil {
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
		refs, err := p.listScope(p.guard.hard, scope)
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

// listScope names the objects of a scope: those the primary has now, and those in
// the inventory, which may be gone from it.
func (p *pass) listScope(ctx context.Context, s object.Scope) ([]object.Ref, error) {
	single := s.Sub != "" || s.Name != "" && (s.Kind == object.Role || s.Kind == object.Environment)
	var refs []object.Ref
	if !single || s.Kind == object.Policy {
		for r := range p.ledger.inventory {
			if s.Contains(r) {
				refs = append(refs, r)
			}
		}
	}
	if single {
		return append(refs, object.Ref(s)), nil
	}
	if s.Kind == object.DataBag && s.Name != "" {
		refs = append(refs, object.Ref(s))
	}
	for _, k := range object.Kinds() {
		if !s.Touches(k) || !p.Pair.includesScope(object.Scope{Kind: k, Name: s.Name}) {
			continue
		}
		listed, err := p.listKind(ctx, p.Source, k, s.Name)
		if err != nil {
			objErr, fatal := p.classifyError(ctx, p.Source, "primary", err)
			if fatal != nil {
				return nil, fatal
			}
			p.setUnlisted(listedScope(k, s.Name), objErr)
			continue
		}
		refs = append(refs, listed...)
	}
	return refs, nil
}

// listedScope returns the scope of a listing. The items of all bags are named by the
// listing of the bags.
func listedScope(k object.Kind, name string) object.Scope {
	if k == object.DataBagItem && name == "" {
		k = object.DataBag
	}
	return object.Scope{Kind: k, Name: name}
}

// listKind lists the objects of a kind, or those of one name. Without a name,
// the items of all bags are listed bag by bag.
func (p *pass) listKind(ctx context.Context, side Reader, k object.Kind, name string) ([]object.Ref, error) {
	if k != object.DataBagItem || name != "" {
		refs, err := side.List(ctx, object.Scope{Kind: k, Name: name})
		if fault.IsAbsent(err) {
			return nil, nil
		}
		return refs, err
	}
	bags, err := side.List(ctx, object.Scope{Kind: object.DataBag})
	if err != nil {
		return nil, err
	}
	refs, _, err := p.listItems(side, "primary", p.Pair.selectRefs(bags))
	return refs, err
}

// listItems lists the items of bags, but for bags of which none is selected. A
// bag that alone can't be listed is set aside and named in failed.
func (p *pass) listItems(side Reader, name string, bags []object.Ref) (refs []object.Ref, failed map[string]bool, err error) {
	bags = slices.DeleteFunc(slices.Clone(bags), func(b object.Ref) bool {
		return !p.Pair.includesScope(object.Scope{Kind: object.DataBagItem, Name: b.Name})
	})
	lists, failed := make([][]object.Ref, len(bags)), map[string]bool{}
	err = p.forEach(len(bags), p.Pair.maxWorkers(), nil, func(ctx context.Context, i int) error {
		items, err := side.List(ctx, object.Scope{Kind: object.DataBagItem, Name: bags[i].Name})
		if err == nil || fault.IsAbsent(err) {
			lists[i] = items
			return nil
		}
		objErr, fatal := p.classifyError(ctx, side, name, err)
		if fatal != nil {
			return fatal
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		failed[bags[i].Name] = true
		p.setUnlisted(listedScope(object.DataBagItem, bags[i].Name), objErr)
		return nil
	})
	return slices.Concat(lists...), failed, err
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
	d.refs = slices.DeleteFunc(d.refs, func(r object.Ref) bool { return p.missing[r] })
	deletes, err := p.checkBrake(d)
	return append(deletes, missing...), err
}

// missingOnReplica returns those of the objects that the inventory doesn't know and
// the replica doesn't have.
func (p *pass) missingOnReplica(refs []object.Ref) (missing []object.Ref, err error) {
	foreign := slices.DeleteFunc(slices.Clone(refs), func(r object.Ref) bool { _, ours := p.ledger.inventory[r]; return ours || p.ledger.isHeld(r) })
	err = p.forEach(len(foreign), p.Pair.maxWorkers(), nil, func(ctx context.Context, i int) error {
		if _, err := p.Target.Get(ctx, foreign[i]); !fault.IsAbsent(err) {
			return nil // what can't be read counts
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.missing[foreign[i]] = true
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
			if !d.entry.Replicated {
				r.creates = append(r.creates, d.Ref)
			}
		}
	}
	r.onPrimary = func(bag object.Ref) bool { return present[bag] }
	return r
}

// windowSize is the number of objects between two commits. After crashes it is
// one, so that the object that kills the process is found.
func (p *pass) windowSize() int {
	if w := p.progress.Work; w != nil && w.Crashes > 1 {
		return 1
	}
	return p.Tuning.Window
}

// eachWindow cuts a list into windows. Each is as large as it may be when its turn comes:
// after crashes the first is small, and the others aren't if that one succeeds.
func eachWindow[T any](p *pass, list []T) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(list) > 0 {
			n := min(p.windowSize(), len(list))
			if !yield(list[:n:n]) {
				return
			}
			list = list[n:]
		}
	}
}

// windowDone clears what was intended: all of it has ended.
func (p *pass) windowDone() {
	if p.progress.Work != nil {
		p.updateWork(func(w *Work) { w.Intent = nil })
	}
}

// advancePosition ends the work: everything up to the position is applied or listed as
// unsynced.
func (p *pass) advancePosition(to *Position) {
	p.progress.Work = nil
	if p.allowed {
		p.progress.AllowanceUsed = p.desired.AllowedAt
		if p.updateHold(); p.progress.Hold == nil {
			p.progress.Deletions = nil // the operator looked: a new hour begins
		}
	}
	if to != nil {
		p.progress.Position = to
		p.run.To = to.Seq
	}
}
