package replication

import (
	"context"
	"log/slog"
	"maps"
	"slices"
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
	g := e.watch(ctx, noLease, e.Now(), PassOptions{})
	defer g.end()
	p := e.reading(g, st, t)
	plan := Plan{Pair: e.Pair.ID, Mode: "changes", Reason: t.reason, At: e.Now(), Upto: t.next, Pending: len(t.changes)}
	if !t.any() {
		return plan, nil
	}
	if err := p.load(ctx); err != nil {
		return plan, err
	}
	if t.full {
		plan.Mode = "compare"
		return plan, p.previewCompare(&plan)
	}
	return plan, p.previewChanges(&plan)
}

// reading makes a pass that holds no lease and can't write.
func (e *Engine) reading(g *guard, st PairState, t todo) *pass {
	quiet := *e
	quiet.Log = slog.New(slog.DiscardHandler)
	return &pass{Engine: &quiet, guard: g, desired: st.Desired, progress: st.Progress, before: st.Progress, todo: t}
}

func (p *pass) previewChanges(plan *Plan) error {
	refs, err := p.dirty()
	if err != nil {
		return err
	}
	observed, err := p.observe(refs, view{})
	if err != nil {
		return err
	}
	p.plan(plan, observed)
	plan.Hold = p.holdFor(p.brake(observed, nil, false))
	return nil
}

func (p *pass) previewCompare(plan *Plan) error {
	source, target, err := p.listBoth()
	if err != nil {
		return err
	}
	deletes := p.deletions(source, target)
	plan.Hold = p.holdFor(p.checkBrake(deletes, source.counts, source.trouble()))
	refs := append(slices.SortedFunc(maps.Keys(source.refs), CompareRefs), deletes...)
	v := view{replica: &target, deep: p.todo.deep}
	done := 0
	for window := range slices.Chunk(refs, p.Tuning.Window) {
		observed, err := p.observe(window, v)
		if err != nil {
			return err
		}
		p.plan(plan, observed)
		done += len(window)
		p.Observe(Event{Pair: p.Pair.ID, Phase: "comparing", Done: done, Total: len(refs)})
	}
	slices.SortStableFunc(plan.Steps, compareSteps)
	return nil
}

// plan adds the steps for a window of observations.
func (p *pass) plan(plan *Plan, window []seen) {
	var observed []Observation
	for _, s := range window {
		if s.err != nil {
			p.setAside(s.Ref, s.err)
			continue
		}
		observed = append(observed, s.Observation)
	}
	plan.Steps = append(plan.Steps, MakePlan(observed, p.inventory, p.Pair.prune())...)
	plan.Failed = slices.SortedFunc(maps.Values(p.unsynced), func(a, b Unsynced) int { return CompareRefs(a.Ref, b.Ref) })
}

func (p *pass) holdFor(err error) *Hold {
	if h, ok := err.(*holdError); ok {
		return h.hold
	}
	return nil
}
