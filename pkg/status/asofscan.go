package status

import (
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

// AsOfScan returns the record of a pair as a pass would have left it when the newest
// scan of its source ended, where that scan found nothing that the pair hasn't
// applied. On a stack no pass is started for such a pair, so its own record is old.
func AsOfScan(st replication.PairState, scan changelog.LastScan) replication.PairState {
	g := &st.Progress
	if !scan.AppliedBy(*g) || scan.Failures > 0 || g.Failures > 0 || g.Work != nil || !scan.Ended.After(g.LastSuccess) {
		return st
	}
	if h := g.Hold; h != nil && h.Primary != "" { // no pass does anything
		return st
	}
	g.NextRun = scan.Ended.Add(g.NextRun.Sub(g.LastAttempt))
	g.LastAttempt, g.LastSuccess = scan.Ended, scan.Ended
	return st
}
