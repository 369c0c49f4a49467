// Package status evaluates the status of a pair: one word, all reasons for it, and the
// time up to which the replica is known to be current. It is a pure function of
// recorded facts, so that the command line, the doctor and the functions agree.
package status

import (
	"cmp"
	"slices"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// The statuses that the engine doesn't record: they depend on further facts.
const (
	Unreachable replication.Status = "unreachable" // a server of the pair is down
	Stale       replication.Status = "stale"       // the source was not read, or no pass ran, recently enough
	Drifted     replication.Status = "drifted"     // known drift was not repaired
)

// Facts are the records about a pair and what it depends on.
type Facts struct {
	State replication.PairState
	// Pair is the configuration; the zero Pair selects the default kinds.
	Pair replication.Pair
	// Scan is the newest scan of the source; nil for a pair that needs no scans.
	Scan *changelog.LastScan
	// Down are the servers of the pair that are known not to answer.
	Down      []health.Server
	Now       time.Time
	Tolerance Tolerance
	// Stack is whether the pair runs on AWS, by schedules.
	Stack bool
	// Daemon is whether a daemon is known to run, of a pair that isn't on a stack.
	Daemon bool
}

// Tolerance is how late passes and scans may be before the pair counts as stale.
type Tolerance struct {
	Pass time.Duration // after the time of the next pass
	Scan time.Duration // since the last scan
}

const (
	passTolerance = 2 * time.Minute
	missedScans   = 5 // scans that may be missed
	// scanBackoff is the longest wait between scans that fail.
	scanBackoff = 15 * time.Minute
)

// ToleranceFor returns the usual tolerance: scanEvery is the time between scans, and
// noteEvery the interval at which polls and scans without news are recorded, as on a
// stack.
func ToleranceFor(scanEvery, noteEvery time.Duration) Tolerance {
	late := passTolerance + noteEvery
	return Tolerance{Pass: late, Scan: max(missedScans*scanEvery, late)}
}

// Cause is the type of a reason.
type Cause string

// The causes.
const (
	CauseStopped    Cause = "stopped"     // by the operator
	CauseHeld       Cause = "held"        // deletions wait for approval
	CausePassFailed Cause = "pass_failed" // the last pass failed
	CauseServerDown Cause = "server_down" // a server doesn't answer
	CauseNeverRun   Cause = "never_run"   // no pass yet
	CauseNoPass     Cause = "no_pass"     // no pass for too long, or when is unknown
	CauseScanFailed Cause = "scan_failed" // the last scan failed
	CauseNoScan     Cause = "no_scan"     // no scan for too long, or when is unknown
	CauseUnread     Cause = "unread"      // the scans can't read a kind
	CauseUnsynced   Cause = "unsynced"    // unsynced objects
	CauseDrift      Cause = "drift"       // known drift that was not repaired
	CausePending    Cause = "pending"     // known work waits for a pass
)

// Reason is one reason why a pair isn't in sync.
type Reason struct {
	Cause  Cause              `json:"cause"`
	Status replication.Status `json:"status"` // the status of the pair if there is no worse reason
	Text   string             `json:"text"`
	Hint   string             `json:"hint,omitempty"` // what to try
	Since  time.Time          `json:"since,omitzero"`
	Class  fault.Class        `json:"class,omitempty"` // of the error, where there is one
}

// Report is the status of a pair.
type Report struct {
	Status  replication.Status
	Reasons []Reason // the worst first; none for a pair in sync
	// CurrentAsOf is the time up to which all changes of the primary were read and
	// applied. It is zero if it isn't known.
	CurrentAsOf time.Time
	// Pending is how many objects are known to wait for a pass.
	Pending int
}

// Has reports whether a cause is among the reasons.
func (r Report) Has(c Cause) bool {
	return slices.ContainsFunc(r.Reasons, func(x Reason) bool { return x.Cause == c })
}

// Evaluate returns the status of a pair.
func Evaluate(f Facts) Report {
	d := &evaluation{Facts: f, id: f.State.ID.String(), running: f.State.Lease.HeldAt(f.Now)}
	if f.State.Desired.Stopped {
		d.addStopped()
	} else {
		d.addPasses()
		d.addServers()
		d.addScans()
		d.addPending()
	}
	d.addRecords()
	slices.SortStableFunc(d.reasons, func(a, b Reason) int {
		return cmp.Or(a.rank()-b.rank(), a.Since.Compare(b.Since))
	})
	return Report{Status: d.worstStatus(), Reasons: d.reasons, CurrentAsOf: d.currentAsOf(), Pending: d.countPending()}
}

// Statuses returns the statuses that a pair can have, the worst first.
func Statuses() []replication.Status {
	return []replication.Status{replication.Blocked, replication.Held, Unreachable, Stale, replication.Retrying, Drifted,
		replication.Bootstrapping, replication.Stopped, replication.Syncing, replication.Synced}
}

// Rank returns the place of a status among Statuses.
func Rank(s replication.Status) int { return slices.Index(Statuses(), s) }

// rank orders the reasons of a pair. A stop by the operator precedes everything.
func (r Reason) rank() int {
	if r.Status == replication.Stopped {
		return -1
	}
	return Rank(r.Status)
}

// evaluation collects the reasons of a report.
type evaluation struct {
	Facts
	id      string
	running bool // a process holds the lease
	reasons []Reason
}

func (d *evaluation) addReason(c Cause, s replication.Status, since time.Time, text, hint string) {
	d.reasons = append(d.reasons, Reason{Cause: c, Status: s, Text: text, Hint: hint, Since: since})
}

// setClass sets the class of the newest reason.
func (d *evaluation) setClass(c fault.Class) { d.reasons[len(d.reasons)-1].Class = c }

// worstStatus returns the status of the worst reason, or the recorded one if there is
// no reason.
func (d *evaluation) worstStatus() replication.Status {
	if len(d.reasons) == 0 {
		s := d.State.Status()
		if s == replication.Synced && d.running && d.isOverdue() { // a pass records that it is syncing with its first write
			s = replication.Syncing
		}
		return s
	}
	s := d.reasons[0].Status
	if s == replication.Syncing && d.State.Progress.LastCompare.IsZero() {
		return replication.Bootstrapping
	}
	return s
}

// currentAsOf returns the oldest time at which something stopped being current.
func (d *evaluation) currentAsOf() time.Time {
	g := d.State.Progress
	at := g.LastSuccess
	if d.isAhead(at) || d.Scan != nil && d.isAhead(d.Scan.Good) {
		return time.Time{}
	}
	if at.After(d.Now) { // of a clock that is a little ahead
		at = d.Now
	}
	earliest := func(t time.Time) {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	earliest(g.UnsyncedSince)
	if g.Hold != nil {
		earliest(g.Hold.At)
	}
	if len(g.Dirty) > 0 {
		earliest(g.LastCheck)
	}
	for _, s := range d.Down {
		earliest(s.DownSince)
	}
	if d.Scan == nil || at.IsZero() {
		return at
	}
	read := *d.Scan
	read.Unread = d.unreadKinds()
	if upTo := read.ReadUpTo(); upTo.Before(at) {
		return upTo
	}
	return at
}

// unreadKinds returns the kinds of the pair that the scans can't read.
func (d *evaluation) unreadKinds() []changelog.Unread {
	return slices.DeleteFunc(slices.Clone(d.Scan.Unread), func(u changelog.Unread) bool { return !d.Pair.Includes(u.Kind) })
}

// classStatus returns the status of a pair after an error of a class.
func classStatus(c fault.Class) replication.Status {
	switch {
	case c.NeedsOperator():
		return replication.Blocked
	case c == fault.Unreachable:
		return Unreachable
	}
	return replication.Retrying
}
