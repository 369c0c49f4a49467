package replication

import (
	"context"
	"sync/atomic"

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

// observer reads objects on both sides.
type observer struct {
	*Engine
	guard      *guard
	errs       *errorClassifier
	rec        *recorder
	ledger     *ledger
	resync     map[object.Scope]int64 // what the operator wants compared on both sides
	absentBags map[string]bool        // bags that the primary said in this pass not to have
}

// readOptions is what the listings of the replica told, if they were made.
type readOptions struct {
	replica *listing
	look    bool // read each object on the replica, but those known to be missing
	bulk    *bulkReader
	applies bool // what is read is applied next, and isn't done before
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
// ledger can't be trusted. Bodies beyond the window's budget are dropped
// and read again when they are written.
func (o *observer) observeObjects(refs []object.Ref, v readOptions) ([]observedObject, error) {
	o.readAhead(o.guard.hard, refs, v)
	out := make([]observedObject, len(refs))
	var held, done atomic.Int64
	// Bags go first: of one that is gone no item is asked for.
	order := make([]int, 0, len(refs))
	for i, r := range refs {
		if r.Kind.Child() != "" {
			order = append(order, i)
		}
	}
	bags := len(order)
	for i, r := range refs {
		if r.Kind.Child() == "" {
			order = append(order, i)
		}
	}
	one := func(ctx context.Context, i int) error {
		s, err := o.observeOne(ctx, refs[i], v)
		if err != nil {
			return err
		}
		if held.Add(int64(len(s.obj.Body))) > int64(o.Tuning.WindowBytes) {
			held.Add(-int64(len(s.obj.Body)))
			s.obj.Body, s.obj.Files = nil, nil
		}
		out[i] = s
		read := int(done.Add(1))
		if v.applies {
			read = 0
		}
		o.rec.reportProgress(PhaseRead, read, refs[i])
		return nil
	}
	var err error
	for _, part := range [][]int{order[:bags], order[bags:]} {
		if err == nil {
			err = o.guard.forEach(len(part), o.Pair.maxWorkers(), nil, func(ctx context.Context, i int) error { return one(ctx, part[i]) })
		}
	}
	o.rec.run.Counts.Observed += int(done.Load())
	return out, err
}

// bagIsAbsent reports whether the primary said in this pass that it doesn't have
// the bag of an item.
func (o *observer) bagIsAbsent(r object.Ref) bool {
	o.rec.mu.Lock()
	defer o.rec.mu.Unlock()
	return r.Kind.Parent() != "" && o.absentBags[r.Name]
}

func (o *observer) markBagAbsent(r object.Ref) {
	if r.Kind.Child() == "" {
		return
	}
	o.rec.mu.Lock()
	defer o.rec.mu.Unlock()
	if o.absentBags == nil {
		o.absentBags = map[string]bool{}
	}
	o.absentBags[r.Name] = true
}

func (o *observer) observeOne(ctx context.Context, ref object.Ref, v readOptions) (observedObject, error) {
	s := observedObject{Observation: Observation{Ref: ref, Replica: v.replicaPresence(ref)}}
	if s.Absent = o.bagIsAbsent(ref); s.Absent {
		return o.observeAbsent(ctx, s, v)
	}
	obj, inBulk, err := o.getSource(ctx, ref, v)
	if s.Absent = fault.IsAbsent(err); s.Absent {
		o.markBagAbsent(ref)
		return o.observeAbsent(ctx, s, v)
	}
	if err != nil {
		s.err, err = o.errs.classifyError(ctx, o.Source, "primary", err)
		return s, err
	}
	s.obj, s.Fingerprint = obj, obj.Fingerprint
	if s.Expect, s.dropped, err = o.Target.Expect(ctx, obj); err != nil {
		s.err, err = o.errs.classifyError(ctx, o.Target, "replica", err)
		return s, err
	}
	if s.Replica == Missing || !o.mustLook(ref, s.Replica, v) {
		return s, nil
	}
	there, thereInBulk := v.bulk.takeTarget(ref)
	s.err, err = o.compareWithReplica(ctx, &s, there, thereInBulk)
	if differs := s.Replica == Present && s.ReplicaPrint != s.Expect; differs && (inBulk || thereInBulk) && s.err == nil && err == nil {
		v.bulk = nil // what is to be written or reported is read once more, by itself
		return o.observeOne(ctx, ref, v)
	}
	return s, err
}

// observeAbsent looks on the replica for an object that the primary doesn't have, if each
// object is read there.
func (o *observer) observeAbsent(ctx context.Context, s observedObject, v readOptions) (observedObject, error) {
	if !v.look || s.Replica == Missing {
		return s, nil
	}
	var err error
	s.err, err = o.compareWithReplica(ctx, &s, object.Object{}, false)
	return s, err
}

// mustLook reports whether the replica's object has to be read.
func (o *observer) mustLook(ref object.Ref, there Presence, v readOptions) bool {
	e := o.ledger.entries[ref]
	return v.look || containAny(o.resync, ref) || e.Dirty || o.ledger.isHeld(ref) || there == Present
}

// compareWithReplica takes up what the replica has, and reads it unless that was done
// in bulk.
func (o *observer) compareWithReplica(ctx context.Context, s *observedObject, there object.Object, inBulk bool) (objErr, err error) {
	if !inBulk {
		there, err = o.Target.Get(ctx, s.Ref)
	}
	switch {
	case fault.IsAbsent(err):
		s.Replica = Missing
	case err != nil && fault.ClassOf(err).IsRefusal():
		// The replica can't show the object; writing it may help.
		s.Replica, s.hidden = Present, err
	case err != nil:
		return o.errs.classifyError(ctx, o.Target, "replica", err)
	default:
		s.Replica, s.ReplicaPrint = Present, there.Fingerprint
	}
	return nil, nil
}
