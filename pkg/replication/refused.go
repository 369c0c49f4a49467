package replication

import (
	"errors"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// refusedCreates are the creates that the replica refuses for a whole kind. They are one
// error of the pair, so the objects don't become unsynced: none is asked for again in
// this pass, and the pass fails at its end.
type refusedCreates struct {
	kinds map[object.Kind]error
	count int // creates that wait for the permission
}

// recordRefusal records that an object could not be created, if err is of its whole kind.
func (w *writer) recordRefusal(ref object.Ref, err error) bool {
	var e *fault.Error
	if !errors.Is(err, ErrMayNotCreate) || !errors.As(err, &e) {
		return false
	}
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	if w.refusedCreates.kinds == nil {
		w.refusedCreates.kinds = map[object.Kind]error{}
	}
	if w.refusedCreates.kinds[e.Object.Kind] == nil {
		w.refusedCreates.kinds[e.Object.Kind] = err
	}
	w.refusedCreates.count++
	w.rec.endWrite(ref)
	return true
}

// refusedBefore reports whether an object's create is known to be refused, and
// counts it then.
func (w *writer) refusedBefore(step Decision) bool {
	if step.Action != ActionCreate {
		return false
	}
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	known := w.refusedCreates.kinds[step.Ref.Kind] != nil
	if bag := step.Ref.Parent(); w.refusedCreates.kinds[bag.Kind] != nil {
		known = known || !w.ledger.isReplicated(bag)
	}
	if known {
		w.refusedCreates.count++
	}
	return known
}

// refusalError is the error of the first kind, in the order of application, whose
// creates are refused; nil if none are.
func (w *writer) refusalError() error {
	for _, k := range object.Kinds() {
		if err := w.refusedCreates.kinds[k]; err != nil {
			return err
		}
	}
	return nil
}
