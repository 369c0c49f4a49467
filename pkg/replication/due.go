package replication

import (
	"slices"
	"time"
)

// RequestedAt returns when the operator last asked for something, zero for never.
func (d Desired) RequestedAt() time.Time {
	return slices.MaxFunc([]time.Time{d.Since, d.AllowedAt, d.PrimaryAcceptedAt, d.ResyncAt, d.ResyncObjectsAt, d.RetryAt}, time.Time.Compare)
}

// WorkRecorded reports whether the record of a pair alone says that a pass has
// something to do, before any feed is asked.
func (p Pair) WorkRecorded(st PairState, now time.Time) bool {
	g := st.Progress
	switch {
	case g.LastCompare.IsZero() || g.Selected != p.selectionMark() || st.resyncAsked(now): // a full comparison
		return true
	case g.Work != nil || len(g.Dirty) > 0 || len(st.ObjectsAsked()) > 0:
		return true
	case g.Unsynced > 0 && g.retryDue(now), (g.Unsynced > 0 || g.Hold != nil) && st.retryAsked():
		return true
	}
	return holdAnswered(st, now)
}
