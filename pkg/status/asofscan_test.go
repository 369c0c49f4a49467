package status_test

import (
	"testing"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// TestAPairWithNothingToApplyIsAsCurrentAsTheScan: on a stack no pass is started for it.
func TestAPairWithNothingToApplyIsAsCurrentAsTheScan(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	scanned := now.Add(-time.Minute)
	old := now.Add(-50 * time.Minute)
	for name, c := range map[string]struct {
		progress func(*replication.Progress)
		scan     func(*changelog.LastScan)
		current  bool
	}{
		"nothing new":            {nil, nil, true},
		"rows it hasn't applied": {func(g *replication.Progress) { g.Position.Seq = 6 }, nil, false},
		"a newer snapshot":       {func(g *replication.Progress) { g.Position.Snapshot.Generation = 2 }, nil, false},
		"another epoch":          {func(g *replication.Progress) { g.Position.Epoch = "d" }, nil, false},
		"no position":            {func(g *replication.Progress) { g.Position = nil }, nil, false},
		"work that is left":      {func(g *replication.Progress) { g.Work = &replication.Work{} }, nil, false},
		"a pass that failed":     {func(g *replication.Progress) { g.Failures = 1 }, nil, false},
		"another primary, held": {func(g *replication.Progress) {
			g.NextRun, g.Hold = time.Time{}, &replication.Hold{At: old, Primary: "other"}
		}, nil, false},
		"a scan that failed":      {nil, func(s *changelog.LastScan) { s.Failures = 1 }, false},
		"a scan before the pass":  {nil, func(s *changelog.LastScan) { s.Ended = old.Add(-time.Hour) }, false},
		"a scan of older records": {nil, func(s *changelog.LastScan) { s.Epoch, s.Newest = "", 0 }, false},
	} {
		g := replication.Progress{Status: replication.Synced, Feed: changelog.Name, LastCompare: old, LastAttempt: old, LastSuccess: old,
			NextRun: old.Add(time.Minute), Position: &replication.Position{Epoch: "e", Seq: 7, Snapshot: replication.SnapshotMark{Generation: 3}}}
		scan := changelog.LastScan{Ended: scanned, Good: scanned, Epoch: "e", Newest: 7, Generation: 3}
		if c.progress != nil {
			c.progress(&g)
		}
		if c.scan != nil {
			c.scan(&scan)
		}
		st := status.AsOfScan(replication.PairState{Progress: g}, scan)
		if got := st.Progress.LastSuccess.Equal(scanned); got != c.current {
			t.Errorf("%s: last success %s", name, st.Progress.LastSuccess)
		}
		if !c.current {
			continue
		}
		made := status.Evaluate(status.Facts{State: st, Scan: &scan, Now: now, Stack: true, Tolerance: status.ToleranceFor(time.Minute, 4*time.Minute)})
		if made.Status != replication.Synced || !made.CurrentAsOf.Equal(scanned) || !st.Progress.NextRun.Equal(scanned.Add(time.Minute)) {
			t.Errorf("%s: %+v, next run %s", name, made, st.Progress.NextRun)
		}
	}
}
