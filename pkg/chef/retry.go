package chef

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// withRetries repeats an attempt as the retry policy allows.
func (c *Client) withRetries(ctx context.Context, r *request, attempt func() *Error) error {
	unsure, most := false, c.cfg.Retry.Attempts
	if r.attempts > 0 {
		most = min(most, r.attempts)
	}
	for n := 1; ; n++ {
		e := attempt()
		if e == nil {
			return nil
		}
		unsure = unsure || !r.isRead() && mayHaveTakenEffect(e)
		e.Attempts, e.Unsure = n, unsure
		if !r.canRetry(e) || n >= most || !c.waitBeforeRetry(ctx, n, e) {
			return e
		}
	}
}

// canRetry reports whether a request that failed may succeed when it is sent again.
func (r *request) canRetry(e *Error) bool {
	invalid := e.Status == http.StatusBadRequest && e.Kind != KindForeign
	return !e.notSent && (e.Kind.isTransient() || r.retryInvalid && invalid)
}

// mayHaveTakenEffect reports whether the server may have executed a request that
// failed.
func mayHaveTakenEffect(e *Error) bool {
	return e.Kind == KindUnreachable || e.Kind == KindCanceled || e.Kind == KindUnavailable && e.Status >= 500
}

// waitBeforeRetry waits before attempt n+1: base × 2ⁿ⁻¹, at most Max, of which the upper
// half is random; or what the server asked for, within the same limit. It
// returns false if the context ends before that.
func (c *Client) waitBeforeRetry(ctx context.Context, n int, e *Error) bool {
	wait := c.cfg.Retry.Max
	if n < 30 && c.cfg.Retry.Base<<(n-1) < wait {
		wait = c.cfg.Retry.Base << (n - 1)
	}
	wait = wait/2 + time.Duration(c.jitter()*float64(wait/2))
	if e.RetryAfter > wait {
		wait = min(e.RetryAfter, c.cfg.Retry.Max)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	c.cfg.Log.InfoContext(ctx, "chef request failed, trying again", "server", c.cfg.Name, "method", e.Method, "path", e.Path,
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

// sendAtVersion sends a request at an API version, with retries, and returns any
// answer that isn't a fault of the server.
func (c *Client) sendAtVersion(ctx context.Context, r *request, version int) (*reply, error) {
	var got *reply
	err := c.withRetries(ctx, r, func() *Error {
		proto, _ := c.state.currentProtocol()
		p, e := c.roundTrip(ctx, r, version, proto)
		if e != nil {
			return e
		}
		// A fault of the Chef Server itself names the versions, too.
		if e := c.classifyReply(r, p); e != nil && e.Kind.isTransient() && !p.fromChefServer() {
			return e
		}
		got = p
		return nil
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
