package replication

import (
	"context"
	"log/slog"
	"time"

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
	plan := Plan{Pair: e.Pair.ID, Mode: ModeChanges, Reason: t.reason, At: e.Now(), Upto: t.next, Pending: len(t.changes), Hold: st.Progress.Hold}
	if t.held || !t.hasWork() && plan.Hold == nil {
		return plan, nil
	}
	g := e.watchReading(ctx, PassOptions{}, nil)
	defer g.stopAndWait()
	p := e.dryRun().readOnlyPass(g, st, t)
	p.writer.plan = &plan
	err = p.doWork()
	plan.Mode, plan.Reason = p.rec.run.Mode, p.due.reason
	plan.Failed = withoutHeld(p.ledger.failureRecords())
	p.addHeld(&plan)
	if hold := heldBy(err); hold != nil {
		plan.Hold, err = hold, nil
	}
	return plan, err
}

// dryRun returns the engine for a pass that changes neither the replica nor the records.
func (e *Engine) dryRun() *Engine {
	dry := *e
	dry.Target, dry.State, dry.Pair.NoUndo = dryTarget{e.Target}, dryState{e.State}, true
	dry.Observe = func(event ProgressEvent) {
		if event.Phase != PhaseWrite && event.Phase != PhaseDelete {
			e.Observe(event)
		}
	}
	return &dry
}

// dryTarget is a replica to which writes succeed without an effect.
type dryTarget struct{ Target }

func (dryTarget) Upload(context.Context, []object.Object, func(object.Object) Content) {}

func (dryTarget) Put(context.Context, object.Object, bool, Content) error { return nil }

func (dryTarget) Delete(context.Context, object.Ref) error { return nil }

// dryState is a state that records nothing.
type dryState struct{ State }

func (dryState) Commit(context.Context, PairID, int64, time.Time, Update) error { return nil }

// readOnlyPass makes a pass that holds no lease, and says nothing in the log.
func (e *Engine) readOnlyPass(g *guard, st PairState, t dueWork) *pass {
	quiet := *e
	quiet.Log = slog.New(slog.DiscardHandler)
	p := quiet.newPass(g, st, Run{})
	p.due, p.brake.reviewing = t, holdAnswered(st, e.Now())
	return p
}

// addDecisions adds what was decided about some objects, and which could not be observed.
func (p *Plan) addDecisions(window []decidedObject, l *ledger) {
	for _, d := range window {
		if d.err == nil {
			p.Steps = append(p.Steps, d.Decision)
		} else if u := l.failing[d.Ref]; !l.isHeld(d.Ref) {
			p.Failed = append(p.Failed, *u)
		}
	}
}

// addHeld says which deletions would wait for approval after the pass.
func (p *pass) addHeld(plan *Plan) {
	planned := map[object.Ref]bool{}
	for i, s := range plan.Steps {
		planned[s.Ref] = true
		if s.Action == ActionDelete && p.ledger.isHeld(s.Ref) {
			plan.Steps[i] = Decision{Action: ActionHold, Ref: s.Ref, Reason: heldReason}
		}
	}
	for r := range p.ledger.entries {
		if p.ledger.isHeld(r) && !planned[r] {
			plan.Steps = append(plan.Steps, Decision{Action: ActionHold, Ref: r, Reason: heldReason})
		}
	}
	plan.sortSteps()
	p.rec.updateHold()
	plan.Hold = p.rec.progress.Hold
}
