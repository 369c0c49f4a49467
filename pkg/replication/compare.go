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

// compareAll makes the replica equal to the primary, whatever came before: the
// names are listed on both sides, the primary's objects read in windows, and
// what is gone from the primary deleted at the end by the prune rule. A compare
// that was broken off goes on behind the last window that was recorded.
func (p *pass) compareAll() error {
	if err := p.startCompare(); err != nil {
		return err
	}
	w := p.rec.progress.Work
	source, target, err := p.lister.listBoth()
	if err != nil {
		return err
	}
	v := readOptions{replica: &target, deep: w.Deep, applies: true}
	gone, extras := p.splitExtras(p.listDeletions(source, target))
	deletes, err := p.brakeCompare(gone, source, target)
	if err != nil {
		return err
	}
	for _, r := range gone {
		// One that comes back behind the cursor must still be looked for on the replica.
		if p.ledger.isReplicated(r) && w.Deep && !p.ledger.isHeld(r) {
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
	p.rec.progress.Identity = ""
	if w.Upto == nil {
		p.rec.progress.Identity = p.primary
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
	for r, u := range p.ledger.failing {
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
		p.brake.missing[r] = true
		forgotten = append(forgotten, r)
	}
	if p.Pair.pruneRule() == PruneAll {
		d.onReplica = target.refs
	}
	for r := range source.refs {
		if _, counted := d.onReplica[r]; !p.ledger.isReplicated(r) && !counted {
			d.creates = append(d.creates, r)
		}
	}
	d.onPrimary = func(bag object.Ref) bool { _, there := source.refs[bag]; return there }
	deletes, err := p.brake.checkBrake(d)
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
	p.rec.progress.IdentityAt, p.primary = p.Now(), id
	replica, err := p.replicaIdentity(ctx)
	if err != nil {
		return err
	}
	changed := !p.rec.progress.knowsReplica(replica)
	if w := p.rec.progress.Work; !changed && p.due.resumeCompare && w != nil && (w.Upto == nil || w.Upto.Identity == id) {
		return p.rec.commit(ctx)
	}
	work := p.newCompare(changed)
	if work.Upto, err = p.takePosition(ctx, id); err != nil {
		return err
	}
	if changed {
		p.Log.Warn(replicaChanged+"; everything is compared", "pair", p.Pair.ID.String(), "run", p.rec.run.ID, "was", p.rec.progress.Replica, "is", replica)
	}
	p.rec.progress.sawReplica(replica, p.Now())
	p.rec.progress.Selected = p.Pair.selectionMark()
	p.ledger.dropOverlooked()
	p.rec.progress.Work = &work
	switch {
	case p.due.accepted:
		p.rec.progress.Identity = id
	case work.Upto == nil:
		p.rec.progress.Identity = p.rec.progress.primaryIdentity()
		p.rec.progress.Position = nil
	}
	status := Syncing
	if p.rec.progress.LastCompare.IsZero() {
		status = Bootstrapping
	}
	p.rec.progress.setStatus(status, p.Now())
	return p.rec.commit(ctx)
}

// newCompare is the record of a compare that begins. It does what the one that it
// replaces would have done: somebody may have asked for that.
func (p *pass) newCompare(changed bool) Work {
	work := Work{Full: true, Deep: p.due.deep, Reason: p.due.reason, Started: p.Now(), Prune: p.brake.pruning}
	if work.Deep {
		p.rec.progress.ResyncedAt = p.rec.desired.ResyncAt
	}
	if p.due.regular {
		work.Drift = &Drift{}
	}
	if w := p.rec.progress.Work; w != nil {
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
		p.rec.progress.Feed, p.rec.progress.FeedNote = "none", "the primary's changes are found by comparing"
		return nil, nil //nolint:nilnil // as documented
	}
	rows, err := p.Feed.Read(ctx, -markedRows)
	if errors.Is(err, ErrNoFeed) {
		p.rec.progress.Feed, p.rec.progress.FeedNote = "none", err.Error()
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
	p.rec.progress.Feed, p.rec.progress.FeedNote = p.Feed.Name(), p.Feed.Reason()
	return &next, nil
}

// listDeletions names what the replica should lose: by the ledger, and with the
// rule "all" by the replica's listing too.
func (p *pass) listDeletions(source, target listing) []object.Ref {
	if p.Pair.pruneRule() == PruneNone {
		return nil
	}
	gone := map[object.Ref]struct{}{}
	for r := range p.ledger.replicatedObjects() {
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
	for r := range p.ledger.failing {
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
	w := p.rec.progress.Work
	if w.After != "" {
		after, err := object.ParseRef(w.After)
		if err != nil {
			return &fault.Error{Op: "continue the comparison", Class: fault.Local, Hint: "request a new one with resync", Err: err}
		}
		again := p.dirtyScopes()
		refs = slices.DeleteFunc(refs, func(r object.Ref) bool {
			done := object.Compare(r, after) <= 0 && !p.ledger.isHeld(r) // a held one has come back since
			return done && !slices.Contains(w.Intent, r) && !containAny(again, r)
		})
	}
	refs = slices.DeleteFunc(refs, func(r object.Ref) bool { return r == p.poison })
	p.rec.progress.Pending = len(refs)
	p.rec.startProgress(len(source.refs)-len(refs), len(source.refs))
	v.bulk = newBulkReader(refs, true, bulkBytes)
	for window := range eachWindow(p.rec, refs) {
		observed, err := p.observer.observeObjects(window, v)
		if err != nil {
			return err
		}
		// What was listed and is gone since is a change of its own.
		observed = slices.DeleteFunc(observed, func(s observedObject) bool { return s.err == nil && s.Absent })
		apply, repair := p.applyDriftRule(p.decideAll(observed))
		p.rec.window = len(window)
		if _, err := p.writer.applyWindow(apply); err != nil && !p.continuesAfter(err) {
			return err
		}
		p.countRepairs(repair)
		p.rec.windowDone()
		p.rec.progress.Pending -= len(window)
		if p.writer.refusalError() == nil { // else the next pass begins again with what is refused
			p.rec.updateWork(func(w *Work) { w.After = window[len(window)-1].Path() })
		}
		p.rec.addProgress(len(window))
		p.rec.reportProgress(PhaseCompare, 0, object.Ref{})
		if err := p.rec.commit(p.guard.hard); err != nil {
			return err
		}
	}
	p.rec.progress.Pending = p.writer.refusedCreates.count
	return p.writer.refusalError()
}

// continuesAfter reports whether a compare goes on behind creates that are refused: other
// kinds may be permitted. One that follows a pass that failed the same way doesn't
// read the whole primary again, for nothing.
func (p *pass) continuesAfter(err error) bool {
	last := p.rec.before.LastError
	return errors.Is(err, ErrMayNotCreate) && (last == nil || last.Message != err.Error())
}

// confirmAndRemove asks the primary about each object before it is deleted. One
// that is there after all is written instead.
func (p *pass) confirmAndRemove(deletes []object.Ref, v readOptions) error {
	var confirmed []object.Ref
	for window := range eachWindow(p.rec, deletes) {
		observed, err := p.observer.observeObjects(window, v)
		if err != nil {
			return err
		}
		gone, err := p.writer.applyWindow(p.decideAll(observed))
		if err != nil {
			return err
		}
		confirmed = append(confirmed, gone...)
		p.rec.windowDone()
	}
	return p.writer.removeObjects(confirmed)
}
