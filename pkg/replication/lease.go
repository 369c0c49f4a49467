package replication

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// errDrained ends a pass after the objects in progress: the process is to stop.
var errDrained = errors.New("asked to stop")

// errOperatorStop ends a pass because the operator stopped the pair.
var errOperatorStop = errors.New("the pair was stopped")

// errDeadline ends a pass before the deadline of its process.
var errDeadline = errors.New("this run has reached its deadline")

// guard keeps the lease alive and tells a pass when to stop. Work that has not
// begun checks Stopped; external writes use the context, which ends before the
// lease or the deadline does.
type guard struct {
	stop   context.Context // ended: begin nothing new
	cancel context.CancelCauseFunc
	hard   context.Context // ended: break off what is under way
	kill   context.CancelCauseFunc
	done   chan struct{}
	now    func() time.Time
	margin time.Duration             // before the deadline
	ends   atomic.Pointer[time.Time] // of the lease; nil without one

	mayBeStopped bool // the work goes on though the operator has stopped the pair
}

// watchLease starts the guard of a lease that was taken at the given time.
func (e *Engine) watchLease(ctx context.Context, fence int64, taken time.Time, o PassOptions) *guard {
	g := e.newGuard(ctx, o)
	g.setLeaseEnd(taken.Add(e.Tuning.LeaseTTL))
	g.start(o, min(e.Tuning.LeaseTTL/4, 5*time.Second), func() { g.renewLease(e, fence) })
	return g
}

// watchReading starts the guard of work that only reads and holds no lease, but perhaps
// a claim.
func (e *Engine) watchReading(ctx context.Context, o PassOptions, claim *verifyClaim) *guard {
	g := e.newGuard(ctx, o)
	if claim == nil {
		g.start(o, 0, nil)
	} else {
		g.start(o, claimRenewal, func() { claim.renew(g) })
	}
	return g
}

func (e *Engine) newGuard(ctx context.Context, o PassOptions) *guard {
	g := &guard{done: make(chan struct{}), now: e.Now, margin: e.Tuning.Margin, mayBeStopped: o.stopped}
	g.hard, g.kill = context.WithCancelCause(ctx)
	g.stop, g.cancel = context.WithCancelCause(g.hard)
	return g
}

// start begins to watch, and to call renew every so often unless it is nil.
func (g *guard) start(o PassOptions, every time.Duration, renew func()) {
	soft, hard := newDeadlines(o.Deadline, g.now(), g.margin)
	go g.watch(o.Drain, soft, hard, every, renew)
}

func (g *guard) watch(drain <-chan struct{}, soft, hard *time.Timer, every time.Duration, renew func()) {
	defer close(g.done)
	defer soft.Stop()
	defer hard.Stop()
	var tick <-chan time.Time
	if renew != nil {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-g.hard.Done():
			return
		case <-drain:
			g.cancel(errDrained)
			drain = nil
		case <-soft.C:
			g.cancel(errDeadline)
		case <-hard.C:
			g.kill(errDeadline)
		case <-tick:
			renew()
		}
	}
}

// renewLease extends the lease, and gives up a margin before it ends.
func (g *guard) renewLease(e *Engine, fence int64) {
	ttl := e.Tuning.LeaseTTL
	now := e.Now()
	ctx, cancel := context.WithTimeout(g.hard, ttl/8)
	defer cancel()
	st, err := e.State.Renew(ctx, e.Pair.ID, fence, now, ttl)
	switch {
	case errors.Is(err, ErrFenced):
		g.kill(ErrFenced)
	case err == nil:
		g.setLeaseEnd(now.Add(ttl))
		if st.Desired.Stopped && !g.mayBeStopped {
			g.cancel(errOperatorStop)
		}
	case g.ends.Load().Sub(e.Now()) < ttl/3:
		g.kill(ErrFenced)
	}
}

// setLeaseEnd says until when the lease lasts. Round drops the reading of the monotonic
// clock, which stops while a machine is suspended: others go by the wall clock.
func (g *guard) setLeaseEnd(ends time.Time) {
	ends = ends.Round(0)
	g.ends.Store(&ends)
}

// newDeadlines are timers for the soft and the hard end; without a deadline they
// never fire.
func newDeadlines(deadline, now time.Time, margin time.Duration) (soft, hard *time.Timer) {
	if deadline.IsZero() {
		soft, hard = time.NewTimer(time.Hour), time.NewTimer(time.Hour)
		soft.Stop()
		hard.Stop()
		return soft, hard
	}
	left := deadline.Sub(now)
	return time.NewTimer(left - margin), time.NewTimer(left - margin/4)
}

// stopError says why no new work may begin, or nil. A process that was suspended
// until its lease had ended begins nothing more.
func (g *guard) stopError() error {
	if ends := g.ends.Load(); ends != nil && !g.now().Before(*ends) {
		g.kill(ErrFenced)
	}
	if g.stop.Err() != nil {
		return context.Cause(g.stop)
	}
	return nil
}

// outcomeOf returns how work under the lease ended: OutcomeDone without an error, and
// else what interrupted it. The error is nil for what is no failure, such as a stop that
// was asked for.
func (g *guard) outcomeOf(ctx context.Context, err error) (Outcome, error) {
	switch {
	case errors.Is(err, ErrFenced) || errors.Is(context.Cause(g.hard), ErrFenced):
		return OutcomeBusy, ErrFenced
	case err == nil:
		return OutcomeDone, nil
	case heldBy(err) != nil:
		return OutcomeHeld, nil
	case errors.Is(err, errOperatorStop):
		return OutcomeStopped, nil
	case ctx.Err() != nil:
		return OutcomePartial, err
	case errors.Is(err, errUnfinished), errors.Is(err, errDrained), errors.Is(err, errDeadline):
		return OutcomePartial, nil
	}
	return OutcomeFailed, err
}

// stopAndWait stops the guard and waits for it.
func (g *guard) stopAndWait() {
	g.kill(context.Canceled)
	<-g.done
}

// releaseLease frees the lease, also when the context has ended.
func (e *Engine) releaseLease(ctx context.Context, fence int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := e.State.Release(ctx, e.Pair.ID, fence); err != nil {
		e.Log.Warn("the lease could not be released; it expires", "pair", e.Pair.ID.String(), "error", err.Error())
	}
}
