package replication

import (
	"slices"
	"time"

	"chefsync/pkg/object"
)

// Action is what a step does to the replica.
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

// unknownFingerprint stands in the inventory for an object that replication
// wrote or may have written, with unknown result. It equals nothing.
const unknownFingerprint = "?"

// Presence says whether the replica has an object, as far as it is known.
type Presence int

// The presences.
const (
	Unknown Presence = iota
	Missing
	Present
)

// Observation is what is known of one object before it is decided what to do.
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

// Step is one line of a plan.
type Step struct {
	Action Action     `json:"action"`
	Ref    object.Ref `json:"object"`
	Reason string     `json:"reason,omitempty"`
}

// Plan says what a pass would do, in the order in which it would do it.
type Plan struct {
	Pair    PairID     `json:"pair"`
	Mode    string     `json:"mode"` // changes or compare
	Reason  string     `json:"reason,omitempty"`
	Steps   []Step     `json:"steps"`
	Hold    *Hold      `json:"hold,omitempty"`   // the deletions that would wait for approval
	Failed  []Unsynced `json:"failed,omitempty"` // objects that couldn't be read
	Upto    *Position  `json:"upto,omitempty"`   // where the position would go
	At      time.Time  `json:"at"`
	Pending int        `json:"pending,omitempty"` // rows of the feed behind the plan
}

// Deletes counts the deletions of a plan.
func (p Plan) Deletes() int {
	n := 0
	for _, s := range p.Steps {
		if s.Action == ActionDelete {
			n++
		}
	}
	return n
}

// Writes counts the steps that would change the replica.
func (p Plan) Writes() int {
	n := 0
	for _, s := range p.Steps {
		if s.Action == ActionCreate || s.Action == ActionUpdate || s.Action == ActionDelete {
			n++
		}
	}
	return n
}

// MakePlan decides what to do about each observation: a pure function of what
// the primary holds, what replication last put on the replica, and the prune
// rule. The steps are in the order of application: writes by kind, what others
// refer to first, then deletions in reverse.
func MakePlan(observed []Observation, inventory map[object.Ref]string, prune Prune) []Step {
	steps := make([]Step, 0, len(observed))
	for _, o := range observed {
		steps = append(steps, decide(o, inventory, prune))
	}
	slices.SortStableFunc(steps, compareSteps)
	return steps
}

func decide(o Observation, inventory map[object.Ref]string, prune Prune) Step {
	last, ours := inventory[o.Ref]
	if o.Absent {
		return decideAbsent(o, ours, prune)
	}
	known := last != "" && last != unknownFingerprint
	switch {
	case o.ReplicaPrint != "" && o.ReplicaPrint == o.Expect:
		if ours && last == o.Fingerprint {
			return Step{ActionSkip, o.Ref, "equal"}
		}
		return Step{ActionAdopt, o.Ref, "the replica holds it already"}
	case o.ReplicaPrint != "":
		return Step{ActionUpdate, o.Ref, "differs on the replica"}
	case o.Replica == Missing && ours:
		return Step{ActionCreate, o.Ref, "missing on the replica"}
	case o.Replica == Missing || o.Replica == Unknown && !ours:
		return Step{ActionCreate, o.Ref, "new on the primary"}
	case known && last == o.Fingerprint:
		return Step{ActionSkip, o.Ref, "equal"}
	case known:
		return Step{ActionUpdate, o.Ref, "changed on the primary"}
	}
	return Step{ActionUpdate, o.Ref, "last written with unknown result"}
}

func decideAbsent(o Observation, ours bool, prune Prune) Step {
	switch {
	case prune == PruneNone:
		return Step{ActionSkip, o.Ref, "gone from the primary; the prune rule keeps it"}
	case ours:
		return Step{ActionDelete, o.Ref, "gone from the primary"}
	case prune == PruneAll && o.Replica != Missing:
		return Step{ActionDelete, o.Ref, "not on the primary"}
	case o.Replica == Present:
		return Step{ActionSkip, o.Ref, "not on the primary, but not put there by replication"}
	}
	return Step{ActionSkip, o.Ref, "gone from the primary, never replicated"}
}

// deletes reports whether the step deletes the object, now or once it is approved.
func (s Step) deletes() bool { return s.Action == ActionDelete || s.Action == ActionHold }

func compareSteps(a, b Step) int {
	da, db := a.deletes(), b.deletes()
	switch {
	case da && db:
		return object.Compare(b.Ref, a.Ref)
	case da:
		return 1
	case db:
		return -1
	}
	return object.Compare(a.Ref, b.Ref)
}
