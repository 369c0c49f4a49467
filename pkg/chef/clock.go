package chef

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// clockTolerance is how much of AuthSkew [Org.ClockSkew] leaves.
const clockTolerance = 60 * time.Second

// ClockSkew returns how far the clock of the server's application is ahead of this
// machine's: 0 for less than a minute, else to within half a minute. It asks which
// time stamps the server accepts, since the Date header is that of the proxy in
// front, nginx on a Chef Infra Server. Known is false where the server accepts
// other time stamps than a Chef Server does; a clock so far off that no request of
// ours is accepted is an error of [KindClockSkew].
func (o *Org) ClockSkew(ctx context.Context) (ahead time.Duration, known bool, err error) {
	const edge = AuthSkew - clockTolerance
	early, err := o.acceptsTime(ctx, -edge)
	if err != nil {
		return 0, false, err
	}
	late, err := o.acceptsTime(ctx, edge)
	if err != nil || early && late {
		return 0, err == nil, err
	}
	if !early && !late {
		_, err := o.statusAtOffset(ctx, 0)
		if KindOf(err) != KindClockSkew {
			err = nil // its window is narrower than a Chef Server's
		}
		return 0, false, err
	}
	// One end is accepted and the other isn't: the border between them is AuthSkew
	// off the server's time.
	in, out := edge, -edge
	if early {
		in, out = -edge, edge
	}
	for (in - out).Abs() > clockTolerance/2 {
		middle := (in + out) / 2
		ok, err := o.acceptsTime(ctx, middle)
		if err != nil {
			return 0, false, err
		}
		if ok {
			in = middle
		} else {
			out = middle
		}
	}
	border := (in + out) / 2
	if early {
		return (border - AuthSkew).Round(time.Second), true, nil
	}
	return (border + AuthSkew).Round(time.Second), true, nil
}

// acceptsTime reports whether the server accepts requests with a time stamp that is
// off by that much. Whatever else it refuses them for comes after that.
func (o *Org) acceptsTime(ctx context.Context, off time.Duration) (bool, error) {
	status, err := o.statusAtOffset(ctx, off)
	switch {
	case KindOf(err) == KindClockSkew:
		return false, nil
	case err == nil, status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout:
		return true, nil
	}
	return false, err
}

// statusAtOffset sends a small request whose time stamp is off by that much, and
// returns the status of the answer.
func (o *Org) statusAtOffset(ctx context.Context, off time.Duration) (status int, err error) {
	c := *o.c
	c.cfg.Now = func() time.Time { return o.c.cfg.Now().Add(off) }
	shifted := *o
	shifted.c = &c
	_, err = shifted.Do(ctx, http.MethodGet, "/environments/_default", nil)
	var e *Error
	if errors.As(err, &e) {
		status = e.Status
	}
	return status, err
}
