package replication

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// ledger is what is recorded of the objects of a pair: what replication last put on the
// replica, and what it could not put there; and what a pass has yet to write down.
type ledger struct {
	pair      Pair
	inventory map[object.Ref]string
	unsynced  map[object.Ref]Unsynced
	pending   Update // what the next commit writes
	written   bool   // the inventory changed in this pass
	// overlooked are the records of what doesn't belong to the pair any more, to be
	// dropped.
	overlooked Update
	changeIDs  map[object.Ref]int64
	unlisted   map[object.Ref]bool // bags whose items could not be listed in this pass, or are not
	// deferred are the records of listings and bags that are tried again. They go at
	// the end, if all is well: until then nothing else names what they stand for.
	deferred map[object.Ref]bool
	// heldFailures are the records that held deletions get if the object came back.
	heldFailures map[object.Ref]Unsynced
}

// clone returns the ledger as it is now.
func (l *ledger) clone() *ledger {
	return &ledger{inventory: maps.Clone(l.inventory), unsynced: maps.Clone(l.unsynced)}
}

// entryOf returns what is recorded of an object.
func (l *ledger) entryOf(r object.Ref) Entry {
	last, ours := l.inventory[r]
	e := Entry{Replicated: ours, Fingerprint: last, Dirty: last == unknownFingerprint || ours && last == "", Failure: l.unsynced[r].Class}
	if e.Dirty {
		e.Fingerprint = ""
	}
	if e.Failure == fault.DeletionHeld {
		e.Failure, e.Held = "", true
	}
	e.Held = e.Held || r.Kind == object.DataBagItem && l.unsynced[r.Bag()].Class == fault.DeletionHeld
	return e
}

// decideAll decides about what was observed.
func (l *ledger) decideAll(observed []observedObject, prune Prune) []decidedObject {
	list := make([]decidedObject, len(observed))
	for i, s := range observed {
		e := l.entryOf(s.Ref)
		list[i] = decidedObject{s, Decide(s.Observation, e, prune), e}
	}
	return list
}

// overlookUnselected overlooks what is known of objects that don't belong to the pair any
// more. They stay on the replica as they are. Their records go when a compare
// begins, together with the mark of the selection that they belonged to.
func (l *ledger) overlookUnselected() {
	for r := range l.inventory {
		if !l.pair.Manages(r) {
			delete(l.inventory, r)
			l.overlooked.Removed = append(l.overlooked.Removed, r)
		}
	}
	for r, u := range l.unsynced {
		if !l.pair.Manages(r) && !(r.IsListing() && l.pair.includesScope(object.ScopeOf(r))) {
			delete(l.unsynced, r)
			l.overlooked.Synced = append(l.overlooked.Synced, r)
			l.overlooked.Unsynced = append(l.overlooked.Unsynced, u)
		}
	}
}

// setApplied notes that the replica holds ref with the given fingerprint.
func (l *ledger) setApplied(ref object.Ref, fingerprint string) {
	l.written = true
	l.inventory[ref] = fingerprint
	if l.pending.Applied == nil {
		l.pending.Applied = map[object.Ref]string{}
	}
	l.pending.Applied[ref] = fingerprint
	l.pending.Removed = slices.DeleteFunc(l.pending.Removed, func(r object.Ref) bool { return r == ref })
}

// markDirty records that the replica's object can't be told from the ledger any more.
func (l *ledger) markDirty(ref object.Ref) { l.setApplied(ref, unknownFingerprint) }

// removeObject notes that replication has nothing on the replica under ref.
func (l *ledger) removeObject(ref object.Ref) {
	l.written = true
	delete(l.inventory, ref)
	delete(l.pending.Applied, ref)
	l.pending.Removed = append(l.pending.Removed, ref)
}

// resolveFailure drops the unsynced record of an object, if it has one. That a bag itself
// is equal says nothing of items that could not be listed.
func (l *ledger) resolveFailure(ref object.Ref) {
	if _, ok := l.unsynced[ref]; !ok || l.unlisted[ref] {
		return
	}
	if _, waits := l.deferred[ref]; waits {
		l.deferred[ref] = true
		return
	}
	l.dropFailure(ref)
}

// dropFailure drops the record of an object.
func (l *ledger) dropFailure(ref object.Ref) {
	delete(l.unsynced, ref)
	l.pending.Unsynced = slices.DeleteFunc(l.pending.Unsynced, func(u Unsynced) bool { return u.Ref == ref })
	l.pending.Synced = append(l.pending.Synced, ref)
}

// leaveUnlisted says that a bag's items aren't looked at in this pass: that the bag
// itself is equal then doesn't drop its record.
func (l *ledger) leaveUnlisted(bag object.Ref) {
	if l.unlisted == nil {
		l.unlisted = map[object.Ref]bool{}
	}
	l.unlisted[bag] = true
}

// invalidateEntries marks dirty what an error of a class leaves unknown: an object, or all
// that a listing would have named.
func (l *ledger) invalidateEntries(ref object.Ref, class fault.Class) {
	switch {
	case class == fault.Degraded: // written as well as it can be
	case ref.IsListing():
		for r := range l.inventory {
			if object.ScopeOf(ref).Contains(r) {
				l.markDirty(r)
			}
		}
	case l.inventory[ref] != "":
		l.markDirty(ref)
	}
}

// failureRecords lists the records of unsynced objects and held deletions.
func (l *ledger) failureRecords() []Unsynced {
	return slices.AppendSeq(slices.Clone(l.overlooked.Unsynced), maps.Values(l.unsynced))
}

// setFailure lists an object as unsynced. The inventory isn't believed about it, or
// about what a failed listing would have named, until it has been looked at. A held
// deletion stays held, as it can't be seen whether the object came back, and the failure
// is recorded if it did.
func (l *ledger) setFailure(ref object.Ref, err error, now time.Time) (u Unsynced, set bool) {
	u, seen := l.unsynced[ref]
	held := u.Class == fault.DeletionHeld
	if held || !seen {
		u = Unsynced{Ref: ref, FirstSeen: now}
	}
	u.Class, u.Reason, u.Hint = fault.ClassOf(err), err.Error(), fault.HintOf(err)
	u.Attempts++
	u.LastTry, u.NextTry = now, now.Add(retryObject(u.Class, u.Attempts))
	u.ChangeID = cmp.Or(l.changeIDs[ref], u.ChangeID)
	if held {
		if l.heldFailures == nil {
			l.heldFailures = map[object.Ref]Unsynced{}
		}
		l.heldFailures[ref] = u
		return u, false
	}
	delete(l.deferred, ref)
	l.invalidateEntries(ref, u.Class)
	l.setRecord(u)
	return u, true
}

// setHeld records that the deletion of an object, with so many items, waits for
// approval.
func (l *ledger) setHeld(ref object.Ref, items int, now time.Time) {
	u := Unsynced{Ref: ref, Class: fault.DeletionHeld, Reason: heldReason, FirstSeen: now, LastTry: now, ChangeID: l.changeIDs[ref], Items: items}
	if was := l.unsynced[ref]; was.Class == fault.DeletionHeld {
		u.FirstSeen = was.FirstSeen
	}
	l.setRecord(u)
}

func (l *ledger) setRecord(u Unsynced) {
	l.unsynced[u.Ref] = u
	l.pending.Unsynced = append(slices.DeleteFunc(l.pending.Unsynced, func(x Unsynced) bool { return x.Ref == u.Ref }), u)
	l.pending.Synced = slices.DeleteFunc(l.pending.Synced, func(r object.Ref) bool { return r == u.Ref })
}

// addParentBags adds the bags of items that the inventory doesn't know, so that a bag is
// looked at before its items make it. What comes later is left to markParentBagDirty.
func (l *ledger) addParentBags(set map[object.Ref]struct{}) {
	for r := range maps.Clone(set) {
		bag, last := r.Bag(), l.inventory[r.Bag()]
		if r.Kind == object.DataBagItem && (last == "" || last == unknownFingerprint || l.isHeld(bag)) && l.pair.Manages(bag) {
			set[bag] = struct{}{}
		}
	}
}

// orphanedDirty are the objects that were written with unknown result and that no
// record stands for: those that were in progress with one that killed its process.
func (l *ledger) orphanedDirty() (refs []object.Ref) {
	listings := map[object.Scope]int64{}
	for r, u := range l.unsynced {
		if r.IsListing() || r.Kind == object.DataBag && u.Class != fault.DeletionHeld {
			listings[object.ScopeOf(r)] = 0
		}
	}
	for r, last := range l.inventory {
		if _, aside := l.unsynced[r]; last == unknownFingerprint && !aside && !l.isHeld(r) && !containAny(listings, r) {
			refs = append(refs, r)
		}
	}
	return refs
}

// deferFailureCleanup keeps the records of listings and bags until all that they stand for has
// been looked at, and those of bags whose items aren't listed in this pass.
func (l *ledger) deferFailureCleanup(scopes map[object.Scope]int64) {
	l.deferred = map[object.Ref]bool{}
	for r, u := range l.unsynced {
		switch {
		case !r.IsListing() && r.Kind != object.DataBag || u.Class == fault.DeletionHeld:
		case containAny(scopes, r):
			l.deferred[r] = false
		case r.Kind == object.DataBag:
			l.leaveUnlisted(r)
		}
	}
}

// isHeld reports whether the deletion of an object waits for approval, by itself or
// with its bag.
func (l *ledger) isHeld(r object.Ref) bool {
	if l.unsynced[r].Class == fault.DeletionHeld {
		return true
	}
	return r.Kind == object.DataBagItem && l.unsynced[r.Bag()].Class == fault.DeletionHeld
}

// heldCounts counts the deletions that wait for approval, by kind.
func (l *ledger) heldCounts() map[object.Kind]int {
	n := map[object.Kind]int{}
	for _, u := range l.unsynced {
		if u.Class == fault.DeletionHeld {
			n[u.Ref.Kind]++
			n[object.DataBagItem] += u.Items
		}
	}
	return n
}

// heldItems are the items of a bag that are held by themselves.
func (l *ledger) heldItems(bag object.Ref) (items []object.Ref) {
	if bag.Kind != object.DataBag {
		return nil
	}
	for r, u := range l.unsynced {
		if r.Kind == object.DataBagItem && r.Name == bag.Name && u.Class == fault.DeletionHeld {
			items = append(items, r)
		}
	}
	return items
}

// dropHeld drops the record of a deletion that need not be approved any more.
func (l *ledger) dropHeld(ref object.Ref) {
	if l.unsynced[ref].Class == fault.DeletionHeld {
		delete(l.deferred, ref)
		l.dropFailure(ref)
	}
}

// releaseReturned drops the record of a held deletion whose object is on the primary again.
// Nobody looked at the replica meanwhile, so the inventory isn't believed.
func (l *ledger) releaseReturned(ref object.Ref) {
	if l.unsynced[ref].Class != fault.DeletionHeld {
		return
	}
	l.dropHeld(ref)
	if l.inventory[ref] != "" {
		l.markDirty(ref)
	}
	if u, failed := l.heldFailures[ref]; failed { // its items could not be listed
		l.setRecord(u)
	}
}

// dropForbiddenHolds drops the records of held deletions that the prune rule forbids by
// now.
func (l *ledger) dropForbiddenHolds() {
	for r, u := range l.unsynced {
		if u.Class == fault.DeletionHeld && Decide(Observation{Ref: r, Absent: true}, l.entryOf(r), l.pair.pruneRule()).Action != ActionDelete {
			l.dropHeld(r)
		}
	}
}

// markParentBagDirty takes up the bag of an item that was written, or may have been: the item
// made it if it wasn't there, and nobody would delete one that isn't known.
func (l *ledger) markParentBagDirty(item object.Ref) {
	bag := item.Bag()
	if item.Kind == object.DataBagItem && l.inventory[bag] == "" && l.pair.Manages(bag) {
		l.markDirty(bag)
	}
}

// itemsOf names what replication put into a bag. It goes with the bag, also what
// the primary got again after the bag was seen to be gone.
func (l *ledger) itemsOf(bag object.Ref) (items []object.Ref) {
	if bag.Kind != object.DataBag {
		return nil
	}
	for r := range l.inventory {
		if r != bag && object.ScopeOf(bag).Contains(r) {
			items = append(items, r)
		}
	}
	return items
}

// withFiles are the cookbook versions and artifacts that replication put on the
// replica, in the order of application.
func (l *ledger) withFiles() []object.Ref {
	var refs []object.Ref
	for r := range l.inventory {
		if r.Kind.HasFiles() {
			refs = append(refs, r)
		}
	}
	slices.SortFunc(refs, object.Compare)
	return refs
}
