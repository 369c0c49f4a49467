package replication

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Abandoned reports whether a lease that hasn't ended belongs to nobody any more: its
// holder is known to be dead, or it ends later than any that is taken or renewed for
// ttl now, by a clock that was ahead. The clock of a holder on another machine
// may differ as much as Chef Servers allow. Died reports whether the process that an
// owner names is known to be dead; nil knows nothing.
//
// Whoever finds a lease abandoned releases it with the token that it saw. That does
// nothing if another process was faster, and the old holder's writes are refused.
func (l Lease) Abandoned(now time.Time, ttl time.Duration, died func(owner string) bool) bool {
	return l.HeldAt(now) && (l.Expires.Sub(now) > ttl+clockSkew || died != nil && died(l.Owner))
}

// releaseAbandoned releases a lease that is abandoned. It reports whether it did.
func (e *Engine) releaseAbandoned(ctx context.Context, l Lease, now time.Time) (bool, error) {
	if !l.Abandoned(now, e.Tuning.LeaseTTL, e.OwnerDied) {
		return false, nil
	}
	if err := e.State.Release(ctx, e.Pair.ID, l.Fence); err != nil {
		return false, fmt.Errorf("release the lease of %s: %w", l.Owner, err)
	}
	e.Log.Info("took over the lease of a process that died", "pair", e.Pair.ID.String(), "owner", l.Owner)
	return true, nil
}

// withFreeLease returns st with its lease free, or *LeasedError if another process holds it.
func (e *Engine) withFreeLease(ctx context.Context, st PairState, now time.Time) (PairState, error) {
	if !st.Lease.HeldAt(now) {
		return st, nil
	}
	freed, err := e.releaseAbandoned(ctx, st.Lease, now)
	switch {
	case err != nil:
		return st, err
	case !freed:
		return st, &LeasedError{What: "pair " + e.Pair.ID.String(), Lease: st.Lease}
	}
	st.Lease = Lease{Fence: st.Lease.Fence}
	return st, nil
}

// acquireLease takes the lease, also from a process that died.
func (e *Engine) acquireLease(ctx context.Context, now time.Time) (PairState, error) {
	st, err := e.State.Acquire(ctx, e.Pair.ID, e.Owner, now, e.Tuning.LeaseTTL)
	var leased *LeasedError
	if !errors.As(err, &leased) {
		return st, err
	}
	freed, freeErr := e.releaseAbandoned(ctx, leased.Lease, now)
	if freeErr != nil || !freed {
		return st, errors.Join(err, freeErr)
	}
	return e.State.Acquire(ctx, e.Pair.ID, e.Owner, now, e.Tuning.LeaseTTL)
}
