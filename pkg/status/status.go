// Package status decides how a pair does: one word, all reasons for it, and the time
// up to which the replica is known to be current. It is a pure function of recorded
// facts, so that the command line, the doctor and the functions agree.
package status

import (
	"cmp"
	"slices"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// The status words that the engine doesn't record: they depend on what else is known.
const (
	Unreachable replication.Status = "unreachable" // a server of the pair is down
	Stale       replication.Status = "stale"       // the source was not read, or no pass ran, recently enough
	Drifted     replication.Status = "drifted"     // known drift was not repaired
)

// Facts are what is recorded of a pair and of what it depends on.
type Facts struct {
	State replication.PairState
	// Pair says which kinds are selected; the zero Pair selects the default ones.
	Pair replication.Pair
	// Scan is the newest scan of the source; nil for a pair whose feed no scans fill.
	Scan *journal.LastScan
	// Down are the servers of the pair that don't answer, as far as it is known.
	Down     []health.Server
	Now      time.Time
	Patience Patience
	// Stack says that schedules do the passes and scans.
	Stack bool
}

// Patience is how late something may be before it counts.
type Patience struct {
	Pass time.Duration // after the time of the next pass
	Scan time.Duration // since the last scan
}

const (
	passLate  = 2 * time.Minute
	scansLate = 5 // scans that may be missed
	// scanBackoff is the longest wait between scans that fail.
	scanBackoff = 15 * time.Minute
)

// PatienceFor returns the usual patience: scanEvery is the time between scans, and
// noteEvery the time for which the record of a poll or a scan without news stands for
// those after it, as on a stack.
func PatienceFor(scanEvery, noteEvery time.Duration) Patience {
	late := passLate + noteEvery
	return Patience{Pass: late, Scan: max(scansLate*scanEvery, late)}
}

// Cause is the sort of a reason.
type Cause string

// The causes.
const (
	CauseStopped    Cause = "stopped"     // by the operator
	CauseHeld       Cause = "held"        // deletions wait for approval
	CausePassFailed Cause = "pass_failed" // the last pass failed
	CauseServerDown Cause = "server_down" // a server doesn't answer
	CauseNeverRun   Cause = "never_run"   // no pass yet
	CauseNoPass     Cause = "no_pass"     // no pass for too long
	CauseScanFailed Cause = "scan_failed" // the last scan failed
	CauseNoScan     Cause = "no_scan"     // no scan for too long
	CauseUnread     Cause = "unread"      // the scans can't read a kind
	CauseUnsynced   Cause = "unsynced"    // unsynced objects
	CauseDrift      Cause = "drift"       // known drift that was not repaired
	CausePending    Cause = "pending"     // known work waits for a pass
)

// Reason is one thing that keeps a pair from being in sync.
type Reason struct {
	Cause  Cause              `json:"cause"`
	Status replication.Status `json:"status"` // that of the pair if there is nothing worse
	Text   string             `json:"text"`
	Hint   string             `json:"hint,omitempty"` // what to try
	Since  time.Time          `json:"since,omitzero"`
	Class  replication.Class  `json:"class,omitempty"` // of the error, where there is one
}

// Report is how a pair does.
type Report struct {
	Status  replication.Status
	Reasons []Reason // the worst first; none for a pair in sync
	// CurrentAsOf is the time up to which all changes of the primary were read and
	// applied. It is zero while nothing is known to be.
	CurrentAsOf time.Time
	// Pending is how many objects are known to wait for a pass.
	Pending int
}

// Has reports whether a cause is among the reasons.
func (r Report) Has(c Cause) bool {
	return slices.ContainsFunc(r.Reasons, func(x Reason) bool { return x.Cause == c })
}

// Of decides how a pair does.
func Of(f Facts) Report {
	d := &decision{Facts: f, id: f.State.ID.String(), running: f.State.Lease.HeldAt(f.Now)}
	if f.State.Desired.Stopped {
		d.stopped()
	} else {
		d.passes()
		d.servers()
		d.scans()
		d.pending()
	}
	d.records()
	slices.SortStableFunc(d.reasons, func(a, b Reason) int {
		return cmp.Or(rank(a.Status)-rank(b.Status), a.Since.Compare(b.Since))
	})
	return Report{Status: d.status(), Reasons: d.reasons, CurrentAsOf: d.currentAsOf(), Pending: d.waiting()}
}

// rank orders the status words, the worst first. What the operator wants precedes
// everything.
func rank(s replication.Status) int {
	return slices.Index([]replication.Status{replication.Stopped, replication.Blocked, replication.Held, Unreachable, Stale,
		replication.Retrying, Drifted, replication.Bootstrapping, replication.Syncing, replication.Synced}, s)
}

// decision collects the reasons.
type decision struct {
	Facts
	id      string
	running bool // a process holds the lease
	reasons []Reason
}

func (d *decision) add(c Cause, s replication.Status, since time.Time, text, hint string) {
	d.reasons = append(d.reasons, Reason{Cause: c, Status: s, Text: text, Hint: hint, Since: since})
}

// classed gives the newest reason the class of its error.
func (d *decision) classed(c replication.Class) { d.reasons[len(d.reasons)-1].Class = c }

// status is that of the worst reason. Without one it is what the engine recorded.
func (d *decision) status() replication.Status {
	if len(d.reasons) == 0 {
		return d.State.Status()
	}
	s := d.reasons[0].Status
	if s == replication.Syncing && d.State.Progress.LastCompare.IsZero() {
		return replication.Bootstrapping
	}
	return s
}

// currentAsOf is the oldest time at which something stopped being current.
func (d *decision) currentAsOf() time.Time {
	g := d.State.Progress
	at := g.LastSuccess
	if at.After(d.Now) { // of a clock that was ahead
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
	read.Unread = d.unread()
	if upTo := read.ReadUpTo(); upTo.Before(at) {
		return upTo
	}
	return at
}

// unread are the kinds of the pair that the scans can't read.
func (d *decision) unread() []journal.Unread {
	return slices.DeleteFunc(slices.Clone(d.Scan.Unread), func(u journal.Unread) bool { return !d.Pair.Includes(u.Kind) })
}

// classStatus is what a failure makes of a pair, by the class of its error.
func classStatus(c replication.Class) replication.Status {
	switch c {
	case replication.Denied, replication.Foreign, replication.Unserved, replication.Local:
		return replication.Blocked
	case replication.Unreachable:
		return Unreachable
	}
	return replication.Retrying
}
