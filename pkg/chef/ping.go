package chef

import (
	"context"
	"net/http"
	"time"
)

// admit returns why a request must not be sent: the server doesn't answer.
func (c *Client) admit(ctx context.Context, r *request) *Error {
	if r.file && r.url.Host != c.base.Host {
		return nil
	}
	down := c.breaker.admit(ctx, c.ping)
	switch {
	case ctx.Err() != nil:
		return c.transportError(r, ctx.Err(), ctx.Err())
	case down == nil:
		return nil
	}
	e := c.newError(r, KindUnreachable, down.text())
	e.notSent = true
	if down.last.Status != 0 {
		e.Hint = KindUnavailable.hint()
	}
	return e
}

// report tells the breaker how a request that was sent ended; failed is nil when
// the server answered. A request that its caller broke off says nothing, nor does
// one that the server's certificate kept from being sent.
func (c *Client) report(began time.Time, failed *Error) {
	if failed == nil || failed.Kind == KindUnreachable || failed.Kind == KindUnavailable {
		c.breaker.report(began, failed)
	}
}

// ping asks whether the server answers at all, with what costs it the least.
func (c *Client) ping(ctx context.Context) *Error {
	r := &request{op: negotiate, method: http.MethodGet, path: "/server_api_version", url: c.base, probe: true}
	version, _ := c.state.current()
	proto, _ := c.state.protocol()
	p, e := c.send(ctx, r, version, proto)
	switch {
	case e == nil && p.away():
		return c.fail(r, p, KindUnavailable, "")
	case e != nil && e.Status == 0 && e.Kind != KindTLS:
		return e
	}
	return nil
}

// Check asks whether the server answers requests that are signed as ours, with one
// small object that each organization has. Whether it may be read doesn't matter.
func (o *Org) Check(ctx context.Context) error {
	_, err := o.do(ctx, &request{op: "check", method: http.MethodGet, path: "/environments/_default", probe: true})
	switch KindOf(err) {
	case KindAbsent, KindOrgMissing, KindNotMember, KindPermission:
		return nil // the Chef Server has looked who asks
	}
	return err
}
