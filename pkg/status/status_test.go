package status_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func noon() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

func timeBefore(d time.Duration) time.Time { return noon().Add(-d) }

// syncedFacts are the facts of a pair in sync by the change log: polled half a minute ago,
// scanned ten seconds before.
func syncedFacts() status.Facts {
	good := timeBefore(40 * time.Second)
	return status.Facts{
		State: replication.PairState{
			ID: replication.PairID{Replica: "eu", Org: "acme"},
			Progress: replication.Progress{Status: replication.Synced, Since: timeBefore(time.Hour),
				LastAttempt: timeBefore(30 * time.Second), LastSuccess: timeBefore(30 * time.Second),
				LastCompare: timeBefore(5 * time.Hour), LastCheck: timeBefore(2 * time.Hour), NextRun: noon().Add(30 * time.Second), Objects: 7},
		},
		Scan: &changelog.LastScan{Ended: good, Good: good, Listed: 7},
		Now:  noon(), Tolerance: status.ToleranceFor(time.Minute, 0),
	}
}

// factOption is what differs from a pair in sync.
type factOption func(*status.Facts)

func withProgress(change func(*replication.Progress)) factOption {
	return func(f *status.Facts) { change(&f.State.Progress) }
}

func withScan(change func(*changelog.LastScan)) factOption {
	return func(f *status.Facts) { change(f.Scan) }
}

func withDesired(change func(*replication.Desired)) factOption {
	return func(f *status.Facts) { change(&f.State.Desired) }
}

func withFailedPass(class fault.Class) factOption {
	return withProgress(func(g *replication.Progress) {
		g.LastError = &replication.Failure{At: timeBefore(time.Minute), Class: class, Message: "it failed", Hint: "repair it"}
		g.LastSuccess, g.Failures = timeBefore(time.Hour), 3
	})
}

func withFailedScan(class fault.Class, good time.Duration) factOption {
	return withScan(func(s *changelog.LastScan) {
		s.Good, s.Failures, s.Error, s.Class, s.Hint = timeBefore(good), 2, "503: maintenance", class, "wait"
	})
}

func withUnreadKind(kind object.Kind, since time.Time) factOption {
	return withScan(func(s *changelog.LastScan) {
		s.Partial++
		s.Unread = append(s.Unread, changelog.Unread{Kind: kind, Since: since, Error: "403", Class: fault.Rejected, Hint: "grant it"})
	})
}

func withHold(f *status.Facts) {
	f.State.Progress.Hold = &replication.Hold{At: timeBefore(50 * time.Minute), Reason: "too many deletions", Deletes: 9}
}

func withUnsynced(f *status.Facts) {
	f.State.Progress.Unsynced, f.State.Progress.UnsyncedSince = 2, timeBefore(20*time.Minute)
}

func withDrift(f *status.Facts) {
	f.State.Progress.Drift = &replication.Drift{At: timeBefore(2 * time.Hour), Changed: 3, Repaired: 1}
}

func withoutPass(f *status.Facts) { f.State.Progress.NextRun = timeBefore(2*time.Minute + time.Second) }

func withoutScan(f *status.Facts) {
	f.Scan.Ended, f.Scan.Good = timeBefore(5*time.Minute+time.Second), timeBefore(5*time.Minute+time.Second)
}

func withServerDown(name string) factOption {
	return func(f *status.Facts) {
		f.Down = append(f.Down, health.Server{Name: name, DownSince: timeBefore(12 * time.Minute), Error: "connection refused",
			Hint: "start it"})
	}
}

func withLease(f *status.Facts) {
	f.State.Lease = replication.Lease{Owner: "vm:1", Expires: noon().Add(time.Minute)}
}

func withStop(f *status.Facts) {
	f.State.Desired.Stopped, f.State.Desired.Reason, f.State.Desired.Since = true, "maintenance", timeBefore(time.Hour)
}

// TestEvaluate is the table of all status words and all reasons.
func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name   string
		facts  []factOption
		want   replication.Status
		says   []string // a part of each reason, in their order
		lag    time.Duration
		unsure bool // nothing is known to be current
	}{
		{name: "in sync", want: replication.Synced, lag: 40 * time.Second},
		{name: "in sync by updated_since", facts: []factOption{func(f *status.Facts) { f.Scan = nil }}, want: replication.Synced,
			lag: 30 * time.Second},
		{name: "a pass that has written nothing yet", facts: []factOption{withLease, withoutPass, withProgress(func(g *replication.Progress) {
			g.LastAttempt, g.LastSuccess = timeBefore(5*time.Hour), timeBefore(5*time.Hour)
		})}, want: replication.Syncing, lag: 5 * time.Hour},
		{name: "a verification, or a pass that has just begun", facts: []factOption{withLease}, want: replication.Synced, lag: 40 * time.Second},
		{name: "writing", facts: []factOption{withLease,
			withProgress(func(g *replication.Progress) { g.Status, g.Work = replication.Syncing, &replication.Work{} })},
			want: replication.Syncing, lag: 40 * time.Second},
		{name: "stopped", facts: []factOption{withStop, withoutPass, withoutScan, withFailedPass(fault.Denied)}, want: replication.Stopped,
			says: []string{"stopped by the operator: maintenance"}, lag: time.Hour},
		{name: "imported", facts: []factOption{withStop, func(f *status.Facts) { f.State.Desired.Reason = replication.ReasonImported }},
			want: replication.Stopped, says: []string{"imported, and not started since"}, lag: 40 * time.Second},
		{name: "stopped with trouble", facts: []factOption{withStop, withDrift, withUnsynced, withHold}, want: replication.Stopped,
			says: []string{"stopped", "too many deletions", "2 unsynced objects", "2 objects changed on the replica"}, lag: 50 * time.Minute},
		{name: "held", facts: []factOption{withHold}, want: replication.Held, says: []string{"too many deletions"}, lag: 50 * time.Minute},
		{name: "refused", facts: []factOption{withFailedPass(fault.Denied)}, want: replication.Blocked,
			says: []string{"it failed"}, lag: time.Hour},
		{name: "foreign answers", facts: []factOption{withFailedPass(fault.Foreign)}, want: replication.Blocked,
			says: []string{"it failed"}, lag: time.Hour},
		{name: "local trouble", facts: []factOption{withFailedPass(fault.Local)}, want: replication.Blocked,
			says: []string{"it failed"}, lag: time.Hour},
		{name: "failing", facts: []factOption{withFailedPass(fault.Transient)}, want: replication.Retrying,
			says: []string{"it failed"}, lag: time.Hour},
		{name: "no answer", facts: []factOption{withFailedPass(fault.Unreachable)}, want: status.Unreachable,
			says: []string{"it failed"}, lag: time.Hour},
		{name: "the replica is down", facts: []factOption{withServerDown("eu")}, want: status.Unreachable,
			says: []string{"server eu is unreachable since 2026-11-25T11:48:00Z"}, lag: 12 * time.Minute},
		{name: "the primary is down, said once", facts: []factOption{withServerDown("primary"),
			withFailedPass(fault.Unreachable), withFailedScan(fault.Unreachable, 13*time.Minute)},
			want: status.Unreachable, says: []string{"server primary"}, lag: time.Hour},
		{name: "unsynced objects", facts: []factOption{withUnsynced}, want: replication.Retrying,
			says: []string{"2 unsynced objects"}, lag: 20 * time.Minute},
		{name: "one unsynced object", facts: []factOption{withUnsynced, withProgress(func(g *replication.Progress) { g.Unsynced = 1 })},
			want: replication.Retrying, says: []string{"1 unsynced object"}, lag: 20 * time.Minute},
		{name: "unsynced objects of an older version", facts: []factOption{withProgress(func(g *replication.Progress) { g.Unsynced = 1 })},
			want: replication.Retrying, says: []string{"1 unsynced object"}, lag: 40 * time.Second},
		{name: "drift", facts: []factOption{withDrift}, want: status.Drifted,
			says: []string{"2 objects changed on the replica, as found at 2026-11-25T10:00:00Z"}, lag: 40 * time.Second},
		{name: "repaired drift", facts: []factOption{withDrift, withProgress(func(g *replication.Progress) { g.Drift.Repaired = 3 })},
			want: replication.Synced, lag: 40 * time.Second},
		{name: "a dead daemon", facts: []factOption{withoutPass, withoutScan}, want: status.Stale,
			says: []string{"last scanned for changes 5m1s ago", "last pass 30s ago; is the daemon running?"}, lag: 5*time.Minute + time.Second},
		{name: "a pass that is a little late",
			facts: []factOption{withProgress(func(g *replication.Progress) { g.NextRun = timeBefore(2 * time.Minute) })}, want: replication.Synced, lag: 40 * time.Second},
		{name: "a dead scanner", facts: []factOption{withoutScan}, want: status.Stale,
			says: []string{"last scanned for changes 5m1s ago"}, lag: 5*time.Minute + time.Second},
		{name: "scans that take long", facts: []factOption{withScan(func(s *changelog.LastScan) {
			s.Ended,
				s.Good = timeBefore(20*time.Minute), timeBefore(30*time.Minute)
		})}, want: replication.Synced, lag: 30 * time.Minute},
		{name: "clocks that differ a little", facts: []factOption{withProgress(func(g *replication.Progress) {
			g.LastAttempt, g.LastSuccess, g.NextRun = noon().Add(time.Minute), noon().Add(time.Minute), noon().Add(2*time.Minute)
		}), withScan(func(s *changelog.LastScan) { s.Ended, s.Good = noon().Add(time.Minute), noon().Add(time.Minute) })},
			want: replication.Synced},
		{name: "a pass recorded by a clock that was ahead", facts: []factOption{withProgress(func(g *replication.Progress) {
			g.LastAttempt, g.LastSuccess, g.NextRun = noon().AddDate(0, 0, 1), noon().AddDate(0, 0, 1), noon().AddDate(0, 0, 1)
		})}, want: status.Stale, says: []string{"the last pass is recorded 1d in the future"}, unsure: true},
		{name: "a scan recorded by a clock that was ahead",
			facts: []factOption{withScan(func(s *changelog.LastScan) { s.Ended, s.Good = noon().Add(time.Hour), noon().Add(time.Hour) })},
			want:  status.Stale, says: []string{"the last scan of the primary is recorded 1h in the future"}, unsure: true},
		{name: "no scan is recorded", facts: []factOption{withScan(func(s *changelog.LastScan) { *s = changelog.LastScan{} })},
			want: status.Stale, says: []string{"no scan of the primary is recorded"}, unsure: true},
		{name: "a scan that failed", facts: []factOption{withFailedScan(fault.Transient, 2*time.Minute)}, want: replication.Retrying,
			says: []string{"can't be scanned for changes since 2026-11-25T11:58:00Z: 503: maintenance"}, lag: 2 * time.Minute},
		{name: "scans that fail for long", facts: []factOption{withFailedScan(fault.Transient, time.Hour)}, want: status.Stale,
			says: []string{"since 2026-11-25T11:00:00Z"}, lag: time.Hour},
		{name: "a scanner that waits after failures",
			facts: []factOption{withoutScan, withFailedScan(fault.Denied, 20*time.Minute)}, want: replication.Blocked,
			says: []string{"can't be scanned"}, lag: 20 * time.Minute},
		{name: "a scanner that died after failures",
			facts: []factOption{withFailedScan(fault.Denied, time.Hour),
				withScan(func(s *changelog.LastScan) { s.Ended = timeBefore(time.Hour) })},
			want: replication.Blocked, says: []string{"can't be scanned", "last scanned for changes 1h ago"}, lag: time.Hour},
		{name: "scans that are refused", facts: []factOption{withFailedScan(fault.Denied, 2*time.Minute)},
			want: replication.Blocked, says: []string{"can't be scanned"}, lag: 2 * time.Minute},
		{name: "scans without an answer", facts: []factOption{withFailedScan(fault.Unreachable, 2*time.Minute)},
			want: status.Unreachable, says: []string{"can't be scanned"}, lag: 2 * time.Minute},
		{name: "scans that never succeeded", facts: []factOption{withFailedScan(fault.Transient, 0),
			withScan(func(s *changelog.LastScan) { s.Good, s.FailingSince = time.Time{}, timeBefore(time.Hour) })},
			want: status.Stale, says: []string{"the primary can't be scanned for changes: 503"}, unsure: true},
		{name: "a kind that can't be read", facts: []factOption{withUnreadKind(object.Role, timeBefore(3*time.Minute))},
			want: replication.Retrying,
			says: []string{"roles of the primary not read since 2026-11-25T11:57:00Z: 403"}, lag: 3 * time.Minute},
		{name: "kinds that can't be read for long",
			facts: []factOption{withUnreadKind(object.Cookbook, timeBefore(time.Hour)),
				withUnreadKind(object.Role, timeBefore(2*time.Hour))}, want: status.Stale,
			says: []string{"roles of the primary", "cookbooks of the primary"}, lag: 2 * time.Hour},
		{name: "a kind that was never read", facts: []factOption{withUnreadKind(object.DataBagItem, time.Time{})}, want: status.Stale,
			says: []string{"data bags of the primary never read"}, unsure: true},
		{name: "a kind that isn't selected", facts: []factOption{withUnreadKind(object.Role, timeBefore(time.Hour)),
			func(f *status.Facts) { f.Pair.Kinds = []object.Kind{object.Cookbook} }},
			want: replication.Synced, lag: 40 * time.Second},
		{name: "a full comparison was requested",
			facts: []factOption{withDesired(func(d *replication.Desired) { d.ResyncAt = timeBefore(10 * time.Second) })}, want: replication.Syncing,
			says: []string{"a full comparison was requested"}, lag: 40 * time.Second},
		{name: "a full comparison was made",
			facts: []factOption{withDesired(func(d *replication.Desired) { d.ResyncAt = timeBefore(6 * time.Hour) })}, want: replication.Synced, lag: 40 * time.Second},
		{name: "objects are to be compared", facts: []factOption{withDesired(func(d *replication.Desired) {
			d.ResyncObjectsAt, d.ResyncObjects = timeBefore(time.Second), []object.Ref{{Kind: object.Role, Name: "web"}}
		})}, want: replication.Syncing, says: []string{"a comparison of 1 object was requested"}, lag: 40 * time.Second},
		{name: "differences that a verification found", facts: []factOption{withProgress(func(g *replication.Progress) {
			g.Status, g.Pending, g.LastCheck, g.Dirty = replication.Syncing, 3, timeBefore(5*time.Minute), []object.Ref{{Kind: object.Role}}
		})}, want: replication.Syncing, says: []string{"3 differences of the last verification not applied yet"}, lag: 5 * time.Minute},
		{name: "work is left", facts: []factOption{withProgress(func(g *replication.Progress) {
			g.Status,
				g.Work = replication.Syncing, &replication.Work{}
		})}, want: replication.Syncing,
			says: []string{"work is left for the next pass"}, lag: 40 * time.Second},
		{name: "never run", facts: []factOption{withProgress(func(g *replication.Progress) { *g = replication.Progress{} }),
			func(f *status.Facts) { f.Scan = nil }},
			want: replication.Bootstrapping, says: []string{"never run"}, unsure: true},
		{name: "a record that says more than its times",
			facts: []factOption{withProgress(func(g *replication.Progress) { *g = replication.Progress{Status: replication.Blocked} }),
				func(f *status.Facts) { f.Scan = nil }},
			want: replication.Blocked, unsure: true},
		{name: "the first pass is running", facts: []factOption{withProgress(func(g *replication.Progress) {
			*g = replication.Progress{Status: replication.Bootstrapping, Work: &replication.Work{Full: true}}
		}), withLease}, want: replication.Bootstrapping, unsure: true},
		{name: "the first pass died", facts: []factOption{withProgress(func(g *replication.Progress) {
			*g = replication.Progress{Status: replication.Bootstrapping, Work: &replication.Work{Full: true, Started: timeBefore(time.Hour)}}
		}), func(f *status.Facts) {
			f.State.Lease = replication.Lease{Owner: "vm:1", Expires: timeBefore(10 * time.Minute)}
		}},
			want: status.Stale, says: []string{"the first pass was interrupted 10m ago; is the daemon running?",
				"the next one continues it"}, unsure: true},
		{name: "all of it, worst first", facts: []factOption{withDrift, withUnsynced, withoutPass, withoutScan, withServerDown("eu"),
			withHold, withFailedPass(fault.Denied)}, want: replication.Blocked,
			says: []string{"it failed", "too many deletions", "server eu", "last scanned", "last pass", "2 unsynced objects",
				"2 objects changed"}, lag: time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := syncedFacts()
			for _, change := range c.facts {
				change(&f)
			}
			got := status.Evaluate(f)
			if got.Status != c.want || len(got.Reasons) != len(c.says) {
				t.Fatalf("%s because of %+v, want %s because of %q", got.Status, got.Reasons, c.want, c.says)
			}
			for i, says := range c.says {
				if r := got.Reasons[i]; !strings.Contains(r.Text, says) || r.Hint == "" {
					t.Errorf("reason %d: %q, try %q; want %q", i, r.Text, r.Hint, says)
				}
			}
			if got.CurrentAsOf.IsZero() != c.unsure || !c.unsure && noon().Sub(got.CurrentAsOf) != c.lag {
				t.Errorf("current as of %s, want %s ago, or never: %v", got.CurrentAsOf, c.lag, c.unsure)
			}
		})
	}
}

// TestNoPairWithAReasonIsSynced, whatever the engine recorded.
func TestNoPairWithAReasonIsSynced(t *testing.T) {
	troubles := map[string]factOption{
		"held": withHold, "unsynced": withUnsynced, "drifted": withDrift, "no pass": withoutPass, "no scan": withoutScan,
		"down": withServerDown("eu"), "failed": withFailedPass(fault.Transient),
		"scan failed": withFailedScan(fault.Transient, time.Minute),
		"unread":      withUnreadKind(object.Role, timeBefore(time.Minute)), "stopped": withStop,
	}
	for name, trouble := range troubles {
		for other, second := range troubles {
			f := syncedFacts()
			trouble(&f)
			second(&f)
			r := status.Evaluate(f)
			if r.Status == replication.Synced || len(r.Reasons) == 0 {
				t.Errorf("%s and %s: %s", name, other, r.Status)
			}
			if !slices.IsSortedFunc(r.Reasons, func(a, b status.Reason) int { return severityOf(a.Status) - severityOf(b.Status) }) ||
				r.Status != r.Reasons[0].Status {
				t.Errorf("%s and %s: %s, reasons %+v; want the worst first", name, other, r.Status, r.Reasons)
			}
		}
	}
}

func severityOf(s replication.Status) int {
	return slices.Index([]replication.Status{replication.Stopped, replication.Blocked, replication.Held, status.Unreachable, status.Stale,
		replication.Retrying, status.Drifted, replication.Bootstrapping, replication.Syncing}, s)
}

func TestHintsDependOnWhereThePairRuns(t *testing.T) {
	for name, c := range map[string]struct {
		trouble           factOption
		here, takenCareOf string
	}{
		"no pass": {withoutPass, "chef-sync-ctl run", "chef-sync-ctl doctor, then: chef-sync-ctl manager-log"},
		"no scan": {withoutScan, "chef-sync-ctl run, or: chef-sync-ctl serve-changes",
			"chef-sync-ctl doctor, then: chef-sync-ctl manager-log"},
		"never run": {withProgress(func(g *replication.Progress) { *g = replication.Progress{} }), "chef-sync-ctl run",
			"wait a minute, or: chef-sync-ctl run --once eu/acme"},
	} {
		for where, want := range map[string]string{"here": c.here, "on a stack": c.takenCareOf, "by a daemon": c.takenCareOf} {
			f := syncedFacts()
			c.trouble(&f)
			f.Stack, f.Daemon = where == "on a stack", where == "by a daemon"
			got := status.Evaluate(f)
			if len(got.Reasons) != 1 || got.Reasons[0].Hint != want {
				t.Errorf("%s, %s: %+v, want %q", name, where, got.Reasons, want)
			}
			if asks := strings.Contains(got.Reasons[0].Text, "is the daemon running?"); f.Daemon && asks {
				t.Errorf("%s, %s: it asks %q", name, where, got.Reasons[0].Text)
			}
		}
	}
}

func TestToleranceIncludesTheIntervalOfRecords(t *testing.T) {
	if got, want := status.ToleranceFor(time.Minute, 0), (status.Tolerance{Pass: 2 * time.Minute, Scan: 5 * time.Minute}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := status.ToleranceFor(time.Minute, 4*time.Minute),
		(status.Tolerance{Pass: 6 * time.Minute, Scan: 6 * time.Minute}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestPendingCountsRequestedComparisons(t *testing.T) {
	f := syncedFacts()
	f.State.Desired.ResyncObjectsAt, f.State.Desired.ResyncObjects = noon(), make([]object.Ref, 2)
	f.State.Progress.Pending = 1
	if got := status.Evaluate(f).Pending; got != 3 {
		t.Errorf("%d pending, want 3", got)
	}
	f.State.Desired.ResyncAt = noon()
	if got := status.Evaluate(f).Pending; got != 7 {
		t.Errorf("%d pending for a full comparison of 7 objects", got)
	}
}
