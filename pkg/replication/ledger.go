package replication

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// Entries are what is recorded of the objects of a pair, and of listings that failed.
type Entries map[object.Ref]Entry

// Unsynced returns the records of unsynced objects, held deletions and failed listings, in
// the order of application.
func (e Entries) Unsynced() (list []Unsynced) {
	for _, x := range e {
		if x.Failure != nil {
			list = append(list, *x.Failure)
		}
	}
	slices.SortFunc(list, compareUnsynced)
	return list
}

func compareUnsynced(a, b Unsynced) int { return object.Compare(a.Ref, b.Ref) }

// ledger holds the entries of a pair while a pass works on it, and knows what the pass has
// yet to write down.
type ledger struct {
	pair       Pair
	entries    Entries                   // of objects
	failing    map[object.Ref]*Unsynced  // of the entries that have a failure
	unlisted   map[object.Scope]Unsynced // listings that failed
	replicated int                       // entries of objects that are replicated
	changed    map[object.Ref]bool       // entries that the next commit writes
	written    bool                      // the replica changed in this pass
	// overlooked are the entries of what doesn't belong to the pair any more, to be
	// dropped.
	overlooked Entries
	changeIDs  map[object.Ref]int64
	// relisted are the failed listings that this pass has listed again. Their records
	// go at its end: until then nothing else names what they stand for.
	relisted map[object.Scope]bool
}

// newLedger returns the ledger of a pair with the entries that belong to it. The others
// are overlooked: those objects stay on the replica as they are.
func newLedger(pair Pair, entries Entries) ledger {
	l := ledger{pair: pair, entries: Entries{}, failing: map[object.Ref]*Unsynced{}, unlisted: map[object.Scope]Unsynced{},
		overlooked: Entries{}}
	for r, e := range entries {
		listing := r.IsListing()
		switch {
		case listing && !pair.includesScope(object.Scope(r)) || !listing && !pair.Manages(r):
			l.overlooked[r] = e
		case listing && e.Failure != nil:
			l.unlisted[object.Scope(r)] = *e.Failure
		default:
			l.setEntry(r, e)
		}
	}
	l.changed = map[object.Ref]bool{}
	return l
}

// setEntry sets the entry of an object. All changes of entries go through it.
func (l *ledger) setEntry(r object.Ref, e Entry) {
	if l.entries[r].isReplicated() {
		l.replicated--
	}
	delete(l.failing, r)
	if e.Failure != nil {
		l.failing[r] = e.Failure
	}
	if e.isReplicated() {
		l.replicated++
	}
	if e == (Entry{}) {
		delete(l.entries, r)
	} else {
		l.entries[r] = e
	}
	if l.changed != nil {
		l.changed[r] = true
	}
}

// changedEntries returns the entries that changed since the last commit.
func (l *ledger) changedEntries() Entries {
	out := make(Entries, len(l.changed))
	for r := range l.changed {
		out[r] = l.entries[r]
		if u, failed := l.unlisted[object.Scope(r)]; failed && r.IsListing() {
			out[r] = Entry{Failure: &u}
		}
	}
	return out
}

// countReplicated counts the objects that replication put on the replica, with those that
// are only overlooked so far.
func (l *ledger) countReplicated() int {
	n := l.replicated
	for _, e := range l.overlooked {
		if e.isReplicated() {
			n++
		}
	}
	return n
}

// copyEntries returns a ledger with the same entries, to look at.
func (l *ledger) copyEntries() *ledger {
	return &ledger{pair: l.pair, entries: maps.Clone(l.entries), failing: maps.Clone(l.failing)}
}

// dropFailures drops all records of failures.
func (l *ledger) dropFailures() {
	for r := range l.failing {
		l.setRecord(r, nil)
	}
	clear(l.unlisted)
}

// isReplicated reports whether replication put an object on the replica, or may have.
func (l *ledger) isReplicated(r object.Ref) bool { return l.entries[r].isReplicated() }

// isTrusted reports whether the ledger knows what it put on the replica.
func (l *ledger) isTrusted(r object.Ref) bool { return l.entries[r].Fingerprint != "" }

// replicatedObjects yields the objects that replication put on the replica, or may have.
func (l *ledger) replicatedObjects() iter.Seq2[object.Ref, Entry] {
	return func(yield func(object.Ref, Entry) bool) {
		for r, e := range l.entries {
			if e.isReplicated() && !yield(r, e) {
				return
			}
		}
	}
}

// entryOf returns what is recorded of an object. One whose bag is held is held with it.
func (l *ledger) entryOf(r object.Ref) Entry {
	e := l.entries[r]
	if bag := l.entries[r.Parent()]; bag.isHeld() {
		e.Failure = bag.Failure
	}
	return e
}

// isHeld reports whether the deletion of an object waits for approval, by itself or
// with its bag.
func (l *ledger) isHeld(r object.Ref) bool { return l.entryOf(r).isHeld() }

// isHeldWithBag reports whether an item has no record of its own and its bag is held.
func (l *ledger) isHeldWithBag(item object.Ref) bool {
	return l.entries[item].Failure == nil && l.entries[item.Parent()].isHeld()
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

// dropOverlooked drops the entries of what doesn't belong to the pair any more. That is done
// when a compare begins, together with the mark of the selection that they belonged to.
func (l *ledger) dropOverlooked() {
	for r := range l.overlooked {
		l.changed[r] = true
	}
	clear(l.overlooked)
}

// setApplied records that the replica holds an object with the given fingerprint.
func (l *ledger) setApplied(ref object.Ref, fingerprint string) {
	l.written = true
	l.setEntry(ref, Entry{Fingerprint: fingerprint, Dirty: fingerprint == "", Failure: l.entries[ref].Failure})
}

// markDirty records that it isn't known what the replica has of an object.
func (l *ledger) markDirty(ref object.Ref) { l.setApplied(ref, "") }

// removeObject records that replication has nothing on the replica under ref.
func (l *ledger) removeObject(ref object.Ref) {
	l.written = true
	l.setEntry(ref, Entry{Failure: l.entries[ref].Failure})
}

// setRecord sets the failure of an object, nil for none.
func (l *ledger) setRecord(ref object.Ref, u *Unsynced) {
	e := l.entries[ref]
	e.Failure = u
	l.setEntry(ref, e)
}

// resolveFailure drops the record of an object, if it has one.
func (l *ledger) resolveFailure(ref object.Ref) {
	if l.failing[ref] != nil {
		l.setRecord(ref, nil)
	}
}

// resolveListing drops the record of a listing that failed before.
func (l *ledger) resolveListing(scope object.Scope) {
	delete(l.unlisted, scope)
	l.changed[object.Ref(scope)] = true
}

// failureRecords returns the records of unsynced objects, held deletions and failed
// listings, in the order of application.
func (l *ledger) failureRecords() []Unsynced {
	list := slices.Collect(maps.Values(l.unlisted))
	for _, u := range l.failing {
		list = append(list, *u)
	}
	slices.SortFunc(list, compareUnsynced)
	return list
}

// withoutHeld returns the records that aren't of held deletions.
func withoutHeld(records []Unsynced) []Unsynced {
	return slices.DeleteFunc(records, func(u Unsynced) bool { return u.Class == fault.DeletionHeld })
}

// setFailure records that an object could not be applied. The fingerprint in its entry isn't
// trusted until the object has been read. A held deletion stays held, as the error
// leaves open whether the object came back.
func (l *ledger) setFailure(ref object.Ref, err error, now time.Time) (u Unsynced, set bool) {
	e := l.entries[ref]
	if e.isHeld() {
		return *e.Failure, false
	}
	u = l.newFailure(e.Failure, ref, err, now)
	if u.Class != fault.Degraded && e.isReplicated() { // one that is degraded is written as well as it can be
		l.markDirty(ref)
	}
	l.setRecord(ref, &u)
	return u, true
}

// setListingFailure records that a listing failed. The fingerprints of all that it would
// have named aren't trusted until that has been read.
func (l *ledger) setListingFailure(scope object.Scope, err error, now time.Time) Unsynced {
	var was *Unsynced
	if u, known := l.unlisted[scope]; known {
		was = &u
	}
	u := l.newFailure(was, object.Ref(scope), err, now)
	for r := range l.replicatedObjects() {
		if scope.Contains(r) {
			l.markDirty(r)
		}
	}
	delete(l.relisted, scope)
	l.unlisted[scope] = u
	l.changed[object.Ref(scope)] = true
	return u
}

// newFailure returns the record of another failure after those that was counts, nil for none.
func (l *ledger) newFailure(was *Unsynced, ref object.Ref, err error, now time.Time) Unsynced {
	u := Unsynced{Ref: ref, FirstSeen: now}
	if was != nil {
		u = *was
	}
	u.Class, u.Reason, u.Hint = fault.ClassOf(err), err.Error(), fault.HintOf(err)
	u.Attempts++
	u.LastTry, u.NextTry = now, now.Add(retryObject(u.Class, u.Attempts))
	u.ChangeID = cmp.Or(l.changeIDs[ref], u.ChangeID)
	return u
}

// setHeld records that the deletion of an object, with n items, waits for
// approval.
func (l *ledger) setHeld(ref object.Ref, items int, now time.Time) {
	u := Unsynced{Ref: ref, Class: fault.DeletionHeld, Reason: heldReason, FirstSeen: now, LastTry: now, ChangeID: l.changeIDs[ref], Items: items}
	if was := l.entries[ref]; was.isHeld() {
		u.FirstSeen = was.Failure.FirstSeen
	}
	l.setRecord(ref, &u)
}

// addParentBags adds the bags of items that aren't known to be on the replica, so that a bag is
// looked at before its items make it. What comes later is left to markParentBagDirty.
func (l *ledger) addParentBags(set map[object.Ref]struct{}) {
	for r := range maps.Clone(set) {
		bag := r.Parent()
		if bag != (object.Ref{}) && (!l.isTrusted(bag) || l.isHeld(bag)) && l.pair.Manages(bag) {
			set[bag] = struct{}{}
		}
	}
}

// orphanedDirty returns the objects that were written with unknown result and that no
// record covers: those that were in progress with one that killed its process.
func (l *ledger) orphanedDirty() (refs []object.Ref) {
	for r, e := range l.entries {
		if e.Dirty && !l.hasRecord(r, true) {
			refs = append(refs, r)
		}
	}
	return refs
}

// hasRecord reports whether an object, its bag, or a listing that would name it has a
// record. Held deletions count if held is set.
func (l *ledger) hasRecord(r object.Ref, held bool) bool {
	counts := func(r object.Ref) bool {
		e := l.entries[r]
		return e.Failure != nil && (held || !e.isHeld())
	}
	if counts(r) || counts(r.Parent()) {
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

// heldCounts counts the deletions that wait for approval, by kind.
func (l *ledger) heldCounts() map[object.Kind]int {
	n := map[object.Kind]int{}
	for _, u := range l.failing {
		if u.Class == fault.DeletionHeld {
			n[u.Ref.Kind]++
			if u.Items > 0 {
				n[u.Ref.Kind.Child()] += u.Items
			}
		}
	}
	return n
}

// isCountedHeld reports whether an object is one of those that heldCounts counts.
func (l *ledger) isCountedHeld(r object.Ref) bool {
	e := l.entries[r]
	return e.isHeld() || e.isReplicated() && l.isHeldWithBag(r)
}

// heldItems are the items of a bag that are held by themselves.
func (l *ledger) heldItems(bag object.Ref) (items []object.Ref) {
	if bag.Kind.Child() == "" {
		return nil
	}
	for r, u := range l.failing {
		if r.Parent() == bag && u.Class == fault.DeletionHeld {
			items = append(items, r)
		}
	}
	return items
}

// dropHeld drops the record of a deletion that need not be approved any more.
func (l *ledger) dropHeld(ref object.Ref) {
	if l.entries[ref].isHeld() {
		l.resolveFailure(ref)
	}
}

// releaseReturned drops the record of a held deletion whose object is on the primary again.
// Nobody looked at the replica meanwhile, so its fingerprint isn't trusted.
func (l *ledger) releaseReturned(ref object.Ref) {
	if !l.entries[ref].isHeld() {
		return
	}
	l.dropHeld(ref)
	if l.isReplicated(ref) {
		l.markDirty(ref)
	}
}

// dropForbiddenHolds drops the records of held deletions that the prune rule forbids by
// now.
func (l *ledger) dropForbiddenHolds() {
	for r, u := range l.failing {
		if u.Class == fault.DeletionHeld && Decide(Observation{Ref: r, Absent: true}, l.entryOf(r), l.pair.pruneRule()).Action != ActionDelete {
			l.dropHeld(r)
		}
	}
}

// markParentBagDirty takes up the bag of an item that was written, or may have been: the item
// made it if it wasn't there, and nobody would delete one that isn't known.
func (l *ledger) markParentBagDirty(item object.Ref) {
	bag := item.Parent()
	if bag != (object.Ref{}) && !l.isReplicated(bag) && l.pair.Manages(bag) {
		l.markDirty(bag)
	}
}

// itemsOf names what replication put into a bag. It goes with the bag, also what
// the primary got again after the bag was seen to be gone.
func (l *ledger) itemsOf(bag object.Ref) (items []object.Ref) {
	if bag.Kind.Child() == "" {
		return nil
	}
	for r := range l.replicatedObjects() {
		if r.Parent() == bag {
			items = append(items, r)
		}
	}
	return items
}

// withFiles are the cookbook versions and artifacts that replication put on the
// replica, in the order of application.
func (l *ledger) withFiles() []object.Ref {
	var refs []object.Ref
	for r := range l.replicatedObjects() {
		if r.Kind.HasFiles() {
			refs = append(refs, r)
		}
	}
	slices.SortFunc(refs, object.Compare)
	return refs
}
