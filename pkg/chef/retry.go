package chef

import (
	"context"
	"errors"
	"time"
)

// retrying repeats an attempt as the policy allows.
func (c *Client) retrying(ctx context.Context, r *request, attempt func(context.Context) (*Answer, *Error)) (*Answer, error) {
	unsure, most := false, c.retry.Attempts
	if r.probe {
		most = min(most, 2)
	}
	for n := 1; ; n++ {
		a, e := attempt(ctx)
		if e == nil {
			return a, nil
		}
		verdict := r.verdict(e, unsure)
		if verdict == callItDone {
			return &Answer{Status: e.Status}, nil
		}
		unsure = unsure || !r.reads() && mayHaveWorked(e)
		e.Attempts, e.Unsure = n, unsure
		if verdict != tryAgain || n >= most || !c.pause(ctx, n, e) {
			return nil, e
		}
	}
}

// verdict decides what to do after a failure; unsure tells whether an earlier
// attempt may have taken effect.
func (r *request) verdict(e *Error, unsure bool) retryAs {
	if e.notSent {
		return giveUp
	}
	if r.transient != nil {
		return r.transient(e, unsure)
	}
	if e.Kind.transient() {
		return tryAgain
	}
	return giveUp
}

// mayHaveWorked tells whether the server may have done what was asked although
// the attempt failed.
func mayHaveWorked(e *Error) bool {
	return e.Kind == KindUnreachable || e.Kind == KindCanceled || e.Kind == KindUnavailable && e.Status >= 500
}

// pause waits before attempt n+1: base × 2ⁿ⁻¹, at most Max, of which the upper
// half is random; or what the server asked for, within the same limit. It
// returns false if the context ends before that.
func (c *Client) pause(ctx context.Context, n int, e *Error) bool {
	wait := c.retry.Max
	if n < 30 && c.retry.Base<<(n-1) < wait {
		wait = c.retry.Base << (n - 1)
	}
	wait = wait/2 + time.Duration(c.jitter()*float64(wait/2))
	if e.RetryAfter > wait {
		wait = min(e.RetryAfter, c.retry.Max)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	c.log.InfoContext(ctx, "chef request failed, trying again", "server", c.name, "method", e.Method, "path", e.Path,
		"kind", string(e.Kind), "status", e.Status, "attempt", n, "wait", wait)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// persist sends a request at a version, trying again, and returns any answer
// that isn't a server's fault.
func (c *Client) persist(ctx context.Context, r *request, version int) (*reply, error) {
	var got *reply
	_, err := c.retrying(ctx, r, func(ctx context.Context) (*Answer, *Error) {
		proto, _ := c.state.protocol()
		p, e := c.exchange(ctx, r, version, proto)
		if e != nil {
			return nil, e
		}
		// A fault of the Chef Server itself tells the versions all the same.
		if e := c.judge(r, p); e != nil && e.Kind.transient() && !p.genuine() {
			return nil, e
		}
		got = p
		return &Answer{}, nil
	})
	return got, err
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: KindRequest, Err: err}
}
