package replication

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// listing is one side's names, by kind.
type listing struct {
	refs   map[object.Ref]struct{}
	counts map[object.Kind]int
	failed map[object.Kind]bool
	// unserved are those of the failed kinds that the server doesn't know at all.
	unserved map[object.Kind]bool
	bags     map[string]bool // bags whose items could not be listed
}

// hasFailed reports whether a listing failed that the server should have answered.
func (l listing) hasFailed() bool { return len(l.failed) > len(l.unserved) }

// isUnknown reports whether the listing can't say if r is there.
func (l listing) isUnknown(r object.Ref) bool {
	return l.failed[r.Kind] || r.Kind == object.DataBagItem && l.bags[r.Name]
}

// compareAll makes the replica equal to the primary, whatever came before: the
// names are listed on both sides, the primary's objects read in windows, and
// what is gone from the primary deleted at the end by the prune rule. A compare
// that was broken off goes on behind the last window that was recorded.
func (p *pass) compareAll() error {
	if err := p.startCompare(); err != nil {
		return err
	}
	w := p.progress.Work
	source, target, err := p.listBoth()
	if err != nil {
		return err
	}
	v := readOptions{replica: &target, deep: w.Deep}
	gone, extras := p.splitExtras(p.listDeletions(source, target))
	deletes, err := p.brakeCompare(gone, source, target)
	if err != nil {
		return err
	}
	for _, r := range gone {
		// One that comes back behind the cursor must still be looked for on the replica.
		if p.ledger.inventory[r] != "" && w.Deep && !p.ledger.isHeld(r) {
			p.ledger.markDirty(r)
		}
	}
	if err := p.compareWindows(source, v); err != nil {
		return err
	}
	if err := p.confirmAndRemove(append(deletes, p.staleFailures(source, target, gone)...), v); err != nil {
		return err
	}
	p.countRepairs(p.stillGone(extras))
	p.noteCompare(source, target, deletes)
	p.progress.Identity = ""
	if w.Upto == nil {
		p.progress.Identity = p.primary
	}
	p.resetDirty()
	p.advancePosition(w.Upto)
	return nil
}

// brakeCompare asks the brake about what the listings say to delete. What the
// replica doesn't have any more needs no approval.
func (p *pass) brakeCompare(gone []object.Ref, source, target listing) ([]object.Ref, error) {
	d := removal{failedListing: source.hasFailed()}
	onReplica := func(r object.Ref) bool { _, there := target.refs[r]; return there || target.isUnknown(r) }
	for r, u := range p.ledger.unsynced {
		_, back := source.refs[r]
		switch {
		case u.Class != fault.DeletionHeld || onReplica(r):
		case back: // somebody deleted it there meanwhile: no drift, but to be created
			for _, item := range p.ledger.itemsOf(r) {
				p.ledger.markDirty(item)
			}
			p.ledger.releaseReturned(r)
		default:
			p.ledger.dropHeld(r)
		}
	}
	var forgotten []object.Ref
	for _, r := range gone {
		if onReplica(r) {
			d.refs = append(d.refs, r)
			continue
		}
		p.missing[r] = true
		forgotten = append(forgotten, r)
	}
	if p.Pair.pruneRule() == PruneAll {
		d.onReplica = target.refs
	}
	for r := range source.refs {
		_, ours := p.ledger.inventory[r]
		if _, counted := d.onReplica[r]; !ours && !counted {
			d.creates = append(d.creates, r)
		}
	}
	d.onPrimary = func(bag object.Ref) bool { _, there := source.refs[bag]; return there }
	deletes, err := p.checkBrake(d)
	return append(deletes, forgotten...), err
}

// startCompare takes the feed's position before anything is listed, and records
// that a compare is under way.
func (p *pass) startCompare() error {
	ctx := p.guard.hard
	id, err := p.Source.Identity(ctx)
	if err != nil {
		return err
	}
	p.progress.IdentityAt, p.primary = p.Now(), id
	replica, err := p.replicaIdentity(ctx)
	if err != nil {
		return err
	}
	changed := !p.progress.knowsReplica(replica)
	if w := p.progress.Work; !changed && p.due.resumeCompare && w != nil && (w.Upto == nil || w.Upto.Identity == id) {
		return p.commit(ctx)
	}
	work := p.newCompare(changed)
	if work.Upto, err = p.takePosition(ctx, id); err != nil {
		return err
	}
	if changed {
		p.Log.Warn(replicaChanged+"; everything is compared", "pair", p.Pair.ID.String(), "run", p.run.ID, "was", p.progress.Replica, "is", replica)
	}
	p.progress.sawReplica(replica, p.Now())
	p.progress.Selected = p.Pair.selectionMark()
	p.ledger.pending.Removed = append(p.ledger.pending.Removed, p.ledger.overlooked.Removed...)
	p.ledger.pending.Synced = append(p.ledger.pending.Synced, p.ledger.overlooked.Synced...)
	p.ledger.overlooked = Update{}
	p.progress.Work = &work
	switch {
	case p.due.accepted:
		p.progress.Identity = id
	case work.Upto == nil:
		p.progress.Identity = p.progress.primaryIdentity()
		p.progress.Position = nil
	}
	status := Syncing
	if p.progress.LastCompare.IsZero() {
		status = Bootstrapping
	}
	p.progress.setStatus(status, p.Now())
	return p.commit(ctx)
}

// newCompare is the record of a compare that begins. It does what the one that it
// replaces would have done: somebody may have asked for that.
func (p *pass) newCompare(changed bool) Work {
	work := Work{Full: true, Deep: p.due.deep, Reason: p.due.reason, Started: p.Now(), Prune: p.pruning}
	if work.Deep {
		p.progress.ResyncedAt = p.desired.ResyncAt
	}
	if p.due.regular {
		work.Drift = &Drift{}
	}
	if w := p.progress.Work; w != nil {
		switch {
		case w.Full && w.Deep && w.Drift == nil:
			work.Deep, work.Drift = true, nil
		case w.Full && w.Deep && !work.Deep:
			work.Deep, work.Drift = true, &Drift{}
		}
		work.Intent, work.Deletes, work.Crashes = p.Pair.selectRefs(w.Intent), w.Deletes, w.Crashes
	}
	if changed {
		work.Deep, work.Drift, work.Reason = true, nil, replicaChanged
	}
	return work
}

// takePosition asks the feed where it is now. Nil means that there is no feed.
func (p *pass) takePosition(ctx context.Context, identity string) (*Position, error) {
	if p.Feed == nil {
		p.progress.Feed, p.progress.FeedNote = "none", "the primary's changes are found by comparing"
		return nil, nil //nolint:nilnil // as documented
	}
	rows, err := p.Feed.Read(ctx, -markedRows)
	if errors.Is(err, ErrNoFeed) {
		p.progress.Feed, p.progress.FeedNote = "none", err.Error()
		return nil, nil //nolint:nilnil // as documented
	}
	if err != nil {
		return nil, err
	}
	start := Position{Identity: identity, Epoch: rows.Epoch}
	_, next, err := Continue(start, rows, p.overlapIDs(start))
	if err != nil {
		return nil, fmt.Errorf("take the position of the feed: %w", err)
	}
	if rows.Generation > 0 {
		next.Snapshot = rows.snapshotMark()
		if p.due.next != nil && len(p.due.stale) > 0 { // there were too many to look at each
			next.Snapshot.Fruitless = p.due.next.Snapshot.Fruitless + 1
		}
	}
	p.progress.Feed, p.progress.FeedNote = p.Feed.Name(), p.Feed.Note()
	return &next, nil
}

func (p *pass) listBoth() (source, target listing, err error) {
	if source, err = p.listSide(p.Source, "primary", PhaseListPrimary); err != nil {
		return source, target, err
	}
	if target, err = p.listSide(p.Target, "replica", PhaseListReplica); err != nil {
		return source, target, err
	}
	if w := p.progress.Work; w == nil || w.After == "" {
		p.resolveListings(source, target)
	}
	// The listing alone is set aside for a kind that the replica can't hold.
	maps.DeleteFunc(source.refs, func(r object.Ref, _ struct{}) bool { return target.unserved[r.Kind] })
	maps.Copy(source.failed, target.unserved)
	maps.Copy(source.unserved, target.unserved)
	return source, target, nil
}

// resolveListings drops the records of listings that failed before. A compare that goes on
// keeps them: what they didn't name then may lie before its cursor.
func (p *pass) resolveListings(source, target listing) {
	for scope := range maps.Clone(p.ledger.unlisted) {
		if r := object.Ref(scope); !source.isUnknown(r) && !target.isUnknown(r) {
			p.ledger.resolveListing(scope)
		}
	}
}

// listSide lists all kinds of the pair on one side. A kind whose listing alone
// fails is left out, recorded as unsynced, and nothing of it is deleted.
func (p *pass) listSide(side Reader, name string, phase Phase) (listing, error) {
	l := listing{refs: map[object.Ref]struct{}{}, counts: map[object.Kind]int{}, failed: map[object.Kind]bool{}, unserved: map[object.Kind]bool{}}
	var bags []object.Ref
	for _, k := range object.Kinds() {
		if !p.Pair.Includes(k) {
			continue
		}
		p.Observe(ProgressEvent{Pair: p.Pair.ID, Phase: phase, Ref: object.Ref{Kind: k}})
		var refs []object.Ref
		var err error
		switch {
		case k != object.DataBagItem:
			refs, err = side.List(p.guard.hard, object.Scope{Kind: k})
		case l.failed[object.DataBag]:
			l.failed[k] = true
			continue
		default:
			if refs, l.bags, err = p.listItems(side, name, bags); err != nil {
				return l, err
			}
		}
		if err != nil {
			objErr, fatal := p.classifyError(p.guard.hard, side, name, err)
			if fatal != nil {
				return l, fatal
			}
			l.failed[k] = true
			if fault.ClassOf(objErr) == fault.Unserved {
				l.unserved[k] = true
			}
			p.setUnlisted(object.Scope{Kind: k}, objErr)
			continue
		}
		refs = p.Pair.selectRefs(refs)
		if k == object.DataBag {
			bags = refs
		}
		for _, r := range refs {
			l.refs[r] = struct{}{}
		}
		l.counts[k] = len(refs)
	}
	return l, nil
}

// listDeletions names what the replica should lose: by the inventory, and with the
// rule "all" by the replica's listing too.
func (p *pass) listDeletions(source, target listing) []object.Ref {
	if p.Pair.pruneRule() == PruneNone {
		return nil
	}
	gone := map[object.Ref]struct{}{}
	for r := range p.ledger.inventory {
		gone[r] = struct{}{}
	}
	if p.Pair.pruneRule() == PruneAll {
		maps.Copy(gone, target.refs)
	}
	maps.DeleteFunc(gone, func(r object.Ref, _ struct{}) bool {
		_, there := source.refs[r]
		return there || source.isUnknown(r) || !p.Pair.Manages(r) || r == p.poison
	})
	return slices.SortedFunc(maps.Keys(gone), object.Compare)
}

// staleFailures are the unsynced objects that the compare doesn't come by otherwise:
// the primary doesn't list them, and there is nothing to delete. Where each pass
// is a compare, nobody else would look whether they are gone.
func (p *pass) staleFailures(source, target listing, deletes []object.Ref) []object.Ref {
	var refs []object.Ref
	for r := range p.ledger.unsynced {
		_, there := source.refs[r]
		if !there && r != p.poison && !source.isUnknown(r) && !target.isUnknown(r) && !slices.Contains(deletes, r) {
			refs = append(refs, r)
		}
	}
	slices.SortFunc(refs, object.Compare)
	return refs
}

// compareWindows goes through the primary's objects behind the cursor.
func (p *pass) compareWindows(source listing, v readOptions) error {
	refs := slices.SortedFunc(maps.Keys(source.refs), object.Compare)
	w := p.progress.Work
	if w.After != "" {
		after, err := object.ParseRef(w.After)
		if err != nil {
			return &fault.Error{Op: "go on with the compare", Class: fault.Local, Hint: "ask for a new one with resync", Err: err}
		}
		again := p.dirtyScopes()
		refs = slices.DeleteFunc(refs, func(r object.Ref) bool {
			return object.Compare(r, after) <= 0 && !slices.Contains(w.Intent, r) && !containAny(again, r)
		})
	}
	refs = slices.DeleteFunc(refs, func(r object.Ref) bool { return r == p.poison })
	p.progress.Pending = len(refs)
	total := len(refs)
	v.bulk = newBulkReader(refs, true, bulkBytes)
	for window := range eachWindow(p, refs) {
		observed, err := p.observeObjects(window, v)
		if err != nil {
			return err
		}
		// What was listed and is gone since is a change of its own.
		observed = slices.DeleteFunc(observed, func(s observedObject) bool { return s.err == nil && s.Absent })
		apply, repair := p.applyDriftRule(p.decideAll(observed))
		if _, err := p.applyWindow(apply); err != nil && !p.continuesAfter(err) {
			return err
		}
		p.countRepairs(repair)
		p.windowDone()
		p.progress.Pending -= len(window)
		if p.refusalError() == nil { // else the next pass begins again with what is refused
			p.updateWork(func(w *Work) { w.After = window[len(window)-1].Path() })
		}
		p.Observe(ProgressEvent{Pair: p.Pair.ID, Phase: PhaseCompare, Done: total - p.progress.Pending, Total: total})
		if err := p.commit(p.guard.hard); err != nil {
			return err
		}
	}
	p.progress.Pending = p.refusedCreates.count
	return p.refusalError()
}

// continuesAfter reports whether a compare goes on behind creates that are refused: other
// kinds may be permitted. One that follows a pass that failed the same way doesn't
// read the whole primary again, for nothing.
func (p *pass) continuesAfter(err error) bool {
	last := p.before.LastError
	return errors.Is(err, ErrMayNotCreate) && (last == nil || last.Message != err.Error())
}

// confirmAndRemove asks the primary about each object before it is deleted. One
// that is there after all is written instead.
func (p *pass) confirmAndRemove(deletes []object.Ref, v readOptions) error {
	var confirmed []object.Ref
	for window := range eachWindow(p, deletes) {
		observed, err := p.observeObjects(window, v)
		if err != nil {
			return err
		}
		gone, err := p.applyWindow(p.decideAll(observed))
		if err != nil {
			return err
		}
		confirmed = append(confirmed, gone...)
		p.windowDone()
	}
	return p.removeObjects(confirmed)
}
