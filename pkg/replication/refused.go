package replication

import (
	"errors"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// refused are the creates that the replica refuses for a whole kind. They are one
// trouble of the pair, so the objects aren't set aside: none is asked for again in
// this pass, and the pass fails at its end.
type refused struct {
	kinds map[object.Kind]error
	count int // creates that wait for the permission
}

// refuse records that an object could not be created, if err is of its whole kind.
func (p *pass) refuse(ref object.Ref, err error) bool {
	var e *fault.Error
	if !errors.Is(err, ErrMayNotCreate) || !errors.As(err, &e) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused.kinds == nil {
		p.refused.kinds = map[object.Kind]error{}
	}
	if p.refused.kinds[e.Object.Kind] == nil {
		p.refused.kinds[e.Object.Kind] = err
	}
	p.refused.count++
	p.endWrite(ref)
	return true
}

// refusedBefore reports whether an object's create is known to be refused, and
// counts it then.
func (p *pass) refusedBefore(step Decision) bool {
	if step.Action != ActionCreate {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.refused.kinds[step.Ref.Kind] != nil
	if step.Ref.Kind == object.DataBagItem && p.refused.kinds[object.DataBag] != nil {
		known = known || p.ledger.inventory[object.Ref{Kind: object.DataBag, Name: step.Ref.Name}] == ""
	}
	if known {
		p.refused.count++
	}
	return known
}

// refusal is the error of the first kind, in the order of application, whose
// creates are refused; nil if none are.
func (p *pass) refusal() error {
	for _, k := range object.Kinds() {
		if err := p.refused.kinds[k]; err != nil {
			return err
		}
	}
	return nil
}
