package manager

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func patience() status.Tolerance { return status.ToleranceFor(time.Minute, cloud.NoteEvery) }

func noon() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

func pair(org string) config.PairConfig {
	return config.PairConfig{Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: org}, Interval: time.Minute, CompareEvery: 15 * time.Minute}}
}

// look oversees one pair with one record.
func look(p config.PairConfig, st replication.PairState) overview {
	st.ID = p.ID
	return oversee([]config.PairConfig{p}, map[replication.PairID]replication.PairState{p.ID: st}, nil, nil, patience(), noon())
}

func said(o overview) string {
	var all []string
	for _, f := range o.findings {
		all = append(all, f.message)
	}
	return strings.Join(all, "; ")
}

func TestAManagerNotices(t *testing.T) {
	ago := func(d time.Duration) time.Time { return noon().Add(-d) }
	feed := &replication.Position{Seq: 7}
	for _, c := range []struct {
		name  string
		state replication.PairState
		says  string // "" for nothing
	}{
		{"a pair in sync", replication.PairState{Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(time.Minute), LastSuccess: ago(time.Minute)}}, ""},
		{"a pair that nobody works on", replication.PairState{}, "never worked on"},
		{"an overdue pair", replication.PairState{Progress: replication.Progress{Status: replication.Syncing, Position: feed, LastAttempt: ago(time.Minute), LastSuccess: ago(11 * time.Minute)}}, "overdue"},
		{"a pair without a feed between compares", replication.PairState{Progress: replication.Progress{Status: replication.Synced, LastAttempt: ago(14 * time.Minute), LastSuccess: ago(14 * time.Minute)}}, ""},
		{"a bootstrap that takes too long", replication.PairState{Progress: replication.Progress{Status: replication.Bootstrapping, Since: ago(time.Hour), LastAttempt: ago(time.Minute)}}, "overdue"},
		{"a held pair", replication.PairState{Progress: replication.Progress{Status: replication.Held, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0), Hold: &replication.Hold{Reason: "too much"}}}, "the pair is held"},
		{"a blocked pair", replication.PairState{Progress: replication.Progress{Status: replication.Blocked, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0)}}, "blocked"},
		{"unsynced objects", replication.PairState{Progress: replication.Progress{Status: replication.Retrying, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0), Unsynced: 3}}, "unsynced objects"},
		{"a lease of a dead pass", replication.PairState{Lease: replication.Lease{Owner: "gone", Expires: ago(time.Minute)}, Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0)}}, "a pass died"},
		{"a held lease", replication.PairState{Lease: replication.Lease{Owner: "alive", Expires: noon().Add(time.Minute)}, Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0)}}, ""},
		{"a pair stopped long ago", replication.PairState{Desired: replication.Desired{Stopped: true}, Progress: replication.Progress{Position: feed, LastAttempt: ago(9 * time.Hour), LastSuccess: ago(9 * time.Hour)}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(look(pair("acme"), c.state)); (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
				t.Errorf("says %q, want %q", got, c.says)
			}
		})
	}
}

// A pass that dies records no attempt, and one that fails changes the status: what
// it began with tells how long there was no success.
func TestAFirstPassThatNeverEndsGrowsOld(t *testing.T) {
	ago := func(d time.Duration) time.Time { return noon().Add(-d) }
	work := &replication.Work{Full: true, Started: ago(time.Hour)}
	for name, g := range map[string]replication.Progress{
		"it dies each time":   {Status: replication.Bootstrapping, Since: ago(time.Hour), Work: work},
		"it fails each time":  {Status: replication.Retrying, Since: ago(time.Minute), LastAttempt: ago(time.Minute), Work: work},
		"it fails at reading": {Status: replication.Retrying, Since: ago(time.Hour), LastAttempt: ago(time.Minute)},
	} {
		o := look(pair("acme"), replication.PairState{Progress: g})
		if o.oldest != time.Hour || o.counts["Overdue"] != 1 || !strings.Contains(said(o), "overdue") || strings.Contains(said(o), "never") {
			t.Errorf("%s: age %s, says %q; want it overdue for an hour", name, o.oldest, said(o))
		}
	}
}

func TestNewsAreSaidAtOnceAndThenHourly(t *testing.T) {
	f := finding{since: noon()}
	var at []int
	for turn := range 30 { // two and a half hours
		if f.due(noon().Add(time.Duration(turn)*period + time.Minute)) {
			at = append(at, turn)
		}
	}
	if !slices.Equal(at, []int{0, 12, 24}) {
		t.Errorf("said in turns %v", at)
	}
}

func TestVerificationsAreStartedWhenDueAndFewAtOnce(t *testing.T) {
	var pairs []config.PairConfig
	records := map[replication.PairID]replication.PairState{}
	for i := range verifyAtOnce + 5 {
		p := pair("org-" + string(rune('a'+i)))
		p.VerifyEvery = 24 * time.Hour
		pairs = append(pairs, p)
		records[p.ID] = replication.PairState{Progress: replication.Progress{Status: replication.Synced, LastAttempt: noon(), LastSuccess: noon(), LastCompare: noon().Add(-48 * time.Hour), LastCheck: noon().Add(-25 * time.Hour)}}
	}
	fresh, busy, never := pairs[0].ID, pairs[1].ID, pairs[2]
	set := func(id replication.PairID, change func(*replication.Progress)) {
		st := records[id]
		change(&st.Progress)
		records[id] = st
	}
	set(fresh, func(g *replication.Progress) { g.LastCheck = noon().Add(-time.Hour) })
	set(busy, func(g *replication.Progress) { g.Status = replication.Syncing })
	pairs[2].VerifyEvery = 0
	o := oversee(pairs, records, nil, nil, patience(), noon())
	if len(o.verify) != verifyAtOnce || slices.Contains(o.verify, fresh) || slices.Contains(o.verify, busy) || slices.Contains(o.verify, never.ID) {
		t.Errorf("verifies %v", o.verify)
	}
}

// TestVerificationsThatNeverEndKeepNobodyWaiting: all pairs stay due, and yet each
// gets its turn.
func TestVerificationsThatNeverEndKeepNobodyWaiting(t *testing.T) {
	var pairs []config.PairConfig
	records := map[replication.PairID]replication.PairState{}
	for i := range 2*verifyAtOnce + 5 {
		p := pair(fmt.Sprintf("org-%d", i))
		p.VerifyEvery = 24 * time.Hour
		pairs = append(pairs, p)
		records[p.ID] = replication.PairState{Progress: replication.Progress{Status: replication.Synced, LastCompare: noon().Add(-48 * time.Hour)}}
	}
	started := map[replication.PairID]bool{}
	for i := range 5 {
		for _, id := range oversee(pairs, records, nil, nil, patience(), noon().Add(time.Duration(i)*period)).verify {
			started[id] = true
		}
	}
	if len(started) != len(pairs) {
		t.Errorf("%d of %d pairs got a turn", len(started), len(pairs))
	}
}

func TestMetricsCoverAllPairsAndAreNeverLeftOut(t *testing.T) {
	empty := oversee(nil, nil, nil, nil, patience(), noon()).metrics()
	o := look(pair("acme"), replication.PairState{Progress: replication.Progress{Status: replication.Retrying, Position: &replication.Position{}, LastAttempt: noon(), LastSuccess: noon().Add(-20 * time.Minute), Unsynced: 2, Pending: 5}})
	full := o.metrics()
	if len(empty) != len(full) {
		t.Errorf("%d metrics without pairs, %d with one", len(empty), len(full))
	}
	for name, want := range map[string]float64{"Pairs": 1, "Retrying": 1, "Overdue": 1, "Unsynced": 2, "Pending": 5, "OldestSuccessAge": 1200, "Synced": 0} {
		if full[name].Number != want {
			t.Errorf("%s is %v, want %v", name, full[name].Number, want)
		}
	}
}

func TestPairsThatWaitForAPersonAreOneMetric(t *testing.T) {
	pairs := []config.PairConfig{pair("held"), pair("blocked"), pair("well")}
	records := map[replication.PairID]replication.PairState{
		pairs[0].ID: {Progress: replication.Progress{Status: replication.Held, Hold: &replication.Hold{}}},
		pairs[1].ID: {Progress: replication.Progress{Status: replication.Blocked, LastAttempt: noon(), LastError: &replication.Failure{At: noon(), Class: fault.Denied}}},
		pairs[2].ID: {Progress: replication.Progress{Status: replication.Synced}},
	}
	if got := oversee(pairs, records, nil, nil, patience(), noon()).metrics()["Waiting"].Number; got != 2 {
		t.Errorf("%v pairs wait, want 2", got)
	}
}

// TestAManagerNoticesThatThePrimaryIsNotRead: polls of the journal succeed all the
// while.
func TestAManagerNoticesThatThePrimaryIsNotRead(t *testing.T) {
	ago := func(d time.Duration) time.Time { return noon().Add(-d) }
	good := journal.LastScan{Ended: ago(time.Minute), Good: ago(2 * time.Minute)}
	roles := []journal.Unread{{Kind: object.Role, Since: ago(3 * time.Hour), Failing: ago(170 * time.Minute), Error: "403"}}
	for _, c := range []struct {
		name   string
		scan   journal.LastScan
		says   string // "" for nothing
		age    time.Duration
		synced float64
	}{
		{"all is read", good, "", 2 * time.Minute, 1},
		{"maintenance", journal.LastScan{Ended: ago(time.Minute), Good: ago(2 * time.Hour), Failures: 9, FailingSince: ago(119 * time.Minute), Error: "503"}, "can't be scanned", 2 * time.Hour, 0},
		{"a kind that is refused", journal.LastScan{Ended: ago(time.Minute), Good: ago(2 * time.Minute), Partial: 1, Unread: roles}, "can't read all", 3 * time.Hour, 0},
		{"a kind that never was read", journal.LastScan{Ended: ago(time.Minute), Good: ago(2 * time.Minute), Partial: 1,
			Unread: []journal.Unread{{Kind: object.Role, Failing: ago(4 * time.Hour)}}}, "can't read all", 4 * time.Hour, 0},
		{"no scan succeeded yet", journal.LastScan{Ended: ago(time.Minute), Failures: 2, FailingSince: ago(time.Hour), Error: "503"}, "can't be scanned", time.Hour, 0},
		{"nobody scans", journal.LastScan{Ended: ago(time.Hour), Good: ago(time.Hour)}, "not scanned any more", time.Hour, 0},
	} {
		p := pair("acme")
		p.SourceOrg = "source"
		st := replication.PairState{ID: p.ID, Progress: replication.Progress{Status: replication.Synced, Feed: journal.Name, Position: &replication.Position{Seq: 7},
			LastAttempt: ago(time.Minute), LastSuccess: ago(time.Minute), LastCompare: ago(time.Hour), NextRun: noon()}}
		records := map[replication.PairID]replication.PairState{p.ID: st}
		o := oversee([]config.PairConfig{p}, records, scans{"source": c.scan}, nil, patience(), noon())
		m := o.metrics()
		if got := said(o); (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: says %q, want %q", c.name, got, c.says)
		}
		if m[cloud.MetricOldestGoodScanAge].Number != c.age.Seconds() || m[cloud.MetricOldestGoodPassAge].Number != 60 || m["Synced"].Number != c.synced {
			t.Errorf("%s: metrics %v, want a scan age of %s and %v synced", c.name, m, c.age, c.synced)
		}
		st.Desired.Stopped = true
		if readsScans(st) {
			t.Errorf("%s: the scans of a stopped pair count", c.name)
		}
	}
}

func TestAManagerNoticesKnownDrift(t *testing.T) {
	o := look(pair("acme"), replication.PairState{Progress: replication.Progress{Status: replication.Synced, Position: &replication.Position{}, LastAttempt: noon(), LastSuccess: noon(), LastCompare: noon(),
		Drift: &replication.Drift{At: noon(), Changed: 2}}})
	if got := said(o); !strings.Contains(got, "was not repaired") || o.metrics()["Synced"].Number != 0 {
		t.Errorf("says %q, %v synced", got, o.metrics()["Synced"])
	}
}

func TestFilesAreCheckedWhenDueAndNothingElseIsUnderWay(t *testing.T) {
	p := pair("acme")
	p.FilesEvery = 7 * 24 * time.Hour
	due := replication.Progress{Status: replication.Synced, LastAttempt: noon(), LastSuccess: noon(), LastCompare: noon().Add(-time.Hour)}
	underWay, checked, failing, unsynced := due, due, due, due
	failing.Status, failing.LastError = replication.Retrying, &replication.Failure{Message: "no route to host"}
	unsynced.Status, unsynced.Unsynced = replication.Retrying, 1
	underWay.Checking = &replication.Checking{Started: noon().Add(-time.Hour), At: noon().Add(-time.Minute), Owner: "another"}
	checked.Files = &replication.Files{Started: noon().Add(-time.Hour)}
	for name, c := range map[string]struct {
		progress replication.Progress
		starts   int
	}{"due": {due, 1}, "a verification is under way": {underWay, 0}, "checked an hour ago": {checked, 0},
		"an object is unsynced": {unsynced, 1}, "a server fails": {failing, 0}} {
		if o := look(p, replication.PairState{Progress: c.progress}); len(o.verify) != c.starts {
			t.Errorf("%s: starts %v", name, o.verify)
		}
	}
}
