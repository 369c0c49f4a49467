package replication

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// heldReason is the reason in the record of a held deletion.
const heldReason = "gone from the primary; the deletion waits for approval"

// removal is what a pass would delete, and what the brake must know to decide.
type removal struct {
	refs []object.Ref // with those that wait for approval already, if they were looked at
	// onReplica are objects of the replica that replication didn't put there but the
	// prune rule "all" would delete if the primary lacked them. What it lacks, and others
	// added, makes up for no deletion: the drift rule may leave it.
	onReplica     map[object.Ref]struct{}
	creates       []object.Ref // that the replica is to get before
	failedListing bool
	// onPrimary reports whether the primary has the bag, as seen in this pass.
	onPrimary func(bag object.Ref) bool
}

// deletionBrake decides which deletions of a pass wait for approval, and records them.
type deletionBrake struct {
	*Engine
	guard  *guard
	rec    *recorder
	ledger *ledger

	reviewing bool // the operator answered the hold: what is held is decided again
	allowed   bool // the operator's approval was looked at
	approved  bool // what is held may be deleted
	uncounted bool // deletions don't count against the limit
	pruning   bool // a resync was asked to delete whatever the primary doesn't have
	// missing are objects to be deleted that the replica doesn't have.
	missing map[object.Ref]bool
	// objectsBefore counts, by kind, what the replica had before the deletions of this pass.
	objectsBefore map[object.Kind]int
	// released is what the brake was asked when it let deletions go, and creates are the
	// objects that it counted as being there by then.
	released Brake
	creates  []object.Ref
}

// checkBrake returns what may be deleted. If that is too much, all that doesn't wait for
// approval yet is recorded as held, so that it isn't lost when the position moves,
// and nothing is deleted. What is held stays so until it is approved or the
// primary has it again: it doesn't trickle out as time passes.
func (b *deletionBrake) checkBrake(d removal) ([]object.Ref, error) {
	d.refs = b.withItems(d.refs)
	b.splitHeldBags(d)
	fresh := d.refs
	deletes := map[object.Kind]int{}
	if !b.reviewing {
		fresh = slices.DeleteFunc(slices.Clone(d.refs), b.ledger.isHeld)
		deletes = b.ledger.heldCounts()
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	due := map[object.Ref]bool{}
	for _, r := range fresh {
		deletes[r.Kind]++
		due[r] = true
	}
	if err := b.checkPrimary(fresh); err != nil {
		return nil, err // whatever was approved: that was for the organization before
	}
	deleted, most := b.rec.progress.Deletions.countingAt(b.Now()).totals(func(r object.Ref) bool {
		return due[r] || !b.reviewing && b.ledger.isCountedHeld(r)
	})
	b.objectsBefore = b.countObjects(d)
	b.creates = d.creates
	check := Brake{Objects: b.objectsBefore, Creates: countByKind(d.creates), Deletes: deletes, Deleted: deleted, Most: most,
		FailedListing: d.failedListing, Limit: b.Pair.MaxDelete}
	check.Allowance = allowedDeletions(PairState{Desired: b.rec.desired, Progress: b.rec.before}, b.Now())
	b.allowed = check.Allowance > 0
	reason := check.Check()
	if reason == "" {
		b.approved, b.released = b.reviewing, check
		return fresh, nil
	}
	b.holdDeletions(fresh, reason)
	return nil, nil
}

// isMissing reports whether the replica is known not to have an object to be deleted.
func (b *deletionBrake) isMissing(r object.Ref) bool { return b.missing[r] }

// recheckBrake returns what may still be deleted after the writes of the pass: an
// object whose creation failed doesn't make up for one that is deleted.
func (b *deletionBrake) recheckBrake(deletes []object.Ref) []object.Ref {
	check := b.released
	check.Creates = countByKind(slices.DeleteFunc(slices.Clone(b.creates), func(r object.Ref) bool {
		return !b.ledger.isTrusted(r)
	}))
	reason := check.Check()
	if reason == "" {
		return deletes
	}
	b.holdDeletions(slices.DeleteFunc(slices.Clone(deletes), b.isMissing), reason)
	return slices.DeleteFunc(slices.Clone(deletes), func(r object.Ref) bool { return !b.isMissing(r) })
}

func countByKind(refs []object.Ref) map[object.Kind]int {
	n := map[object.Kind]int{}
	for _, r := range refs {
		n[r.Kind]++
	}
	return n
}

// withItems adds the items that go with a bag.
func (b *deletionBrake) withItems(refs []object.Ref) []object.Ref {
	set := make(map[object.Ref]struct{}, len(refs))
	for _, r := range refs {
		set[r] = struct{}{}
	}
	for r := range b.ledger.replicatedObjects() {
		if _, goes := set[r.Parent()]; goes {
			set[r] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(set), object.Compare)
}

// countObjects counts what the pair has on the replica, by kind. An object whose last
// write or deletion failed with unknown result, and that this pass doesn't delete,
// may be gone: it isn't counted, or the last object there is would not look like it. Nor is
// one that neither side has.
func (b *deletionBrake) countObjects(d removal) map[object.Kind]int {
	n, counted := map[object.Kind]int{}, map[object.Ref]bool{}
	add := func(r object.Ref) {
		if !counted[r] {
			counted[r] = true
			n[r.Kind]++
		}
	}
	for r, e := range b.ledger.replicatedObjects() {
		if !b.missing[r] && (!e.Dirty || e.Failure == nil || e.isHeld()) {
			add(r)
		}
	}
	for r := range d.onReplica {
		add(r)
	}
	for _, r := range d.refs {
		add(r)
	}
	return n
}

// splitHeldBags gives the items of a held bag that is on the primary again records
// of their own.
func (b *deletionBrake) splitHeldBags(d removal) {
	for _, r := range d.refs {
		bag := r.Parent()
		if b.ledger.entries[bag].isHeld() && d.onPrimary(bag) {
			b.holdDeletion(r, 0)
		}
	}
	back := map[object.Ref]bool{}
	for r, u := range b.ledger.failing {
		if u.Class == fault.DeletionHeld && r.Kind.Child() != "" && d.onPrimary(r) {
			back[r] = true
			b.ledger.releaseReturned(r)
		}
	}
	for r := range b.ledger.replicatedObjects() {
		if back[r.Parent()] && !b.ledger.isHeld(r) {
			b.ledger.markDirty(r)
		}
	}
}

// holdDeletions records deletions as held. A bag stands for its items.
func (b *deletionBrake) holdDeletions(refs []object.Ref, reason string) {
	rest, items := splitItems(refs)
	for _, r := range rest {
		with := map[object.Ref]struct{}{}
		for _, item := range slices.Concat(items[r], b.ledger.heldItems(r)) {
			with[item] = struct{}{}
			b.ledger.dropHeld(item)
		}
		b.holdDeletion(r, len(with))
	}
	now := b.Now()
	h := Hold{At: now, Reason: reason, Prune: b.pruning, LastAnswer: lastAnswer(b.rec.desired.AllowedAt, now)}
	if was := b.rec.progress.Hold; was != nil && !b.reviewing {
		h.At, h.LastAnswer = was.At, was.LastAnswer // an approval that is under way answers the hold that the operator saw
	}
	b.rec.progress.Hold = &h
	b.reviewing = false
	b.rec.updateHold()
	b.Log.Error("deletions wait for approval", "pair", b.Pair.ID.String(), "run", b.rec.run.ID, "reason", reason, "deletions", b.rec.progress.Hold.Deletes,
		"hint", fmt.Sprintf("chef-sync-ctl plan %s, then: chef-sync-ctl sync-start %s --allow-deletes %d", b.Pair.ID, b.Pair.ID, b.rec.progress.Hold.Deletes))
	for _, r := range rest[:min(len(rest), namesLogged)] {
		b.rec.logStep(Decision{Action: ActionDelete, Ref: r, Reason: reason}, "held")
	}
}

// holdDeletion records that the deletion of an object, with n items, waits for
// approval.
func (b *deletionBrake) holdDeletion(ref object.Ref, items int) {
	b.ledger.setHeld(ref, items, b.Now())
	b.rec.run.Counts.Held++
}

// holdSample is how many of the held objects the record of a pair names.
const holdSample = 10

// checkPrimary asks the primary who it is before anything is deleted: what another
// organization than before lacks was deleted by nobody, and an organization that is
// created again under its name begins empty.
func (b *deletionBrake) checkPrimary(deletes []object.Ref) error {
	id, err := b.Source.Identity(b.guard.hard)
	if err != nil {
		return err
	}
	b.rec.progress.IdentityAt = b.Now()
	before := b.rec.progress.primaryIdentity()
	if !anotherOrganization(before, id) {
		return nil
	}
	now := b.Now()
	return &holdError{&Hold{At: now, LastAnswer: lastAnswer(b.rec.desired.PrimaryAcceptedAt, now), Primary: id,
		Deletes: len(deletes), Sample: slices.Clone(deletes[:min(len(deletes), holdSample)]),
		Reason: fmt.Sprintf("the primary has a different organization than before (%s, now %s)", orgGUID(before), orgGUID(id))}}
}

// anotherOrganization reports whether two identities certainly name different
// organizations. Servers that show no GUID, and URLs that changed, leave it open.
func anotherOrganization(before, now string) bool {
	return orgGUID(before) != "" && orgGUID(now) != "" && orgGUID(before) != orgGUID(now)
}

// orgGUID is the GUID of an organization in an identity, or "".
func orgGUID(identity string) string {
	_, id, _ := strings.Cut(identity, "#")
	return id
}

// otherPrimary decides what a pair does that is held because the primary is another
// organization: nothing, until that is accepted or the one before is back.
func (e *Engine) otherPrimary(ctx context.Context, st PairState, t *dueWork) error {
	h := st.Progress.Hold
	if h.Primary == "" {
		return nil
	}
	if h.isAnsweredBy(st.Desired.PrimaryAcceptedAt, e.Now()) {
		t.full, t.repairs, t.accepted, t.reason = true, true, true, "a new primary was accepted"
		return nil
	}
	id, err := e.Source.Identity(ctx)
	if err != nil {
		return err
	}
	t.held = anotherOrganization(st.Progress.primaryIdentity(), id)
	return nil
}

// resumeAfterHold ends a hold because of another primary, which is the one before again. One
// that was accepted ends when its compare has begun: until then nothing else says that.
func (p *pass) resumeAfterHold() {
	h := p.rec.progress.Hold
	if h == nil || h.Primary == "" {
		return
	}
	if p.due.accepted { // what was known of the other one means nothing
		p.rec.progress.Position, p.rec.progress.Work = nil, nil
		return
	}
	p.rec.progress.Hold = nil
}

// Summary says in a sentence what waits, and why.
func (h Hold) Summary() string {
	if h.Primary != "" {
		return h.Reason + "; nothing is replicated until you accept it, or the previous one is back"
	}
	return countNoun(h.Deletes, "deletion waits", "deletions wait") + " for approval: " + h.Reason
}

// Hint says what to try.
func (h Hold) Hint(id PairID) string {
	if h.Primary != "" {
		return fmt.Sprintf("check that the URL of the primary is correct, or accept the new organization: chef-sync-ctl sync-start %s --accept-new-primary", id)
	}
	return fmt.Sprintf("chef-sync-ctl plan %s, then: chef-sync-ctl sync-start %s --allow-deletes %d", id, id, h.Deletes)
}

// heldBy returns the hold that ended a pass, or nil.
func heldBy(err error) *Hold {
	var h *holdError
	if errors.As(err, &h) {
		return h.hold
	}
	return nil
}
