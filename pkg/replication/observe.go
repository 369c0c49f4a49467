package replication

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// observedObject is an observation together with what it was made from.
type observedObject struct {
	Observation
	obj     object.Object // Body and Files are dropped when the window is full
	dropped []string      // paths of files that the replica can't hold
	hidden  error         // the replica has the object but refuses to show it
	err     error         // this object could not be observed; others could
}

// readOptions is what the listings of the replica told, if they were made.
type readOptions struct {
	replica *listing
	deep    bool // read the replica's objects too
	look    bool // read each object on the replica, but those known to be missing
	bulk    *bulkReader
}

func (v readOptions) replicaPresence(r object.Ref) Presence {
	if v.replica == nil {
		return Unknown
	}
	if _, ok := v.replica.refs[r]; ok {
		return Present
	}
	if v.replica.isUnknown(r) {
		return Unknown
	}
	return Missing
}

// observeObjects reads objects from the primary, and from the replica where the
// inventory can't be believed. Bodies beyond the window's budget are dropped
// and read again when they are written.
func (p *pass) observeObjects(refs []object.Ref, v readOptions) ([]observedObject, error) {
	p.readAhead(p.guard.hard, refs, v)
	out := make([]observedObject, len(refs))
	var held, done atomic.Int64
	// Bags go first: of one that is gone no item is asked for.
	order := make([]int, 0, len(refs))
	for i, r := range refs {
		if r.Kind == object.DataBag {
			order = append(order, i)
		}
	}
	bags := len(order)
	for i, r := range refs {
		if r.Kind != object.DataBag {
			order = append(order, i)
		}
	}
	one := func(ctx context.Context, i int) error {
		s, err := p.observeOne(ctx, refs[i], v)
		if err != nil {
			return err
		}
		if held.Add(int64(len(s.obj.Body))) > int64(p.Tuning.WindowBytes) {
			held.Add(-int64(len(s.obj.Body)))
			s.obj.Body, s.obj.Files = nil, nil
		}
		out[i] = s
		p.Observe(ProgressEvent{Pair: p.Pair.ID, Phase: PhaseRead, Done: int(done.Add(1)), Total: len(refs), Ref: refs[i]})
		return nil
	}
	var err error
	for _, part := range [][]int{order[:bags], order[bags:]} {
		if err == nil {
			err = p.forEach(len(part), p.Pair.maxWorkers(), nil, func(ctx context.Context, i int) error { return one(ctx, part[i]) })
		}
	}
	p.run.Counts.Observed += int(done.Load())
	return out, err
}

// bagIsAbsent reports whether the primary said in this pass that it doesn't have
// the bag of an item.
func (p *pass) bagIsAbsent(r object.Ref) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.Kind == object.DataBagItem && p.absentBags[r.Name]
}

func (p *pass) markBagAbsent(r object.Ref) {
	if r.Kind != object.DataBag {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.absentBags == nil {
		p.absentBags = map[string]bool{}
	}
	p.absentBags[r.Name] = true
}

func (p *pass) observeOne(ctx context.Context, ref object.Ref, v readOptions) (observedObject, error) {
	s := observedObject{Observation: Observation{Ref: ref, Replica: v.replicaPresence(ref)}}
	if p.bagIsAbsent(ref) {
		s.Absent = true
		return s, nil
	}
	obj, inBulk, err := p.getSource(ctx, ref, v)
	if fault.IsAbsent(err) {
		p.markBagAbsent(ref)
		s.Absent = true
		return s, nil
	}
	if err != nil {
		s.err, err = p.classifyError(ctx, p.Source, "primary", err)
		return s, err
	}
	s.obj, s.Fingerprint = obj, obj.Fingerprint
	if s.Expect, s.dropped, err = p.Target.Expect(ctx, obj); err != nil {
		s.err, err = p.classifyError(ctx, p.Target, "replica", err)
		return s, err
	}
	if s.Replica == Missing || !p.mustLook(ref, s.Replica, v) {
		return s, nil
	}
	there, thereInBulk := v.bulk.takeTarget(ref)
	s.err, err = p.compareWithReplica(ctx, &s, there, thereInBulk)
	if differs := s.Replica == Present && s.ReplicaPrint != s.Expect; differs && (inBulk || thereInBulk) && s.err == nil && err == nil {
		v.bulk = nil // what is to be written or reported is read once more, by itself
		return p.observeOne(ctx, ref, v)
	}
	return s, err
}

// mustLook reports whether the replica's object has to be read.
func (p *pass) mustLook(ref object.Ref, there Presence, v readOptions) bool {
	last, ours := p.ledger.inventory[ref]
	return v.look || containAny(p.resync, ref) || last == unknownFingerprint || p.ledger.isHeld(ref) || there == Present && (v.deep || !ours)
}

// compareWithReplica takes up what the replica has, and reads it unless that was done
// in bulk.
func (p *pass) compareWithReplica(ctx context.Context, s *observedObject, there object.Object, inBulk bool) (objErr, err error) {
	if !inBulk {
		there, err = p.Target.Get(ctx, s.Ref)
	}
	switch {
	case fault.IsAbsent(err):
		s.Replica = Missing
	case err != nil && fault.ClassOf(err).IsRefusal():
		// The replica can't show the object; writing it may mend that.
		s.Replica, s.hidden = Present, err
	case err != nil:
		return p.classifyError(ctx, p.Target, "replica", err)
	default:
		s.Replica, s.ReplicaPrint = Present, there.Fingerprint
	}
	return nil, nil
}

// failureLimit is how many transient failures in a row make a server count as
// failing.
const failureLimit = 8

// classifyError decides whether an error concerns one object (the first result) or ends
// the pass (the second). What may be the whole server's trouble is checked by a
// harmless request: a proxy may refuse one object only, a server fail at one.
func (p *pass) classifyError(ctx context.Context, side Reader, name string, err error) (objErr, fatal error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	class := fault.ClassOf(err)
	switch class {
	case fault.Rejected, fault.Forbidden, fault.Degraded, fault.Absent:
		p.resetFailures()
		return err, nil
	case fault.Local:
		return nil, err
	}
	if _, probeErr := side.List(ctx, object.Scope{Kind: object.Environment}); probeErr != nil {
		return nil, err
	}
	if class == fault.Unserved {
		return err, nil
	}
	if p.recordFailure() >= failureLimit {
		return nil, err
	}
	switch class {
	case fault.Transient:
		return err, nil
	case fault.Unreachable:
		class = fault.Transient
	default:
		class = fault.Rejected
	}
	return &fault.Error{Op: fmt.Sprintf("the %s answers, but not for this object", name), Class: class, Hint: fault.HintOf(err), Err: err}, nil
}

func (p *pass) recordFailure() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures++
	return p.failures
}

func (p *pass) resetFailures() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = 0
}

// forEach calls do for 0 … n-1, at most workers at a time, until one returns an
// error or the guard says stop. Indexes with the same lane (nil: none have) are
// done one after the other, in order.
func (p *pass) forEach(n, workers int, lane func(int) string, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(p.guard.hard)
	group.SetLimit(workers)
	for _, indexes := range groupByLane(n, lane) {
		group.Go(func() error {
			for _, i := range indexes {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := p.guard.stopError(); err != nil {
					return err
				}
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	if p.guard.hard.Err() != nil {
		return context.Cause(p.guard.hard)
	}
	return err
}

// groupByLane groups indexes that must be done one after the other.
func groupByLane(n int, lane func(int) string) [][]int {
	var out [][]int
	at := map[string]int{}
	for i := range n {
		if lane == nil {
			out = append(out, []int{i})
			continue
		}
		key := lane(i)
		j, ok := at[key]
		if !ok {
			at[key] = len(out)
			out = append(out, []int{i})
			continue
		}
		out[j] = append(out[j], i)
	}
	return out
}
