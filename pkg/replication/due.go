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
	case g.Unsynced > 0 && g.retryDue(now), (g.Unsynced > 0 || g.Hold != nil) && st.RetryAsked():
		return true
	}
	return holdAnswered(st, now) || p.holdIsOutdated(st, now)
}

// holdIsOutdated reports whether deletions are held that another prune rule was for.
func (p Pair) holdIsOutdated(st PairState, now time.Time) bool {
	h := st.Progress.Hold
	return h != nil && h.Primary == "" && h.Rule != p.pruneRuleAt(st, now)
}

// pruneRuleAt returns the prune rule of a pass that begins now.
func (p Pair) pruneRuleAt(st PairState, now time.Time) Prune {
	if st.pruneAsked(now) {
		return PruneAll
	}
	return p.pruneRule()
}
