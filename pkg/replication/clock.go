package replication

import (
	"math"
	"time"
)

// clockSkew is how far the clocks of two machines, or of one before and after it was
// set, may be apart. It is what Chef Servers allow: with more nothing works anyway.
const clockSkew = 15 * time.Minute

// capFuture returns t, or now when t lies further in the future than bound. No time
// beyond the bound is ever written, so such a one is of a clock that was ahead: what
// waits for it is due now, and is then recorded by the right clock.
func capFuture(t, now time.Time, bound time.Duration) time.Time {
	if t.Sub(now) > bound {
		return now
	}
	return t
}

// isAhead reports whether a recorded event lies in the future, so that the clock that
// recorded it was ahead.
func isAhead(t, now time.Time) bool { return t.Sub(now) > clockSkew }

// ageAt returns how long ago an event was recorded. One of a clock that was ahead counts
// as long ago, so that what it puts off is done, and recorded again.
func ageAt(t, now time.Time) time.Duration {
	if isAhead(t, now) {
		return math.MaxInt64
	}
	return now.Sub(t)
}

// sameMoment reports whether two records are of one moment: states keep times to the
// millisecond, and may cut them off.
func sameMoment(a, b time.Time) bool { return a.Sub(b).Abs() <= time.Millisecond }

// NextTry returns when a pair that failed is tried again, whatever the clock was that
// recorded it.
func (p Progress) NextTry(now time.Time, interval time.Duration) time.Time {
	return capFuture(p.NextRun, now, max(blockedCap, interval))
}

// retryBound is longer than any unsynced object waits for its next try.
const retryBound = degradedBy + degradedBy/8

// retryDue reports whether the first of the unsynced objects is due.
func (p Progress) retryDue(now time.Time) bool {
	return !now.Before(capFuture(p.NextRetry, now, retryBound))
}

// RetryAsked reports whether the operator asked to try unsynced objects again since
// that was last done. Whose clock is ahead doesn't matter.
func (p PairState) RetryAsked() bool {
	asked := p.Desired.RetryAt
	return !asked.IsZero() && !sameMoment(asked, p.Progress.RetriedAt)
}

// resyncAsked reports whether the operator asked for a full comparison that hasn't begun
// yet. Whose clock is ahead doesn't matter. Records of before don't say for which resync
// the last compare began: there, one that was asked for long before it counts as done.
func (p PairState) resyncAsked(now time.Time) bool {
	asked, last := p.Desired.ResyncAt, p.Progress.LastCompare
	if asked.IsZero() || sameMoment(asked, p.Progress.ResyncedAt) {
		return false
	}
	return !p.Progress.ResyncedAt.IsZero() || asked.After(last.Add(-clockSkew)) || isAhead(last, now)
}
