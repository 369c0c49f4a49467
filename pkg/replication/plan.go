package replication

import (
	"slices"
	"time"
)

// Plan says what a pass would do, in the order in which it would do it.
type Plan struct {
	Pair    PairID     `json:"pair"`
	Mode    Mode       `json:"mode"` // ModeChanges or ModeCompare
	Reason  string     `json:"reason,omitempty"`
	Steps   []Decision `json:"steps"`
	Hold    *Hold      `json:"hold,omitempty"`   // the deletions that would wait for approval
	Failed  []Unsynced `json:"failed,omitempty"` // objects that couldn't be read
	Upto    *Position  `json:"upto,omitempty"`   // where the position would go
	At      time.Time  `json:"at"`
	Pending int        `json:"pending,omitempty"` // rows of the feed behind the plan
}

// sortSteps puts the steps in the order of application, with the first one of each object.
func (p *Plan) sortSteps() {
	sortDecisions(p.Steps)
	p.Steps = slices.CompactFunc(p.Steps, func(a, b Decision) bool { return a.Ref == b.Ref })
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
