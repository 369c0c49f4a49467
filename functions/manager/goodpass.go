package manager

import (
	"time"

	"chefsync/pkg/replication"
)

// lastGoodPass returns when the last good pass of a pair ended: one that left
// nothing to do, or one that used up its time on work that the next pass goes on
// with. A first copy may take as long as it needs; a pass that fails, dies or is held
// isn't good.
func lastGoodPass(g replication.Progress, lastSuccess time.Time) time.Time {
	if g.Work != nil && g.Failures == 0 && g.Hold == nil && g.LastAttempt.After(lastSuccess) {
		return g.LastAttempt
	}
	return lastSuccess
}
