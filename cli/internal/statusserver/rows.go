package statusserver

import (
	"slices"
	"time"

	"chefsync/cli/internal/pairstatus"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// pairRow is the status of a pair with what is derived from it.
type pairRow struct{ pairstatus.PairRow }

// shownStatus returns the status as pages show it: a pair before its first pass waits.
func (r pairRow) shownStatus() string {
	isNew := func(x status.Reason) bool { return x.Cause == status.CauseNeverRun }
	if r.Status == replication.Bootstrapping && slices.ContainsFunc(r.Reasons, isNew) {
		return string(pairstatus.Waiting)
	}
	return string(r.Status)
}

// heldDeletions returns how many deletions wait for approval.
func (r pairRow) heldDeletions() int {
	if r.Hold == nil {
		return 0
	}
	return r.Hold.Deletes
}

// driftLeft returns how many objects are known to differ because others changed them.
func (r pairRow) driftLeft() int {
	if r.Drift == nil {
		return 0
	}
	return r.Drift.Left()
}

// isHeld reports whether a record is of a deletion that waits for approval.
func isHeld(u replication.Unsynced) bool { return u.Class == fault.DeletionHeld }

// schedulerRuns reports whether a process runs passes, and was seen lately.
func schedulerRuns(p pairstatus.Processes, now time.Time) bool {
	if p.OnStack && p.Manager == nil {
		return false
	}
	return p.DoPasses() && p.Problem(now) == ""
}
