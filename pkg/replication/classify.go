package replication

import (
	"context"
	"fmt"
	"sync"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// failureLimit is how many transient failures in a row make a server count as
// failing.
const failureLimit = 8

// errorClassifier tells errors of one object from those of a whole server.
type errorClassifier struct {
	mu       sync.Mutex
	failures int // transient failures in a row
}

// classifyError decides whether an error concerns one object (the first result) or ends
// the pass (the second). What may be an error of the whole server is checked by a
// harmless request: a proxy may refuse one object only, a server fail at one.
func (c *errorClassifier) classifyError(ctx context.Context, side Reader, name string, err error) (objErr, fatal error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	class := fault.ClassOf(err)
	switch class {
	case fault.Rejected, fault.Forbidden, fault.Degraded, fault.Absent:
		c.resetFailures()
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
	if c.recordFailure() >= failureLimit {
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

func (c *errorClassifier) recordFailure() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures++
	return c.failures
}

func (c *errorClassifier) resetFailures() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = 0
}
