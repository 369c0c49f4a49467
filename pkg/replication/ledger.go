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
	unsynced  map[object.Ref]Unsynced   // objects that could not be applied, and held deletions
	unlisted  map[object.Scope]Unsynced // listings that failed
	pending   Update                    // what the next commit writes
	written   bool                      // the inventory changed in this pass
	// overlooked are the records of what doesn't belong to the pair any more, to be
	// dropped.
	overlooked Update
	changeIDs  map[object.Ref]int64
	// relisted are the failed listings that this pass has listed again. Their records
	// go at its end: until then nothing else names what they stand for.
	relisted map[object.Scope]bool
}

// newLedger returns the ledger of an inventory and the records beside it.
func newLedger(pair Pair, inventory map[object.Ref]string, records []Unsynced) ledger {
	l := ledger{pair: pair, inventory: inventory, unsynced: map[object.Ref]Unsynced{}, unlisted: map[object.Scope]Unsynced{}}
	for _, u := range records {
		if u.Ref.IsListing() {
			l.unlisted[object.Scope(u.Ref)] = u
		} else {
			l.unsynced[u.Ref] = u
		}
	}
	return l
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
	for _, u := range l.failureRecords() {
		listing := u.Ref.IsListing()
		if listing && l.pair.includesScope(object.Scope(u.Ref)) || !listing && l.pair.Manages(u.Ref) {
			continue
		}
		delete(l.unsynced, u.Ref)
		delete(l.unlisted, object.Scope(u.Ref))
		l.overlooked.Synced = append(l.overlooked.Synced, u.Ref)
		l.overlooked.Unsynced = append(l.overlooked.Unsynced, u)
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

// resolveFailure drops the record of an object, if it has one.
func (l *ledger) resolveFailure(ref object.Ref) {
	if _, ok := l.unsynced[ref]; ok {
		delete(l.unsynced, ref)
		l.dropRecord(ref)
	}
}

// resolveListing drops the record of a listing that failed before.
func (l *ledger) resolveListing(scope object.Scope) {
	delete(l.unlisted, scope)
	l.dropRecord(object.Ref(scope))
}

func (l *ledger) dropRecord(ref object.Ref) {
	l.pending.Unsynced = slices.DeleteFunc(l.pending.Unsynced, func(u Unsynced) bool { return u.Ref == ref })
	l.pending.Synced = append(l.pending.Synced, ref)
}

// failureRecords returns the records of unsynced objects, held deletions and failed
// listings, in the order of application.
func (l *ledger) failureRecords() []Unsynced {
	list := slices.AppendSeq(slices.Collect(maps.Values(l.unsynced)), maps.Values(l.unlisted))
	slices.SortFunc(list, func(a, b Unsynced) int { return object.Compare(a.Ref, b.Ref) })
	return list
}

// withoutHeld returns the records that aren't of held deletions.
func withoutHeld(records []Unsynced) []Unsynced {
	return slices.DeleteFunc(records, func(u Unsynced) bool { return u.Class == fault.DeletionHeld })
}

// setFailure records that an object could not be applied. What the inventory says of it
// isn't trusted until the object has been read. A held deletion stays held, as the error
// leaves open whether the object came back.
func (l *ledger) setFailure(ref object.Ref, err error, now time.Time) (u Unsynced, set bool) {
	u, known := l.unsynced[ref]
	if u.Class == fault.DeletionHeld {
		return u, false
	}
	u = l.newFailure(u, known, ref, err, now)
	if u.Class != fault.Degraded && l.inventory[ref] != "" { // one that is degraded is written as well as it can be
		l.markDirty(ref)
	}
	l.unsynced[ref] = u
	l.setRecord(u)
	return u, true
}

// setListingFailure records that a listing failed. What the inventory says of all that it
// would have named isn't trusted until that has been read.
func (l *ledger) setListingFailure(scope object.Scope, err error, now time.Time) Unsynced {
	u, known := l.unlisted[scope]
	u = l.newFailure(u, known, object.Ref(scope), err, now)
	for r := range l.inventory {
		if scope.Contains(r) {
			l.markDirty(r)
		}
	}
	delete(l.relisted, scope)
	l.unlisted[scope] = u
	l.setRecord(u)
	return u
}

// newFailure returns the record of another failure after those that u counts.
func (l *ledger) newFailure(u Unsynced, known bool, ref object.Ref, err error, now time.Time) Unsynced {
	if !known {
		u = Unsynced{Ref: ref, FirstSeen: now}
	}
	u.Class, u.Reason, u.Hint = fault.ClassOf(err), err.Error(), fault.HintOf(err)
	u.Attempts++
	u.LastTry, u.NextTry = now, now.Add(retryObject(u.Class, u.Attempts))
	u.ChangeID = cmp.Or(l.changeIDs[ref], u.ChangeID)
	return u
}

// setHeld records that the deletion of an object, with so many items, waits for
// approval.
func (l *ledger) setHeld(ref object.Ref, items int, now time.Time) {
	u := Unsynced{Ref: ref, Class: fault.DeletionHeld, Reason: heldReason, FirstSeen: now, LastTry: now, ChangeID: l.changeIDs[ref], Items: items}
	if was := l.unsynced[ref]; was.Class == fault.DeletionHeld {
		u.FirstSeen = was.FirstSeen
	}
	l.unsynced[ref] = u
	l.setRecord(u)
}

func (l *ledger) setRecord(u Unsynced) {
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

// orphanedDirty returns the objects that were written with unknown result and that no
// record covers: those that were in progress with one that killed its process.
func (l *ledger) orphanedDirty() (refs []object.Ref) {
	for r, last := range l.inventory {
		if last == unknownFingerprint && !l.hasRecord(r, true) {
			refs = append(refs, r)
		}
	}
	return refs
}

// hasRecord reports whether an object, its bag, or a listing that would name it has a
// record. Held deletions count if held is set.
func (l *ledger) hasRecord(r object.Ref, held bool) bool {
	counts := func(r object.Ref) bool {
		u, there := l.unsynced[r]
		return there && (held || u.Class != fault.DeletionHeld)
	}
	if counts(r) || r.Kind == object.DataBagItem && counts(r.Bag()) {
		return true
	}
	for scope := range l.unlisted {
		if scope.Contains(r) {
			return true
		}
	}
	return false
}

// markRelisted notes which of the failed listings are done again with some scopes.
func (l *ledger) markRelisted(scopes map[object.Scope]int64) {
	l.relisted = map[object.Scope]bool{}
	for scope := range l.unlisted {
		if containAny(scopes, object.Ref(scope)) {
			l.relisted[scope] = true
		}
	}
}

// resolveRelisted drops the records of the listings that succeeded in this pass.
func (l *ledger) resolveRelisted() {
	for scope := range l.relisted {
		l.resolveListing(scope)
	}
	l.relisted = nil
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
		l.resolveFailure(ref)
	}
}

// releaseReturned drops the record of a held deletion whose object is on the primary again.
// Nobody looked at the replica meanwhile, so the inventory isn't trusted.
func (l *ledger) releaseReturned(ref object.Ref) {
	if l.unsynced[ref].Class != fault.DeletionHeld {
		return
	}
	l.dropHeld(ref)
	if l.inventory[ref] != "" {
		l.markDirty(ref)
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
