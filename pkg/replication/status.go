package replication

import (
	"math/rand/v2"
	"time"

	"chefsync/pkg/fault"
)

// How long failures wait for the next try.
const (
	retryCap    = 15 * time.Minute // a pair whose servers fail
	blockedCap  = 30 * time.Minute // a pair that needs a person
	transientBy = 30 * time.Second // first wait of an object, doubled each time
	transientTo = time.Hour
	rejectedBy  = 5 * time.Minute
	rejectedTo  = 6 * time.Hour
	degradedBy  = 24 * time.Hour // only a change of the object or the replica helps
)

// to moves the status, keeping since when it holds.
func (p *Progress) to(s Status, now time.Time) {
	if p.Status != s {
		p.Status, p.Since = s, now
	}
}

// succeeded records that everything known is applied or listed as unsynced.
func (p *Progress) succeeded(now time.Time, interval time.Duration) {
	p.LastAttempt, p.LastSuccess = now, now
	p.Failures, p.LastError, p.Pending = 0, nil, 0
	p.NextRun = now.Add(interval)
	p.to(p.resting(), now)
}

// resting is the status of a pair that has nothing to do.
func (p *Progress) resting() Status {
	switch {
	case p.Hold != nil:
		return Held
	case p.Unsynced > 0:
		return Retrying
	}
	return Synced
}

// failed records why a pass could not go on, and when to try again.
func (p *Progress) failed(now time.Time, interval time.Duration, err error) {
	p.LastAttempt, p.LastError = now, failure(now, err)
	p.Failures++
	limit := retryCap
	if fault.ClassOf(err).NeedsOperator() {
		p.to(Blocked, now)
		limit = blockedCap
	} else {
		p.to(Retrying, now)
	}
	p.NextRun = now.Add(backoff(max(interval, time.Second), max(limit, interval), p.Failures))
}

// held records that nothing is replicated until a person decides.
func (p *Progress) held(now time.Time, h *Hold) {
	p.LastAttempt, p.Hold = now, h
	p.NextRun = time.Time{}
	p.to(Held, now)
}

// left records that a pass ended with work left.
func (p *Progress) left(now time.Time, interval time.Duration) {
	p.LastAttempt = now
	p.NextRun = now.Add(interval)
	if p.Status != Bootstrapping {
		p.to(Syncing, now)
	}
}

// backoff doubles base for each failure after the first, up to limit.
func backoff(base, limit time.Duration, failures int) time.Duration {
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
		d = backoff(rejectedBy, rejectedTo, attempts)
	case fault.Degraded:
		d = degradedBy
	default:
		d = backoff(transientBy, transientTo, attempts)
	}
	return d + rand.N(d/10+1)
}
