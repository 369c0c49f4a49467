package chef

import (
	"context"
	"net/http"
	"time"
)

// checkBreaker returns an error if a request must not be sent because the server
// doesn't answer.
func (c *Client) checkBreaker(ctx context.Context, r *request) *Error {
	if !c.isOwnHost(r) {
		return nil
	}
	down := c.cfg.Breaker.allowRequest(ctx, c.ping)
	switch {
	case ctx.Err() != nil:
		return c.transportError(r, ctx.Err(), ctx.Err())
	case down == nil:
		return nil
	}
	e := c.newError(r, KindUnreachable, down.errorMessage())
	e.notSent = true
	if down.lastFailure.Status != 0 {
		e.Hint = KindUnavailable.hint()
	}
	return e
}

// reportResult reports to the breaker how a request that was sent ended. One that its
// caller canceled doesn't count, nor does one that failed on the server's certificate. Any
// answer of a file store shows that the server is up: the front end passes on that the
// store alone is down.
func (c *Client) reportResult(r *request, began time.Time, p *reply, e *Error) {
	switch {
	case e == nil && p.backendDown() && !r.file:
		c.cfg.Breaker.recordResult(began, c.replyError(r, p, KindUnavailable, ""))
	case e == nil || e.Status != 0:
		c.cfg.Breaker.recordResult(began, nil)
		if e == nil && p.fromChefServer() && p.status < 500 && p.status != http.StatusUnauthorized && r.op != negotiate {
			c.cfg.Breaker.recordAccepted(began)
		}
	case e.Kind == KindUnreachable:
		c.cfg.Breaker.recordResult(began, e)
	}
}

// ping checks whether the server answers at all, with the cheapest request.
func (c *Client) ping(ctx context.Context) *Error {
	r := &request{op: negotiate, method: http.MethodGet, path: "/server_api_version", url: c.base, probe: true}
	version, _ := c.state.currentVersion()
	proto, _ := c.state.currentProtocol()
	p, e := c.send(ctx, r, version, proto)
	switch {
	case e == nil && p.backendDown():
		return c.replyError(r, p, KindUnavailable, "")
	case e != nil && e.Status == 0 && e.Kind != KindTLS:
		return e
	}
	return nil
}

// Check checks whether the server answers requests that are signed as ours, with one
// small object that each organization has. Whether it may be read doesn't matter.
func (o *Org) Check(ctx context.Context) error {
	_, err := o.do(ctx, &request{method: http.MethodGet, path: "/environments/_default", probe: true, attempts: 2})
	switch KindOf(err) {
	case KindAbsent, KindOrgMissing, KindNotMember, KindPermission:
		return nil // the Chef Server has authenticated the request
	}
	return err
}
