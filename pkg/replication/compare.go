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

// comparison is a full comparison, as a pass does it.
type comparison struct {
	*pass
	source, target listing
	primary        string // who the primary said to be when it began
}

// listSides lists both sides.
func (c *comparison) listSides() (err error) {
	c.source, c.target, err = c.lister.listBoth()
	return err
}

// compareAll makes the replica equal to the primary, whatever came before: the
// names are listed on both sides, the primary's objects read in windows, and
// what is gone from the primary deleted at the end by the prune rule. A compare
// that was broken off goes on behind the last window that was recorded.
func (c *comparison) compareAll() error {
	if err := c.startCompare(); err != nil {
		return err
	}
	w := c.rec.progress.Work
	if err := c.listSides(); err != nil {
		return err
	}
	v := readOptions{replica: &c.target, applies: true}
	gone, extras := c.splitExtras(c.listDeletions())
	deletes, err := c.brakeCompare(gone)
	if err != nil {
		return err
	}
	for _, r := range gone {
		// One that comes back behind the cursor must still be looked for on the replica.
		if c.ledger.isReplicated(r) && !c.ledger.isHeld(r) {
			c.ledger.markDirty(r)
		}
	}
	if err := c.compareWindows(v); err != nil {
		return err
	}
	if err := c.dropStaleFailures(gone, v); err != nil {
		return err
	}
	if err := c.confirmAndRemove(deletes, v); err != nil {
		return err
	}
	c.countRepairs(c.stillGone(extras))
	c.noteCompare(deletes)
	c.rec.progress.Identity = ""
	if w.Upto == nil {
		c.rec.progress.Identity = c.primary
	}
	c.resetDirty()
	c.advancePosition(w.Upto)
	return nil
}

// brakeCompare asks the brake about what the listings say to delete. What the
// replica doesn't have any more needs no approval.
func (c *comparison) brakeCompare(gone []object.Ref) ([]object.Ref, error) {
	d := removal{failedListing: c.source.hasFailed()}
	onReplica := func(r object.Ref) bool { _, there := c.target.refs[r]; return there || c.target.isUnknown(r) }
	for r, u := range c.ledger.failing {
		_, back := c.source.refs[r]
		switch {
		case u.Class != fault.DeletionHeld || onReplica(r):
		case back: // somebody deleted it there meanwhile: no drift, but to be created
			for _, item := range c.ledger.itemsOf(r) {
				c.ledger.markDirty(item)
			}
			c.ledger.releaseReturned(r)
		default:
			c.ledger.dropHeld(r)
		}
	}
	var forgotten []object.Ref
	for _, r := range gone {
		if onReplica(r) {
			d.refs = append(d.refs, r)
			continue
		}
		c.brake.missing[r] = true
		forgotten = append(forgotten, r)
	}
	if c.Pair.pruneRule() == PruneAll {
		d.onReplica = maps.Clone(c.target.refs)
		maps.DeleteFunc(d.onReplica, func(r object.Ref, _ struct{}) bool { _, there := c.source.refs[r]; return !there })
	}
	for r := range c.source.refs {
		if _, counted := d.onReplica[r]; !c.ledger.isReplicated(r) && !counted {
			d.creates = append(d.creates, r)
		}
	}
	d.onPrimary = func(bag object.Ref) bool { _, there := c.source.refs[bag]; return there }
	deletes, err := c.brake.checkBrake(d)
	return append(deletes, forgotten...), err
}

// startCompare takes the feed's position before anything is listed, and records
// that a compare is under way.
func (c *comparison) startCompare() error {
	ctx := c.guard.hard
	id, err := c.Source.Identity(ctx)
	if err != nil {
		return err
	}
	if !c.due.accepted { // else the GUID that is known is that of another one
		id = withKnownGUID(id, c.rec.progress.primaryIdentity())
	}
	c.rec.progress.IdentityAt, c.primary = c.Now(), id
	replica, err := c.replicaIdentity(ctx)
	if err != nil {
		return err
	}
	changed := !c.rec.progress.knowsReplica(replica)
	if w := c.rec.progress.Work; !changed && c.due.resumeCompare && w != nil && w.Deep && (w.Upto == nil || w.Upto.Identity == id) {
		return c.rec.commit(ctx)
	}
	work := c.newCompare(changed)
	if work.Upto, err = c.takePosition(ctx, id); err != nil {
		return err
	}
	if changed {
		c.Log.Warn(replicaChanged+"; everything is compared", "pair", c.Pair.ID.String(), "run", c.rec.run.ID, "was", c.rec.progress.Replica, "is", replica)
	}
	c.rec.progress.sawReplica(replica, c.Now())
	c.rec.progress.Selected = c.Pair.selectionMark()
	c.ledger.dropOverlooked()
	c.rec.progress.Work = &work
	switch {
	case c.due.accepted:
		c.rec.progress.Identity, c.rec.progress.Hold = id, nil
	case work.Upto == nil:
		c.rec.progress.Identity = c.rec.progress.primaryIdentity()
		c.rec.progress.Position = nil
	}
	status := Syncing
	if c.rec.progress.LastCompare.IsZero() {
		status = Bootstrapping
	}
	c.rec.progress.setStatus(status, c.Now())
	return c.rec.commit(ctx)
}

// newCompare is the record of a compare that begins. It does what the one that it
// replaces would have done: somebody may have asked for that.
func (c *comparison) newCompare(changed bool) Work {
	work := Work{Full: true, Deep: true, Reason: c.due.reason, Started: c.Now(), Prune: c.brake.pruning, Drift: &Drift{}}
	if c.due.repairs {
		work.Drift, c.rec.progress.ResyncedAt = nil, c.rec.desired.ResyncAt
	}
	if w := c.rec.progress.Work; w != nil {
		if w.Full && w.Deep && w.Drift == nil {
			work.Drift = nil
		}
		work.Intent, work.Deletes, work.Crashes = c.Pair.selectRefs(w.Intent), w.Deletes, w.Crashes
	}
	if changed {
		work.Drift, work.Reason = nil, replicaChanged
	}
	return work
}

// takePosition asks the feed where it is now. Nil means that there is no feed.
func (c *comparison) takePosition(ctx context.Context, identity string) (*Position, error) {
	if c.Feed == nil {
		c.rec.progress.Feed, c.rec.progress.FeedNote = "none", "the primary's changes are found by comparing"
		return nil, nil //nolint:nilnil // as documented
	}
	rows, err := c.Feed.Read(ctx, -markedRows)
	if errors.Is(err, ErrNoFeed) {
		c.rec.progress.Feed, c.rec.progress.FeedNote = "none", err.Error()
		return nil, nil //nolint:nilnil // as documented
	}
	if err != nil {
		return nil, err
	}
	start := Position{Identity: identity, Epoch: rows.Epoch}
	_, next, err := Continue(start, rows, c.overlapIDs(start))
	if err != nil {
		return nil, fmt.Errorf("take the position of the feed: %w", err)
	}
	if rows.Generation > 0 {
		next.Snapshot = rows.snapshotMark()
		if c.due.next != nil && len(c.due.stale) > 0 { // there were too many to look at each
			next.Snapshot.Fruitless = c.due.next.Snapshot.Fruitless + 1
		}
	}
	c.rec.progress.Feed, c.rec.progress.FeedNote = c.Feed.Name(), c.Feed.Reason()
	return &next, nil
}

// listDeletions names what the replica should lose: by the ledger, and with the
// rule "all" by the replica's listing too.
func (c *comparison) listDeletions() []object.Ref {
	if c.Pair.pruneRule() == PruneNone {
		return nil
	}
	gone := map[object.Ref]struct{}{}
	for r := range c.ledger.replicatedObjects() {
		gone[r] = struct{}{}
	}
	if c.Pair.pruneRule() == PruneAll {
		maps.Copy(gone, c.target.refs)
	}
	maps.DeleteFunc(gone, func(r object.Ref, _ struct{}) bool {
		_, there := c.source.refs[r]
		return there || c.source.isUnknown(r) || !c.Pair.Manages(r) || r == c.poison
	})
	return slices.SortedFunc(maps.Keys(gone), object.Compare)
}

// staleFailures are the unsynced objects that the compare doesn't come by otherwise:
// the primary doesn't list them, and there is nothing to delete. Where each pass
// is a compare, nobody else would look whether they are gone.
func (c *comparison) staleFailures(deletes []object.Ref) []object.Ref {
	var refs []object.Ref
	for r := range c.ledger.failing {
		_, there := c.source.refs[r]
		if !there && r != c.poison && !c.source.isUnknown(r) && !c.target.isUnknown(r) && !slices.Contains(deletes, r) {
			refs = append(refs, r)
		}
	}
	slices.SortFunc(refs, object.Compare)
	return refs
}

// dropStaleFailures asks the primary about each unsynced object that it doesn't list. Those
// that are gone have nothing to apply any more. What others have added on the replica stays:
// the drift rule leaves it, and the brake didn't count it.
func (c *comparison) dropStaleFailures(deletes []object.Ref, v readOptions) error {
	prune := c.Pair.pruneRule()
	if prune == PruneAll {
		prune = PruneReplicated
	}
	_, err := c.confirmGone(c.staleFailures(deletes), v, prune)
	return err
}

// compareWindows goes through the primary's objects behind the cursor.
func (c *comparison) compareWindows(v readOptions) error {
	refs := slices.SortedFunc(maps.Keys(c.source.refs), object.Compare)
	w := c.rec.progress.Work
	if w.After != "" {
		after, err := object.ParseRef(w.After)
		if err != nil {
			return &fault.Error{Op: "continue the comparison", Class: fault.Local, Hint: "request a new one with resync", Err: err}
		}
		again := c.dirtyScopes()
		refs = slices.DeleteFunc(refs, func(r object.Ref) bool {
			done := object.Compare(r, after) <= 0 && !c.ledger.isHeld(r) // a held one has come back since
			return done && !slices.Contains(w.Intent, r) && !containAny(again, r)
		})
	}
	refs = slices.DeleteFunc(refs, func(r object.Ref) bool { return r == c.poison })
	c.rec.progress.Pending = len(refs)
	c.rec.startProgress(len(c.source.refs)-len(refs), len(c.source.refs))
	v.bulk = newBulkReader(refs, true, bulkBytes)
	for window := range eachWindow(c.rec, refs) {
		observed, err := c.observer.observeObjects(window, v)
		if err != nil {
			return err
		}
		// What was listed and is gone since is a change of its own.
		observed = slices.DeleteFunc(observed, func(s observedObject) bool { return s.err == nil && s.Absent })
		apply, repair := c.applyDriftRule(c.decideAll(observed))
		c.rec.window = len(window)
		if _, err := c.writer.applyWindow(apply); err != nil && !c.continuesAfter(err) {
			return err
		}
		c.countRepairs(repair)
		c.rec.windowDone()
		c.rec.progress.Pending -= len(window)
		if c.writer.refusalError() == nil { // else the next pass begins again with what is refused
			c.rec.updateWork(func(w *Work) { w.After = window[len(window)-1].Path() })
		}
		c.rec.addProgress(len(window))
		c.rec.reportProgress(PhaseCompare, 0, object.Ref{})
		if err := c.rec.commit(c.guard.hard); err != nil {
			return err
		}
	}
	c.rec.progress.Pending = c.writer.refusedCreates.count
	return c.writer.refusalError()
}

// continuesAfter reports whether a compare goes on behind creates that are refused: other
// kinds may be permitted. One that follows a pass that failed the same way doesn't
// read the whole primary again, for nothing.
func (c *comparison) continuesAfter(err error) bool {
	last := c.rec.before.LastError
	return errors.Is(err, ErrMayNotCreate) && (last == nil || last.Message != err.Error())
}

// confirmAndRemove asks the primary about each object before it is deleted. One
// that is there after all is written instead.
func (p *pass) confirmAndRemove(deletes []object.Ref, v readOptions) error {
	confirmed, err := p.confirmGone(deletes, v, p.Pair.pruneRule())
	if err != nil {
		return err
	}
	return p.writer.removeObjects(confirmed)
}

// confirmGone asks the primary about objects that it doesn't list, and returns those to be
// deleted by a prune rule.
func (p *pass) confirmGone(refs []object.Ref, v readOptions, prune Prune) (confirmed []object.Ref, err error) {
	for window := range eachWindow(p.rec, refs) {
		observed, err := p.observer.observeObjects(window, v)
		if err != nil {
			return nil, err
		}
		gone, err := p.writer.applyWindow(p.ledger.decideAll(observed, prune))
		if err != nil {
			return nil, err
		}
		confirmed = append(confirmed, gone...)
		p.rec.windowDone()
	}
	return confirmed, nil
}
