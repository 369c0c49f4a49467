package replication

import (
	"math/rand/v2"
	"time"

	"chefsync/pkg/fault"
)

// How long failures wait for the next try.
const (
	retryCap    = 15 * time.Minute // a pair whose servers fail
	blockedCap  = 30 * time.Minute // a pair that needs an operator
	transientBy = 30 * time.Second // first wait of an object, doubled each time
	transientTo = time.Hour
	rejectedBy  = 5 * time.Minute
	rejectedTo  = 6 * time.Hour
	degradedBy  = 24 * time.Hour // only a change of the object or the replica helps
)

// setStatus moves the status, keeping since when it holds.
func (p *Progress) setStatus(s Status, now time.Time) {
	if p.Status != s {
		p.Status, p.Since = s, now
	}
}

// recordSuccess records that everything known is applied or listed as unsynced. Read says
// that a feed or the primary itself has told what there is to know by now.
func (p *Progress) recordSuccess(now time.Time, interval time.Duration, read bool) {
	p.LastAttempt = now
	if read {
		p.LastSuccess = now
	}
	p.Failures, p.LastError, p.Pending = 0, nil, 0
	p.NextRun = now.Add(interval)
	if len(p.Deletions.countingAt(now).Spans) == 0 {
		p.Deletions = nil // every poll would write the names again
	}
	p.setStatus(p.idleStatus(), now)
}

// idleStatus is the status of a pair that has nothing to do.
func (p *Progress) idleStatus() Status {
	switch {
	case p.Hold != nil:
		return Held
	case p.Unsynced > 0:
		return Retrying
	}
	return Synced
}

// recordFailure records why a pass could not go on, and when to try again.
func (p *Progress) recordFailure(now time.Time, interval time.Duration, err error) {
	p.LastAttempt, p.LastError = now, newFailure(now, err)
	p.Failures++
	limit := retryCap
	if fault.ClassOf(err).NeedsOperator() {
		p.setStatus(Blocked, now)
		limit = blockedCap
	} else {
		p.setStatus(Retrying, now)
	}
	p.NextRun = now.Add(backoffDelay(max(interval, time.Second), max(limit, interval), p.Failures))
}

// recordHold records that nothing is replicated until an operator decides.
func (p *Progress) recordHold(now time.Time, h *Hold) {
	p.LastAttempt, p.Hold = now, h
	p.NextRun = time.Time{}
	p.setStatus(Held, now)
}

// recordLeft records that a pass ended with work left.
func (p *Progress) recordLeft(now time.Time, interval time.Duration) {
	p.LastAttempt = now
	p.NextRun = now.Add(interval)
	if p.Status != Bootstrapping {
		p.setStatus(Syncing, now)
	}
}

// backoffDelay doubles base for each failure after the first, up to limit.
func backoffDelay(base, limit time.Duration, failures int) time.Duration {
	d := base
	for i := 1; i < failures && d < limit; i++ {
		d *= 2
	}
	return min(d, limit)
}

// retryObject says when an unsynced object is tried again: later each time, and
// spread by a tenth so that a thousand objects don't come due at once.
func retryObject(class fault.Class, attempts int) time.Duration {
	var d time.Duration
	switch class {
	case fault.Rejected, fault.Forbidden, fault.Unserved:
		d = backoffDelay(rejectedBy, rejectedTo, attempts)
	case fault.Degraded:
		d = degradedBy
	default:
		d = backoffDelay(transientBy, transientTo, attempts)
	}
	return d + rand.N(d/10+1)
}
