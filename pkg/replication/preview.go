package replication

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// Preview says what the next pass would do, and does nothing. With full, it
// looks at everything, as a resync would.
func (e *Engine) Preview(ctx context.Context, full bool) (Plan, error) {
	e.setDefaults()
	st, err := e.State.Pair(ctx, e.Pair.ID)
	if err != nil {
		return Plan{}, err
	}
	t, err := e.lookForWork(ctx, st, PassOptions{Full: full})
	if err != nil {
		return Plan{}, err
	}
	g := e.watchLease(ctx, noLease, e.Now(), PassOptions{})
	defer g.stopAndWait()
	p := e.readOnlyPass(g, st, t)
	plan := Plan{Pair: e.Pair.ID, Mode: ModeChanges, Reason: t.reason, At: e.Now(), Upto: t.next, Pending: len(t.changes), Hold: st.Progress.Hold}
	if t.held || !t.hasWork() && plan.Hold == nil {
		return plan, nil
	}
	if err := p.loadLedger(ctx); err != nil {
		return plan, err
	}
	p.resumeAfterHold()
	switch {
	case t.full:
		plan.Mode = ModeCompare
		err = (&comparison{pass: p}).previewCompare(&plan)
	case t.hasWork():
		err = p.previewChanges(&plan)
	}
	p.previewHold(&plan, heldBy(err))
	if heldBy(err) != nil {
		err = nil
	}
	return plan, err
}

// previewHold says which deletions would wait for approval after the pass.
func (p *pass) previewHold(plan *Plan, other *Hold) {
	planned := map[object.Ref]bool{}
	for i, s := range plan.Steps {
		planned[s.Ref] = true
		if s.Action == ActionDelete && p.ledger.isHeld(s.Ref) && !p.brake.approved {
			plan.Steps[i] = Decision{Action: ActionHold, Ref: s.Ref, Reason: heldReason}
		}
	}
	for r, u := range p.ledger.failing {
		if u.Class == fault.DeletionHeld && !planned[r] {
			plan.Steps = append(plan.Steps, Decision{Action: ActionHold, Ref: r, Reason: heldReason})
		}
	}
	sortDecisions(plan.Steps)
	p.rec.updateHold()
	if plan.Hold = p.rec.progress.Hold; other != nil {
		plan.Hold = other
	}
	if p.brake.approved {
		plan.Hold = nil
	}
}

// readOnlyPass makes a pass that holds no lease and can't write.
func (e *Engine) readOnlyPass(g *guard, st PairState, t dueWork) *pass {
	quiet := *e
	quiet.Log = slog.New(slog.DiscardHandler)
	p := quiet.newPass(g, st, Run{})
	p.due, p.brake.reviewing = t, holdAnswered(st, e.Now())
	return p
}

func (p *pass) previewChanges(plan *Plan) error {
	refs, err := p.dirtyObjects()
	if err != nil {
		return err
	}
	p.rec.startProgress(0, len(refs))
	observed, err := p.observer.observeObjects(refs, readOptions{bulk: newBulkReader(refs, false, 0)})
	if err != nil {
		return err
	}
	list := p.decideAll(observed)
	_, err = p.brakeChanges(list)
	p.addToPlan(plan, list)
	return err
}

func (c *comparison) previewCompare(plan *Plan) error {
	if err := c.listSides(); err != nil {
		return err
	}
	deletes := c.listDeletions()
	if _, err := c.brakeCompare(deletes); err != nil {
		return err
	}
	refs := append(slices.SortedFunc(maps.Keys(c.source.refs), object.Compare), deletes...)
	v := readOptions{replica: &c.target, deep: c.due.deep, bulk: newBulkReader(refs, true, 0)}
	c.rec.startProgress(0, len(refs))
	for window := range slices.Chunk(refs, c.Tuning.Window) {
		observed, err := c.observer.observeObjects(window, v)
		if err != nil {
			return err
		}
		list := c.decideAll(observed)
		if c.due.regular {
			list = slices.DeleteFunc(list, func(d decidedObject) bool { return d.toDrift() != nil && c.leavesDrift(d.observedObject) })
		}
		c.addToPlan(plan, list)
		c.rec.addProgress(len(window))
	}
	sortDecisions(plan.Steps)
	return nil
}

// addToPlan adds what was decided about a window of objects.
func (p *pass) addToPlan(plan *Plan, window []decidedObject) {
	for _, d := range window {
		if d.err != nil {
			p.rec.markUnsynced(d.Ref, d.err)
			continue
		}
		if !d.Absent {
			p.ledger.releaseReturned(d.Ref)
		}
		plan.Steps = append(plan.Steps, d.Decision)
	}
	plan.Failed = withoutHeld(p.ledger.failureRecords())
}
