package replication

import (
	"slices"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// Action is what a decision does to the replica.
type Action string

// The actions. Adopt records an object that the replica already holds as the
// primary has it.
const (
	ActionCreate Action = "create"
	ActionUpdate Action = "update"
	ActionDelete Action = "delete"
	ActionAdopt  Action = "adopt"
	ActionSkip   Action = "skip"
	// ActionHold is a deletion that waits for approval.
	ActionHold Action = "hold"
)

// Presence says whether the replica has an object, as far as it is known.
type Presence int

// The presences.
const (
	Unknown Presence = iota
	Missing
	Present
)

// Observation is what is seen of one object before it is decided what to do.
type Observation struct {
	Ref object.Ref
	// Absent: the primary itself said that the object isn't there.
	Absent bool
	// Fingerprint is the object's on the primary; Expect what the replica will
	// show once it holds it.
	Fingerprint string
	Expect      string
	// Replica says whether the replica has the object, and ReplicaPrint what it
	// holds, "" when it wasn't read.
	Replica      Presence
	ReplicaPrint string
}

// Entry is what is recorded of one object, or of a listing that failed. The zero Entry
// says that nothing is.
type Entry struct {
	Fingerprint string    // of the object as it was last written to the replica
	Dirty       bool      // written, or perhaps written, with unknown result: there is no Fingerprint
	Failure     *Unsynced // why it could not be applied, or its deletion waits for approval; never changed
}

// isReplicated reports whether replication put the object on the replica, or may have.
func (e Entry) isReplicated() bool { return e.Fingerprint != "" || e.Dirty }

// class returns the class of the failure, "" without one.
func (e Entry) class() fault.Class {
	if e.Failure == nil {
		return ""
	}
	return e.Failure.Class
}

// isHeld reports whether the deletion of the object waits for approval.
func (e Entry) isHeld() bool { return e.class() == fault.DeletionHeld }

// hasFailed reports whether the object could not be applied at all.
func (e Entry) hasFailed() bool {
	return e.Failure != nil && !e.isHeld() && e.class() != fault.Degraded
}

// Decision says what to do about an object, and why. A plan is a list of them.
type Decision struct {
	Action Action     `json:"action"`
	Ref    object.Ref `json:"object"`
	Reason string     `json:"reason,omitempty"`
	// Cause says who made the difference that the action removes, "" if there is none.
	Cause Cause `json:"-"`
}

// Decide says what to do about an object, by what was seen of it, what is recorded of it
// and the prune rule. Passes, plans, verifications and repairs all go by it.
func Decide(o Observation, e Entry, prune Prune) Decision {
	if o.Absent {
		return decideAbsent(o, e, prune)
	}
	read := o.ReplicaPrint != ""
	dirty := e.Dirty || e.isHeld() // nobody looked at the replica while the deletion was held
	applied := e.isReplicated() && !dirty && e.Fingerprint == o.Fingerprint
	write := Decision{Action: ActionUpdate, Ref: o.Ref, Cause: CausePending}
	if o.Replica == Missing || o.Replica == Unknown && !e.isReplicated() && !read {
		write.Action = ActionCreate
	}
	switch {
	case read && o.ReplicaPrint == o.Expect && !applied:
		return Decision{Action: ActionAdopt, Ref: o.Ref, Reason: "already on the replica"}
	case applied && !read && o.Replica != Missing, read && o.ReplicaPrint == o.Expect:
		return Decision{Action: ActionSkip, Ref: o.Ref, Reason: "equal"}
	case e.hasFailed():
		write.Reason = "could not be applied before"
	case write.Action == ActionCreate && !e.isReplicated():
		write.Reason = "new on the primary"
	case !e.isReplicated():
		write.Reason = "exists on the replica, but replication didn't write it"
	case dirty:
		write.Reason = "last written with unknown result"
	case o.Replica == Missing:
		write.Cause, write.Reason = CauseMissing, "deleted on the replica"
	case applied:
		write.Cause, write.Reason = CauseChanged, "changed on the replica"
	case read && o.Expect == o.Fingerprint && o.ReplicaPrint != e.Fingerprint && e.class() != fault.Degraded:
		write.Cause, write.Reason = CauseChanged, "changed on the replica, and on the primary since"
	default:
		write.Reason = "changed on the primary"
	}
	return write
}

// decideAbsent decides about an object that the primary doesn't have.
func decideAbsent(o Observation, e Entry, prune Prune) Decision {
	d := Decision{Action: ActionSkip, Ref: o.Ref}
	switch {
	case prune == PruneNone:
		d.Reason = "gone from the primary; the prune rule keeps it"
	case e.isReplicated():
		d.Action, d.Reason = ActionDelete, "gone from the primary"
		if o.Replica != Missing {
			d.Cause = CausePending
		}
	case prune == PruneAll && o.Replica == Present:
		d.Action, d.Cause, d.Reason = ActionDelete, CauseExtra, "added on the replica"
	case prune == PruneAll && o.Replica == Unknown:
		d.Action, d.Reason = ActionDelete, "not on the primary"
	case o.Replica == Present:
		d.Reason = "not on the primary, but not put there by replication"
	default:
		d.Reason = "gone from the primary, never replicated"
	}
	if d.Action == ActionDelete && e.isHeld() {
		d.Reason += "; the deletion waits for approval"
	}
	return d
}

// reportNote says in a report what the difference is that the action would remove.
func (d Decision) reportNote(e Entry) string {
	switch {
	case d.Cause != CausePending || e.isHeld() && d.Action == ActionDelete:
		return d.Reason
	case e.hasFailed() && d.Action != ActionDelete:
		return "could not be applied: it is an unsynced object"
	case d.Action == ActionDelete:
		return d.Reason + ", not deleted yet"
	}
	return d.Reason + ", not applied yet"
}

// isDeletion reports whether the object is deleted, now or once that is approved.
func (d Decision) isDeletion() bool { return d.Action == ActionDelete || d.Action == ActionHold }

// sortDecisions puts decisions in the order of application: writes by kind, what
// others refer to first, then deletions in reverse.
func sortDecisions(list []Decision) {
	slices.SortStableFunc(list, func(a, b Decision) int {
		switch da, db := a.isDeletion(), b.isDeletion(); {
		case da && db:
			return object.Compare(b.Ref, a.Ref)
		case da:
			return 1
		case db:
			return -1
		}
		return object.Compare(a.Ref, b.Ref)
	})
}

// decidedObject is an observation with what to do about it.
type decidedObject struct {
	observedObject
	Decision
	entry Entry // by which it was decided
}

// decideAll decides about what was observed, by what is recorded now.
func (p *pass) decideAll(observed []observedObject) []decidedObject {
	return p.ledger.decideAll(observed, p.Pair.pruneRule())
}

// toDifference returns what differs about an object that was read on both sides, and who
// made the difference; nil if nothing does or a side could not show it.
func (d decidedObject) toDifference() *Difference {
	if d.readError() != nil || d.Cause == "" {
		return nil
	}
	letter := "M"
	switch {
	case d.Absent:
		letter = "D"
	case d.Replica == Missing:
		letter = "A"
	}
	return &Difference{Ref: d.Ref, Letter: letter, Cause: d.Cause, Note: d.reportNote(d.entry), Held: d.Action == ActionDelete && d.entry.isHeld()}
}
