package replication

import (
	"context"
	"errors"
	"time"
)

// A verification that a schedule started claims its pair while it reads, which needs no
// lease, so that no other process verifies the same. It records a heartbeat every
// claimRenewal; without one for claimTTL it counts as dead.
const (
	claimRenewal = 20 * time.Second
	claimTTL     = 90 * time.Second
)

// UnderWay reports whether a part of the verification seems to be running.
func (c *Checking) UnderWay(now time.Time) bool {
	return c != nil && !c.At.IsZero() && ageAt(c.At, now) < claimTTL
}

// verifyClaim is the claim of a scheduled verification.
type verifyClaim struct{ *Engine }

// take records the claim. It returns the record of the pair and what was recorded of the
// verification before, nil if that had no part yet. *LeasedError if another process works
// on the pair.
func (c *verifyClaim) take(ctx context.Context, now time.Time) (st PairState, earlier *Checking, err error) {
	if st, err = c.State.Pair(ctx, c.Pair.ID); err != nil {
		return st, nil, err
	}
	if err := c.heldError(st, now); err != nil {
		return st, nil, err
	}
	got, err := c.acquireLease(ctx, now)
	if err != nil {
		return st, nil, err
	}
	defer c.releaseLease(ctx, got.Lease.Fence)
	if err := c.heldError(got, now); err != nil {
		return st, nil, err
	}
	next := Checking{Started: now}
	if before := got.Progress.Checking; before != nil && before.After != "" {
		earlier, next = before, *before
	}
	next.At, next.Owner, next.FailedAt = now, c.Owner, time.Time{}
	got.Progress.Checking = &next
	if err := c.State.Commit(ctx, c.Pair.ID, got.Lease.Fence, c.Now(), Update{Progress: got.Progress}); err != nil {
		return st, nil, err
	}
	got.Lease = Lease{Fence: got.Lease.Fence}
	return got, earlier, nil
}

// heldError is a *LeasedError if another process, not known to be dead, has the claim.
func (c *verifyClaim) heldError(st PairState, now time.Time) error {
	by := st.Progress.Checking
	if !by.UnderWay(now) || by.Owner == c.Owner || c.OwnerDied != nil && c.OwnerDied(by.Owner) {
		return nil
	}
	return &LeasedError{What: "pair " + c.Pair.ID.String(), Lease: Lease{Owner: "a verification of " + by.Owner, Expires: by.At.Add(claimTTL)}}
}

// errOvertaken ends a reading whose claim another process took over.
var errOvertaken = errors.New("another process took over this verification")

// renew records a heartbeat. It ends the reading if another process took the claim over.
func (c *verifyClaim) renew(g *guard) {
	ctx, cancel := context.WithTimeout(g.hard, claimRenewal/4)
	defer cancel()
	now := c.Now()
	if err := c.update(ctx, now, func(x *Checking) { x.At = now }); errors.Is(err, errOvertaken) {
		g.kill(err)
	}
}

// release records that the part ended without a result, so that the next process takes
// it up at once, or after a while if it failed.
func (c *verifyClaim) release(ctx context.Context, failed bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	now := c.Now()
	err := c.update(ctx, now, func(x *Checking) { x.endPart(failed, now) })
	if err != nil && !errors.Is(err, errOvertaken) {
		c.Log.Warn("the end of a verification could not be recorded; it counts as running for a while", "pair", c.Pair.ID.String(),
			"for", claimTTL.String(), "error", err.Error())
	}
}

// endPart records that no part is under way any more.
func (c *Checking) endPart(failed bool, now time.Time) {
	c.At, c.Owner = time.Time{}, ""
	if failed {
		c.FailedAt = now
	}
}

// update changes the claim in the record without the lease: a pass that works meanwhile
// has it in its own copy of the record, and writes it back unchanged.
func (c *verifyClaim) update(ctx context.Context, now time.Time, change func(*Checking)) error {
	st, err := c.State.Pair(ctx, c.Pair.ID)
	if err != nil {
		return err
	}
	recorded := st.Progress.Checking
	if recorded == nil || recorded.Owner != c.Owner {
		return errOvertaken
	}
	next := *recorded
	change(&next)
	st.Progress.Checking = &next
	return c.State.SaveProgress(ctx, c.Pair.ID, st.Lease.Fence, now, st.Progress)
}
