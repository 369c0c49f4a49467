package manager

import (
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

func atMinute(minute int) time.Time {
	return time.Date(2026, 11, 29, 12, minute, 1, 0, time.UTC)
}

// inSync is the record of a pair that follows scans and has applied everything.
func inSync(change func(*replication.PairState)) replication.PairState {
	st := replication.PairState{ID: pairID(), Progress: replication.Progress{
		Status: replication.Synced, Feed: changelog.Name, LastCompare: atMinute(-60), LastAttempt: atMinute(-10), LastSuccess: atMinute(-10), NextRun: atMinute(-9),
		Position: &replication.Position{Identity: "i", Epoch: "e", Seq: 7, Snapshot: replication.SnapshotMark{Generation: 3, Scans: 40}},
	}}
	if change != nil {
		change(&st)
	}
	return st
}

func pairID() replication.PairID { return replication.PairID{Replica: "eu", Org: "acme"} }

func pairOf(interval time.Duration) config.PairConfig {
	return config.PairConfig{Pair: replication.Pair{ID: pairID(), SourceOrg: "acme", Interval: interval, CompareEvery: 6 * time.Hour}}
}

func TestAPairIsStartedWhenItsRecordSaysSo(t *testing.T) {
	scan := changelog.LastScan{Ended: atMinute(0), Good: atMinute(0), Epoch: "e", Newest: 7, Generation: 3}
	for name, c := range map[string]struct {
		change func(*replication.PairState)
		want   string // the trigger, "" for no event
	}{
		"never worked on":                       {func(st *replication.PairState) { *st = replication.PairState{ID: pairID()} }, "schedule"},
		"nothing new":                           {nil, ""},
		"rows it hasn't applied":                {func(st *replication.PairState) { st.Progress.Position.Seq = 6 }, "schedule"},
		"a newer snapshot":                      {func(st *replication.PairState) { st.Progress.Position.Snapshot.Generation = 2 }, "schedule"},
		"a snapshot that differs, after a scan": {func(st *replication.PairState) { st.Progress.Position.Snapshot.Differs = true }, "schedule"},
		"a snapshot that differs, before it": {func(st *replication.PairState) {
			st.Progress.Position.Snapshot.Differs, st.Progress.LastAttempt = true, atMinute(0)
		}, ""},
		"a snapshot that goes on differing": {func(st *replication.PairState) {
			st.Progress.Position.Snapshot = replication.SnapshotMark{Generation: 3, Scans: 40, Differs: true, Fruitless: 9}
		}, ""},
		"a change log of another epoch":      {func(st *replication.PairState) { st.Progress.Position.Epoch = "d" }, "schedule"},
		"a change log that began":            {func(st *replication.PairState) { st.Progress.Position, st.Progress.Feed = nil, "none" }, "schedule"},
		"nothing new, not polled for long":   {func(st *replication.PairState) { st.Progress.LastAttempt = atMinute(-60) }, "schedule"},
		"a record of a clock that was ahead": {func(st *replication.PairState) { st.Progress.LastAttempt = atMinute(120) }, "schedule"},
		"a running pass": {func(st *replication.PairState) {
			st.Progress.Position.Seq, st.Lease = 6, replication.Lease{Owner: "f", Expires: atMinute(1)}
		}, ""},
		"a pass that died": {func(st *replication.PairState) {
			st.Progress.Position.Seq, st.Lease = 6, replication.Lease{Owner: "f", Expires: atMinute(0)}
		}, "schedule"},
		"stopped":                              {func(st *replication.PairState) { st.Progress.Position.Seq, st.Desired.Stopped = 6, true }, ""},
		"started again":                        {func(st *replication.PairState) { st.Desired.Since = atMinute(-5) }, "operator"},
		"work that is left":                    {func(st *replication.PairState) { st.Progress.Work = &replication.Work{} }, "schedule"},
		"a full comparison that was asked for": {func(st *replication.PairState) { st.Desired.ResyncAt = atMinute(-1) }, "operator"},
		"another selection than before":        {func(st *replication.PairState) { st.Progress.Selected = "x" }, "schedule"},
		"a failure, its next try not due": {func(st *replication.PairState) {
			st.Progress.Position.Seq, st.Progress.Failures, st.Progress.NextRun = 6, 2, atMinute(1)
		}, ""},
		"a failure, its next try due":     {func(st *replication.PairState) { st.Progress.Failures, st.Progress.NextRun = 2, atMinute(0) }, "schedule"},
		"an object, its next try due":     {func(st *replication.PairState) { st.Progress.Unsynced, st.Progress.NextRetry = 1, atMinute(0) }, "schedule"},
		"an object, its next try not due": {func(st *replication.PairState) { st.Progress.Unsynced, st.Progress.NextRetry = 1, atMinute(2) }, ""},
		"held, nobody answered": {func(st *replication.PairState) {
			st.Progress.Hold = &replication.Hold{At: atMinute(-20), Records: 1, Rule: replication.PruneReplicated}
		}, ""},
		"held by another prune rule": {func(st *replication.PairState) {
			st.Progress.Hold = &replication.Hold{At: atMinute(-20), Records: 1, Rule: replication.PruneAll}
		}, "schedule"},
		"held, and the deletions were approved": {func(st *replication.PairState) {
			st.Progress.Hold, st.Desired.AllowedAt = &replication.Hold{At: atMinute(-20), Records: 1, Rule: replication.PruneReplicated}, atMinute(-15)
		}, "schedule"},
		"a feed of its own, at its interval": {func(st *replication.PairState) { st.Progress.Feed, st.Progress.Position.Epoch = "updated_since", "" }, "schedule"},
		"no feed, its next compare far off": {func(st *replication.PairState) {
			st.Progress.Feed, st.Progress.Position, st.Progress.NextRun = "none", nil, atMinute(60)
		}, "schedule"}, // the change log has begun
		"a scan that failed before any was read": {func(*replication.PairState) {}, ""},
	} {
		st := inSync(c.change)
		f := facts{records: map[replication.PairID]replication.PairState{pairID(): st}, scans: map[string]changelog.LastScan{"acme": scan}, every: time.Minute, now: atMinute(0)}
		got := ""
		if due := f.syncDue([]config.PairConfig{pairOf(time.Minute)}); len(due) > 0 {
			got = string(due[0].Trigger)
		}
		if got != c.want {
			t.Errorf("%s: trigger %q, want %q", name, got, c.want)
		}
	}
}

// TestIntervalsAreKept over an hour of turns: each poll of a long interval is
// recorded, that of a short one is not.
func TestIntervalsAreKept(t *testing.T) {
	for interval, want := range map[time.Duration]int{time.Minute: 60, 90 * time.Second: 60, 2 * time.Minute: 30, 3 * time.Minute: 20, 4 * time.Minute: 15, 10 * time.Minute: 6, time.Hour: 1} {
		st := inSync(func(st *replication.PairState) {
			g := &st.Progress
			g.Feed, g.Position.Epoch, g.LastAttempt, g.NextRun = "updated_since", "", atMinute(-60), atMinute(-60).Add(interval)
		})
		polls, scans := 0, 0
		last := changelog.LastScan{Ended: atMinute(-60), Good: atMinute(-60)}
		for minute := range 60 {
			jitter := time.Duration(minute%3) * 4 * time.Second
			f := facts{records: map[replication.PairID]replication.PairState{pairID(): st}, scans: map[string]changelog.LastScan{"lab": last}, every: interval, now: atMinute(minute).Add(jitter)}
			if len(f.syncDue([]config.PairConfig{pairOf(interval)})) > 0 {
				polls++
				if f.now.Sub(st.Progress.LastAttempt) >= cloud.RecordEvery {
					st.Progress.LastAttempt, st.Progress.NextRun = f.now, f.now.Add(interval)
				}
			}
			if len(f.scanDue([]assembly.Source{{Org: "lab"}})) > 0 {
				scans++
				if f.now.Sub(last.Ended) >= cloud.RecordEvery {
					last = changelog.LastScan{Ended: f.now, Good: f.now}
				}
			}
		}
		if polls != want || scans != want {
			t.Errorf("interval %s: %d polls and %d scans an hour, want %d", interval, polls, scans, want)
		}
	}
}

// TestAServedFeedNeedsNoScans, as long as all pairs of the source follow it.
func TestAServedFeedNeedsNoScans(t *testing.T) {
	second := replication.PairID{Replica: "us", Org: "acme"}
	for feed, want := range map[string]int{"updated_since": 0, changelog.Name: 1, "none": 1, "": 1} {
		f := facts{now: atMinute(0), every: time.Minute, records: map[replication.PairID]replication.PairState{
			pairID(): {Progress: replication.Progress{Feed: "updated_since"}}, second: {Progress: replication.Progress{Feed: feed}}}}
		if got := len(f.scanDue([]assembly.Source{{Org: "acme", Pairs: []replication.PairID{pairID(), second}}})); got != want {
			t.Errorf("feed %q of the second pair: %d scans, want %d", feed, got, want)
		}
	}
}

// TestPairsOfOneIntervalAreSpread: two minutes for each of a hundred, not all at once.
func TestPairsOfOneIntervalAreSpread(t *testing.T) {
	f, n := facts{now: atMinute(0)}, 0
	for i := range 100 {
		if f.dueByClock(fmt.Sprint("eu/", i), 2*time.Minute) {
			n++
		}
	}
	if n < 30 || n > 70 {
		t.Errorf("%d of 100 in one turn", n)
	}
}

// TestWhatNeverRanIsDue whatever its interval.
func TestWhatNeverRanIsDue(t *testing.T) {
	for _, every := range []time.Duration{time.Minute, 10 * time.Minute, 24 * time.Hour} {
		f := facts{now: atMinute(0), every: every}
		if n := len(f.scanDue([]assembly.Source{{Org: "acme"}})); n != 1 {
			t.Errorf("a source that was never scanned: %d scans with scan_every %s", n, every)
		}
		if n := len(f.syncDue([]config.PairConfig{pairOf(every)})); n != 1 {
			t.Errorf("a pair without a record: %d passes with interval %s", n, every)
		}
	}
}
