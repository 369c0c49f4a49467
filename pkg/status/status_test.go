package status_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/health"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func noon() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return noon().Add(-d) }

// synced are the facts of a pair in sync by the journal: polled half a minute ago,
// scanned ten seconds before.
func synced() status.Facts {
	good := ago(40 * time.Second)
	return status.Facts{
		State: replication.PairState{
			ID: replication.PairID{Replica: "eu", Org: "acme"},
			Progress: replication.Progress{Status: replication.Synced, Since: ago(time.Hour), LastAttempt: ago(30 * time.Second), LastSuccess: ago(30 * time.Second),
				LastCompare: ago(5 * time.Hour), LastCheck: ago(2 * time.Hour), NextRun: noon().Add(30 * time.Second), Objects: 7},
		},
		Scan: &journal.LastScan{Ended: good, Good: good, Listed: 7},
		Now:  noon(), Patience: status.PatienceFor(time.Minute, 0),
	}
}

// fact is what differs from a pair in sync.
type fact func(*status.Facts)

func progress(change func(*replication.Progress)) fact {
	return func(f *status.Facts) { change(&f.State.Progress) }
}

func scan(change func(*journal.LastScan)) fact { return func(f *status.Facts) { change(f.Scan) } }

func desired(change func(*replication.Desired)) fact {
	return func(f *status.Facts) { change(&f.State.Desired) }
}

func failed(class replication.Class) fact {
	return progress(func(g *replication.Progress) {
		g.LastError = &replication.Failure{At: ago(time.Minute), Class: class, Message: "it failed", Hint: "mend it"}
		g.LastSuccess, g.Failures = ago(time.Hour), 3
	})
}

func scanFailed(class replication.Class, good time.Duration) fact {
	return scan(func(s *journal.LastScan) {
		s.Good, s.Failures, s.Error, s.Class, s.Hint = ago(good), 2, "503: maintenance", class, "wait"
	})
}

func unread(kind object.Kind, since time.Time) fact {
	return scan(func(s *journal.LastScan) {
		s.Partial++
		s.Unread = append(s.Unread, journal.Unread{Kind: kind, Since: since, Error: "403", Class: replication.Rejected, Hint: "grant it"})
	})
}

func held(f *status.Facts) {
	f.State.Progress.Hold = &replication.Hold{At: ago(50 * time.Minute), Reason: "too many deletions", Deletes: 9}
}

func unsynced(f *status.Facts) {
	f.State.Progress.Unsynced, f.State.Progress.UnsyncedSince = 2, ago(20*time.Minute)
}

func drifted(f *status.Facts) {
	f.State.Progress.Drift = &replication.Drift{At: ago(2 * time.Hour), Changed: 3, Repaired: 1}
}

func noPass(f *status.Facts) { f.State.Progress.NextRun = ago(2*time.Minute + time.Second) }

func noScan(f *status.Facts) {
	f.Scan.Ended, f.Scan.Good = ago(5*time.Minute+time.Second), ago(5*time.Minute+time.Second)
}

func down(name string) fact {
	return func(f *status.Facts) {
		f.Down = append(f.Down, health.Server{Name: name, DownSince: ago(12 * time.Minute), Error: "connection refused", Hint: "start it"})
	}
}

func running(f *status.Facts) {
	f.State.Lease = replication.Lease{Owner: "vm:1", Expires: noon().Add(time.Minute)}
}

func stopped(f *status.Facts) {
	f.State.Desired.Stopped, f.State.Desired.Reason, f.State.Desired.Since = true, "maintenance", ago(time.Hour)
}

// TestHowAPairDoes is the table of all status words and all reasons.
func TestHowAPairDoes(t *testing.T) {
	for _, c := range []struct {
		name   string
		facts  []fact
		want   replication.Status
		says   []string // a part of each reason, in their order
		lag    time.Duration
		unsure bool // nothing is known to be current
	}{
		{name: "in sync", want: replication.Synced, lag: 40 * time.Second},
		{name: "in sync by updated_since", facts: []fact{func(f *status.Facts) { f.Scan = nil }}, want: replication.Synced, lag: 30 * time.Second},
		{name: "a pass at work", facts: []fact{running, noPass}, want: replication.Synced, lag: 40 * time.Second},
		{name: "writing", facts: []fact{running, progress(func(g *replication.Progress) { g.Status, g.Work = replication.Syncing, &replication.Work{} })},
			want: replication.Syncing, lag: 40 * time.Second},
		{name: "stopped", facts: []fact{stopped, noPass, noScan, failed(replication.Denied)}, want: replication.Stopped,
			says: []string{"stopped by the operator: maintenance"}, lag: time.Hour},
		{name: "stopped with trouble", facts: []fact{stopped, drifted, unsynced, held}, want: replication.Stopped,
			says: []string{"stopped", "too many deletions", "2 unsynced objects", "2 objects changed on the replica"}, lag: 50 * time.Minute},
		{name: "held", facts: []fact{held}, want: replication.Held, says: []string{"too many deletions"}, lag: 50 * time.Minute},
		{name: "refused", facts: []fact{failed(replication.Denied)}, want: replication.Blocked, says: []string{"it failed"}, lag: time.Hour},
		{name: "foreign answers", facts: []fact{failed(replication.Foreign)}, want: replication.Blocked, says: []string{"it failed"}, lag: time.Hour},
		{name: "local trouble", facts: []fact{failed(replication.Local)}, want: replication.Blocked, says: []string{"it failed"}, lag: time.Hour},
		{name: "failing", facts: []fact{failed(replication.Transient)}, want: replication.Retrying, says: []string{"it failed"}, lag: time.Hour},
		{name: "no answer", facts: []fact{failed(replication.Unreachable)}, want: status.Unreachable, says: []string{"it failed"}, lag: time.Hour},
		{name: "the replica is down", facts: []fact{down("eu")}, want: status.Unreachable, says: []string{"server eu is unreachable since 2026-11-25T11:48:00Z"}, lag: 12 * time.Minute},
		{name: "the primary is down, said once", facts: []fact{down("primary"), failed(replication.Unreachable), scanFailed(replication.Unreachable, 13*time.Minute)},
			want: status.Unreachable, says: []string{"server primary"}, lag: time.Hour},
		{name: "unsynced objects", facts: []fact{unsynced}, want: replication.Retrying, says: []string{"2 unsynced objects"}, lag: 20 * time.Minute},
		{name: "one unsynced object", facts: []fact{unsynced, progress(func(g *replication.Progress) { g.Unsynced = 1 })},
			want: replication.Retrying, says: []string{"1 unsynced object"}, lag: 20 * time.Minute},
		{name: "unsynced objects of an older version", facts: []fact{progress(func(g *replication.Progress) { g.Unsynced = 1 })},
			want: replication.Retrying, says: []string{"1 unsynced object"}, lag: 40 * time.Second},
		{name: "drift", facts: []fact{drifted}, want: status.Drifted, says: []string{"2 objects changed on the replica, as found at 2026-11-25T10:00:00Z"}, lag: 40 * time.Second},
		{name: "repaired drift", facts: []fact{drifted, progress(func(g *replication.Progress) { g.Drift.Repaired = 3 })}, want: replication.Synced, lag: 40 * time.Second},
		{name: "a dead daemon", facts: []fact{noPass, noScan}, want: status.Stale, says: []string{"last scanned for changes 5m1s ago", "last pass 30s ago; is the daemon running?"}, lag: 5*time.Minute + time.Second},
		{name: "a pass that is a little late", facts: []fact{progress(func(g *replication.Progress) { g.NextRun = ago(2 * time.Minute) })}, want: replication.Synced, lag: 40 * time.Second},
		{name: "a dead scanner", facts: []fact{noScan}, want: status.Stale, says: []string{"last scanned for changes 5m1s ago"}, lag: 5*time.Minute + time.Second},
		{name: "scans that take long", facts: []fact{scan(func(s *journal.LastScan) { s.Ended, s.Good = ago(20*time.Minute), ago(30*time.Minute) })}, want: replication.Synced, lag: 30 * time.Minute},
		{name: "a clock that was ahead", facts: []fact{progress(func(g *replication.Progress) {
			g.LastSuccess, g.NextRun = noon().Add(time.Hour), noon().AddDate(1, 0, 0)
		}), func(f *status.Facts) { f.Scan = nil }},
			want: replication.Synced},
		{name: "no scan is recorded", facts: []fact{scan(func(s *journal.LastScan) { *s = journal.LastScan{} })}, want: status.Stale, says: []string{"no scan of the primary is recorded"}, unsure: true},
		{name: "a scan that failed", facts: []fact{scanFailed(replication.Transient, 2*time.Minute)}, want: replication.Retrying,
			says: []string{"can't be scanned for changes since 2026-11-25T11:58:00Z: 503: maintenance"}, lag: 2 * time.Minute},
		{name: "scans that fail for long", facts: []fact{scanFailed(replication.Transient, time.Hour)}, want: status.Stale, says: []string{"since 2026-11-25T11:00:00Z"}, lag: time.Hour},
		{name: "a scanner that waits after failures", facts: []fact{noScan, scanFailed(replication.Denied, 20*time.Minute)}, want: replication.Blocked, says: []string{"can't be scanned"}, lag: 20 * time.Minute},
		{name: "a scanner that died after failures", facts: []fact{scanFailed(replication.Denied, time.Hour), scan(func(s *journal.LastScan) { s.Ended = ago(time.Hour) })},
			want: replication.Blocked, says: []string{"can't be scanned", "last scanned for changes 1h ago"}, lag: time.Hour},
		{name: "scans that are refused", facts: []fact{scanFailed(replication.Denied, 2*time.Minute)}, want: replication.Blocked, says: []string{"can't be scanned"}, lag: 2 * time.Minute},
		{name: "scans without an answer", facts: []fact{scanFailed(replication.Unreachable, 2*time.Minute)}, want: status.Unreachable, says: []string{"can't be scanned"}, lag: 2 * time.Minute},
		{name: "scans that never succeeded", facts: []fact{scanFailed(replication.Transient, 0), scan(func(s *journal.LastScan) { s.Good, s.FailingSince = time.Time{}, ago(time.Hour) })},
			want: status.Stale, says: []string{"the primary can't be scanned for changes: 503"}, unsure: true},
		{name: "a kind that can't be read", facts: []fact{unread(object.Role, ago(3*time.Minute))}, want: replication.Retrying,
			says: []string{"roles of the primary not read since 2026-11-25T11:57:00Z: 403"}, lag: 3 * time.Minute},
		{name: "kinds that can't be read for long", facts: []fact{unread(object.Cookbook, ago(time.Hour)), unread(object.Role, ago(2*time.Hour))}, want: status.Stale,
			says: []string{"roles of the primary", "cookbooks of the primary"}, lag: 2 * time.Hour},
		{name: "a kind that was never read", facts: []fact{unread(object.DataBagItem, time.Time{})}, want: status.Stale, says: []string{"data bags of the primary never read"}, unsure: true},
		{name: "a kind that isn't selected", facts: []fact{unread(object.Role, ago(time.Hour)), func(f *status.Facts) { f.Pair.Kinds = []object.Kind{object.Cookbook} }},
			want: replication.Synced, lag: 40 * time.Second},
		{name: "a full comparison was asked for", facts: []fact{desired(func(d *replication.Desired) { d.ResyncAt = ago(10 * time.Second) })}, want: replication.Syncing,
			says: []string{"a full comparison was asked for"}, lag: 40 * time.Second},
		{name: "a full comparison was made", facts: []fact{desired(func(d *replication.Desired) { d.ResyncAt = ago(6 * time.Hour) })}, want: replication.Synced, lag: 40 * time.Second},
		{name: "objects are to be compared", facts: []fact{desired(func(d *replication.Desired) {
			d.ResyncObjectsAt, d.ResyncObjects = ago(time.Second), []object.Ref{{Kind: object.Role, Name: "web"}}
		})}, want: replication.Syncing, says: []string{"a comparison of 1 object was asked for"}, lag: 40 * time.Second},
		{name: "differences that a verification found", facts: []fact{progress(func(g *replication.Progress) {
			g.Status, g.Pending, g.LastCheck, g.Dirty = replication.Syncing, 3, ago(5*time.Minute), []object.Ref{{Kind: object.Role}}
		})}, want: replication.Syncing, says: []string{"3 differences of the last verification not applied yet"}, lag: 5 * time.Minute},
		{name: "work is left", facts: []fact{progress(func(g *replication.Progress) { g.Status, g.Work = replication.Syncing, &replication.Work{} })}, want: replication.Syncing,
			says: []string{"work is left for the next pass"}, lag: 40 * time.Second},
		{name: "never run", facts: []fact{progress(func(g *replication.Progress) { *g = replication.Progress{} }), func(f *status.Facts) { f.Scan = nil }},
			want: replication.Bootstrapping, says: []string{"never run"}, unsure: true},
		{name: "a record that says more than its times", facts: []fact{progress(func(g *replication.Progress) { *g = replication.Progress{Status: replication.Blocked} }), func(f *status.Facts) { f.Scan = nil }},
			want: replication.Blocked, unsure: true},
		{name: "the first pass is at work", facts: []fact{progress(func(g *replication.Progress) {
			*g = replication.Progress{Status: replication.Bootstrapping, Work: &replication.Work{Full: true}}
		}), running}, want: replication.Bootstrapping, unsure: true},
		{name: "the first pass died", facts: []fact{progress(func(g *replication.Progress) {
			*g = replication.Progress{Status: replication.Bootstrapping, Work: &replication.Work{Full: true, Started: ago(time.Hour)}}
		}), func(f *status.Facts) {
			f.State.Lease = replication.Lease{Owner: "vm:1", Expires: ago(10 * time.Minute)}
		}},
			want: status.Stale, says: []string{"the first pass was broken off 10m ago; is the daemon running?", "the next one goes on with it"}, unsure: true},
		{name: "all of it, worst first", facts: []fact{drifted, unsynced, noPass, noScan, down("eu"), held, failed(replication.Denied)}, want: replication.Blocked,
			says: []string{"it failed", "too many deletions", "server eu", "last scanned", "last pass", "2 unsynced objects", "2 objects changed"}, lag: time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := synced()
			for _, change := range c.facts {
				change(&f)
			}
			got := status.Of(f)
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

// TestEveryTroubleKeepsAPairFromBeingSynced, whatever the engine recorded.
func TestEveryTroubleKeepsAPairFromBeingSynced(t *testing.T) {
	troubles := map[string]fact{
		"held": held, "unsynced": unsynced, "drifted": drifted, "no pass": noPass, "no scan": noScan, "down": down("eu"), "failed": failed(replication.Transient),
		"scan failed": scanFailed(replication.Transient, time.Minute), "unread": unread(object.Role, ago(time.Minute)), "stopped": stopped,
	}
	for name, trouble := range troubles {
		for other, second := range troubles {
			f := synced()
			trouble(&f)
			second(&f)
			r := status.Of(f)
			if r.Status == replication.Synced || len(r.Reasons) == 0 {
				t.Errorf("%s and %s: %s", name, other, r.Status)
			}
			if !slices.IsSortedFunc(r.Reasons, func(a, b status.Reason) int { return worse(a.Status) - worse(b.Status) }) || r.Status != r.Reasons[0].Status {
				t.Errorf("%s and %s: %s, reasons %+v; want the worst first", name, other, r.Status, r.Reasons)
			}
		}
	}
}

func worse(s replication.Status) int {
	return slices.Index([]replication.Status{replication.Stopped, replication.Blocked, replication.Held, status.Unreachable, status.Stale,
		replication.Retrying, status.Drifted, replication.Bootstrapping, replication.Syncing}, s)
}

func TestHintsFitWhereThePairRuns(t *testing.T) {
	for name, c := range map[string]struct {
		trouble     fact
		here, stack string
	}{
		"no pass":   {noPass, "chef-sync-ctl run", "chef-sync-ctl doctor, then: chef-sync-ctl manager-log"},
		"no scan":   {noScan, "chef-sync-ctl run, or: chef-sync-ctl serve-changes", "chef-sync-ctl doctor, then: chef-sync-ctl manager-log"},
		"never run": {progress(func(g *replication.Progress) { *g = replication.Progress{} }), "chef-sync-ctl run", "wait for its schedule, or: chef-sync-ctl run --once eu/acme"},
	} {
		for _, stack := range []bool{false, true} {
			f := synced()
			c.trouble(&f)
			f.Stack = stack
			want := c.here
			if stack {
				want = c.stack
			}
			if got := status.Of(f); len(got.Reasons) != 1 || got.Reasons[0].Hint != want {
				t.Errorf("%s, on a stack %v: %+v, want %q", name, stack, got.Reasons, want)
			}
		}
	}
}

func TestPatienceCoversWhatStandsForLaterPolls(t *testing.T) {
	if got, want := status.PatienceFor(time.Minute, 0), (status.Patience{Pass: 2 * time.Minute, Scan: 5 * time.Minute}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := status.PatienceFor(time.Minute, 4*time.Minute), (status.Patience{Pass: 6 * time.Minute, Scan: 6 * time.Minute}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestPendingCountsWhatWasAskedFor(t *testing.T) {
	f := synced()
	f.State.Desired.ResyncObjectsAt, f.State.Desired.ResyncObjects = noon(), make([]object.Ref, 2)
	f.State.Progress.Pending = 1
	if got := status.Of(f).Pending; got != 3 {
		t.Errorf("%d pending, want 3", got)
	}
	f.State.Desired.ResyncAt = noon()
	if got := status.Of(f).Pending; got != 7 {
		t.Errorf("%d pending for a full comparison of 7 objects", got)
	}
}
