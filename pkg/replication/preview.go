package replication

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"
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
	p := e.reading(ctx, st, t)
	defer p.guard.end()
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
func (e *Engine) reading(ctx context.Context, st PairState, t todo) *pass {
	quiet := *e
	quiet.Log = slog.New(slog.DiscardHandler)
	g := &guard{done: make(chan struct{})}
	g.hard, g.kill = context.WithCancelCause(ctx)
	g.stop, g.cancel = g.hard, g.kill
	close(g.done)
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

// Report is the result of a verification: both sides read and compared.
type Report struct {
	Pair        PairID       `json:"pair"`
	At          time.Time    `json:"at"`
	Kinds       []KindReport `json:"kinds"`
	Differences []Difference `json:"differences,omitempty"`
	// Extras are on the replica only and were not put there by replication. They
	// are differences when the prune rule is "all".
	Extras     []Ref      `json:"extras,omitempty"`
	Unreadable []Unsynced `json:"unreadable,omitempty"`
}

// KindReport counts the objects of one kind.
type KindReport struct {
	Kind    Kind `json:"kind"`
	Primary int  `json:"primary"`
	Replica int  `json:"replica"`
	Equal   int  `json:"equal"`
}

// Difference is one object that isn't equal on both sides. The letter is A for
// one that the replica lacks, D for one that it has too much, M for other content.
type Difference struct {
	Ref    Ref    `json:"object"`
	Letter string `json:"letter"`
	Note   string `json:"note,omitempty"`
}

// Equal tells whether all was read and nothing differs.
func (r Report) Equal() bool { return len(r.Differences) == 0 && len(r.Unreadable) == 0 }

// Verify reads every object of the pair on both sides and compares them. It
// writes nothing but, when all is equal, the time of the verification.
func (e *Engine) Verify(ctx context.Context) (Report, error) {
	e.setDefaults()
	st, err := e.State.Pair(ctx, e.Pair.ID)
	if err != nil {
		return Report{}, err
	}
	p := e.reading(ctx, st, todo{})
	defer p.guard.end()
	r := Report{Pair: e.Pair.ID}
	if err := p.load(ctx); err != nil {
		return r, err
	}
	p.unsynced = map[Ref]Unsynced{}
	source, target, err := p.listBoth()
	if err != nil {
		return r, err
	}
	if err := p.verifyObjects(&r, source, target); err != nil {
		return r, err
	}
	p.verifyExtras(&r, source, target)
	r.Unreadable = slices.SortedFunc(maps.Values(p.unsynced), func(a, b Unsynced) int { return CompareRefs(a.Ref, b.Ref) })
	slices.SortFunc(r.Differences, func(a, b Difference) int { return CompareRefs(a.Ref, b.Ref) })
	r.At = e.Now()
	return r, e.noteVerified(ctx, st, r)
}

// verifyObjects compares what the primary lists.
func (p *pass) verifyObjects(r *Report, source, target listing) error {
	equal := map[Kind]int{}
	refs := slices.SortedFunc(maps.Keys(source.refs), CompareRefs)
	v := view{replica: &target, deep: true}
	done := 0
	for window := range slices.Chunk(refs, p.Tuning.Window) {
		observed, err := p.observe(window, v)
		if err != nil {
			return err
		}
		for _, s := range observed {
			switch d := verdict(s); {
			case s.err != nil:
				p.setAside(s.Ref, s.err)
			case s.Absent:
				source.counts[s.Ref.Kind]--
			case d != nil:
				r.Differences = append(r.Differences, *d)
			default:
				equal[s.Ref.Kind]++
			}
		}
		done += len(window)
		p.Observe(Event{Pair: p.Pair.ID, Phase: "comparing", Done: done, Total: len(refs)})
	}
	for _, k := range Kinds() {
		if p.Pair.Includes(k) {
			r.Kinds = append(r.Kinds, KindReport{Kind: k, Primary: source.counts[k], Replica: target.counts[k], Equal: equal[k]})
		}
	}
	return nil
}

func verdict(s seen) *Difference {
	switch {
	case s.err != nil || s.Absent:
		return nil
	case s.Replica == Missing:
		return &Difference{s.Ref, "A", "missing on the replica"}
	case s.ReplicaPrint == "":
		return &Difference{s.Ref, "M", "the replica could not show it"}
	case s.ReplicaPrint != s.Expect:
		return &Difference{s.Ref, "M", "differs on the replica"}
	}
	return nil
}

// verifyExtras names what only the replica lists.
func (p *pass) verifyExtras(r *Report, source, target listing) {
	for _, ref := range slices.SortedFunc(maps.Keys(target.refs), CompareRefs) {
		if _, there := source.refs[ref]; there || source.unknown(ref) {
			continue
		}
		_, ours := p.inventory[ref]
		if ours || p.Pair.prune() == PruneAll {
			r.Differences = append(r.Differences, Difference{ref, "D", "gone from the primary"})
			continue
		}
		r.Extras = append(r.Extras, ref)
	}
}

func (e *Engine) noteVerified(ctx context.Context, st PairState, r Report) error {
	if !r.Equal() {
		return nil
	}
	now := e.Now()
	fresh, err := e.State.Pair(ctx, e.Pair.ID)
	if err != nil || fresh.Lease.Fence != st.Lease.Fence {
		return err
	}
	fresh.Progress.LastVerified = now
	// A pass that began meanwhile has more to say.
	if err := e.State.Note(ctx, e.Pair.ID, fresh.Lease.Fence, now, fresh.Progress); err != nil && ClassOf(err) == Local {
		return err
	}
	return nil
}
