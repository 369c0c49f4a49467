package pairstatus

import (
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// On a stack the record of a poll stands for those after it: a pair whose record is
// minutes old is well, and neither due nor late.
func TestAHealthyPairOfAStackIsNeitherDueNorLate(t *testing.T) {
	now := time.Date(2026, 11, 29, 16, 59, 41, 0, time.UTC)
	p := app.Pair{Pair: replication.Pair{Interval: time.Minute}}
	for _, c := range []struct {
		success   time.Duration // ago
		stack     bool
		next, lag string
		want      replication.Status
	}{
		{30 * time.Second, false, "in 30s", "30s", replication.Synced},
		{162 * time.Second, false, "due", "2m42s", replication.Synced},
		{162 * time.Second, true, "within 1m", "<5m", replication.Synced},
		{6 * time.Minute, true, "within 1m", "6m", replication.Synced},
		{8 * time.Minute, true, "overdue", "8m", status.Stale},
	} {
		at := now.Add(-c.success)
		f := status.Facts{Now: now, Stack: c.stack, Tolerance: status.ToleranceFor(time.Minute, 0)}
		if c.stack {
			f.Tolerance = status.ToleranceFor(time.Minute, cloud.RecordEvery)
		}
		f.State.Progress = replication.Progress{Status: replication.Synced, LastAttempt: at, LastSuccess: at, LastCompare: at, NextRun: at.Add(p.Interval)}
		row := newPairRow(p, f)
		if c.stack {
			row.pollInterval, row.recordValidFor = p.Interval, cloud.RecordEvery+p.Interval
		}
		if row.nextRunText(now) != c.next || row.lagText() != c.lag || row.Status != c.want {
			t.Errorf("%s after a success, on a stack %v: %s, next run %s, lag %s; want %s, %s, %s", c.success, c.stack, row.Status, row.nextRunText(now), row.lagText(), c.want, c.next, c.lag)
		}
	}
}
