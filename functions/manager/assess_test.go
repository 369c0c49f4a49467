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
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func testTolerance() status.Tolerance { return status.ToleranceFor(time.Minute, cloud.RecordEvery) }

func testNow() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

func testPair(org string) config.PairConfig {
	return config.PairConfig{Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: org}, Interval: time.Minute, CompareEvery: 15 * time.Minute}}
}

// assessPair assesses one pair with one record.
func assessPair(p config.PairConfig, st replication.PairState) assessment {
	st.ID = p.ID
	return assessPairs([]config.PairConfig{p}, map[replication.PairID]replication.PairState{p.ID: st}, nil, nil, testTolerance(), testNow())
}

func findingMessages(a assessment) string {
	var all []string
	for _, f := range a.findings {
		all = append(all, f.message)
	}
	return strings.Join(all, "; ")
}

func TestAssessFindings(t *testing.T) {
	ago := func(d time.Duration) time.Time { return testNow().Add(-d) }
	feed := &replication.Position{Seq: 7}
	for _, c := range []struct {
		name  string
		state replication.PairState
		want  string // "" for nothing
	}{
		{"a pair in sync", replication.PairState{Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(time.Minute), LastSuccess: ago(time.Minute)}}, ""},
		{"a pair that nobody works on", replication.PairState{}, "never had a pass"},
		{"an overdue pair", replication.PairState{Progress: replication.Progress{Status: replication.Syncing, Position: feed, LastAttempt: ago(time.Minute), LastSuccess: ago(11 * time.Minute)}}, "overdue"},
		{"a pair without a feed between compares", replication.PairState{Progress: replication.Progress{Status: replication.Synced, LastAttempt: ago(14 * time.Minute), LastSuccess: ago(14 * time.Minute)}}, ""},
		{"a bootstrap that takes too long", replication.PairState{Progress: replication.Progress{Status: replication.Bootstrapping, Since: ago(time.Hour), LastAttempt: ago(time.Minute)}}, "overdue"},
		{"a held pair", replication.PairState{Progress: replication.Progress{Status: replication.Held, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0), Hold: &replication.Hold{Reason: "too much"}}}, "the pair is held"},
		{"a blocked pair", replication.PairState{Progress: replication.Progress{Status: replication.Blocked, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0)}}, "blocked"},
		{"unsynced objects", replication.PairState{Progress: replication.Progress{Status: replication.Retrying, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0), Unsynced: 3}}, "unsynced objects"},
		{"a lease of a dead pass", replication.PairState{Lease: replication.Lease{Owner: "gone", Expires: ago(time.Minute)}, Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0)}}, "a pass died"},
		{"a held lease", replication.PairState{Lease: replication.Lease{Owner: "alive", Expires: testNow().Add(time.Minute)}, Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0)}}, ""},
		{"damaged files without drift", replication.PairState{Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0), Files: &replication.Files{Started: ago(time.Hour), Damaged: 2}}}, "damaged"},
		{"drift", replication.PairState{Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0), Drift: &replication.Drift{Changed: 1}}}, "changed on the replica"},
		{"a pair stopped long ago", replication.PairState{Desired: replication.Desired{Stopped: true}, Progress: replication.Progress{Position: feed, LastAttempt: ago(9 * time.Hour), LastSuccess: ago(9 * time.Hour)}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := findingMessages(assessPair(testPair("acme"), c.state)); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("finding %q, want %q", got, c.want)
			}
		})
	}
}

// TestAStoppedPairRaisesNoAlarm: what was left when its operator stopped it waits for its
// start, and an alarm would ring until then.
func TestAStoppedPairRaisesNoAlarm(t *testing.T) {
	st := replication.PairState{
		Lease: replication.Lease{Owner: "gone", Expires: testNow().Add(-time.Minute)},
		Progress: replication.Progress{Status: replication.Retrying, LastAttempt: testNow(), LastSuccess: testNow(), Unsynced: 3, Pending: 2,
			Drift: &replication.Drift{At: testNow(), Missing: 1}},
	}
	for _, stopped := range []bool{false, true} {
		st.Desired.Stopped = stopped
		a := assessPair(testPair("acme"), st)
		if got := a.metricValues()["Unsynced"].Number; (got == 0) != stopped || (len(a.findings) == 0) != stopped || a.counts["Stopped"] == 0 == stopped {
			t.Errorf("stopped %v: %v unsynced objects, findings %q, counts %v", stopped, got, findingMessages(a), a.counts)
		}
	}
}

// A pass that dies records no attempt, and one that fails changes the status: the start
// of its work tells how long there was no success.
func TestAFirstPassThatNeverEndsIsOverdue(t *testing.T) {
	ago := func(d time.Duration) time.Time { return testNow().Add(-d) }
	work := &replication.Work{Full: true, Started: ago(time.Hour)}
	for name, g := range map[string]replication.Progress{
		"it dies each time":   {Status: replication.Bootstrapping, Since: ago(time.Hour), Work: work},
		"it fails each time":  {Status: replication.Retrying, Since: ago(time.Minute), LastAttempt: ago(time.Minute), Work: work},
		"it fails at reading": {Status: replication.Retrying, Since: ago(time.Hour), LastAttempt: ago(time.Minute)},
	} {
		a := assessPair(testPair("acme"), replication.PairState{Progress: g})
		if a.successAge != time.Hour || a.counts["Overdue"] != 1 || !strings.Contains(findingMessages(a), "overdue") || strings.Contains(findingMessages(a), "never") {
			t.Errorf("%s: age %s, finding %q; want it overdue for an hour", name, a.successAge, findingMessages(a))
		}
	}
}

func TestFindingsAreLoggedAtOnceAndThenHourly(t *testing.T) {
	f := finding{since: testNow()}
	var at []int
	for turn := range 30 { // two and a half hours
		if f.shouldLog(testNow().Add(time.Duration(turn)*assessEvery + time.Minute)) {
			at = append(at, turn)
		}
	}
	if !slices.Equal(at, []int{0, 12, 24}) {
		t.Errorf("logged in runs %v", at)
	}
}

func TestVerificationsAreStartedWhenDueAndFewAtOnce(t *testing.T) {
	var pairs []config.PairConfig
	records := map[replication.PairID]replication.PairState{}
	for i := range maxVerifications + 5 {
		p := testPair("org-" + string(rune('a'+i)))
		p.VerifyEvery = 24 * time.Hour
		pairs = append(pairs, p)
		records[p.ID] = replication.PairState{Progress: replication.Progress{Status: replication.Synced, LastAttempt: testNow(), LastSuccess: testNow(), LastCompare: testNow().Add(-48 * time.Hour), LastCheck: testNow().Add(-25 * time.Hour)}}
	}
	fresh, busy, never := pairs[0].ID, pairs[1].ID, pairs[2]
	set := func(id replication.PairID, change func(*replication.Progress)) {
		st := records[id]
		change(&st.Progress)
		records[id] = st
	}
	set(fresh, func(g *replication.Progress) { g.LastCheck = testNow().Add(-time.Hour) })
	set(busy, func(g *replication.Progress) { g.Status = replication.Syncing })
	pairs[2].VerifyEvery = 0
	a := assessPairs(pairs, records, nil, nil, testTolerance(), testNow())
	if len(a.verify) != maxVerifications || slices.Contains(a.verify, fresh) || slices.Contains(a.verify, busy) || slices.Contains(a.verify, never.ID) {
		t.Errorf("verifies %v", a.verify)
	}
}

// TestVerificationsThatNeverEndDontBlockOthers: all pairs stay due, and yet each
// is started.
func TestVerificationsThatNeverEndDontBlockOthers(t *testing.T) {
	var pairs []config.PairConfig
	records := map[replication.PairID]replication.PairState{}
	for i := range 2*maxVerifications + 5 {
		p := testPair(fmt.Sprintf("org-%d", i))
		p.VerifyEvery = 24 * time.Hour
		pairs = append(pairs, p)
		records[p.ID] = replication.PairState{Progress: replication.Progress{Status: replication.Synced, LastCompare: testNow().Add(-48 * time.Hour)}}
	}
	started := map[replication.PairID]bool{}
	for i := range 5 {
		for _, id := range assessPairs(pairs, records, nil, nil, testTolerance(), testNow().Add(time.Duration(i)*assessEvery)).verify {
			started[id] = true
		}
	}
	if len(started) != len(pairs) {
		t.Errorf("%d of %d pairs were verified", len(started), len(pairs))
	}
}

func TestMetricsCoverAllPairsAndAreNeverLeftOut(t *testing.T) {
	empty := assessPairs(nil, nil, nil, nil, testTolerance(), testNow()).metricValues()
	a := assessPair(testPair("acme"), replication.PairState{Progress: replication.Progress{Status: replication.Retrying, Position: &replication.Position{}, LastAttempt: testNow(), LastSuccess: testNow().Add(-20 * time.Minute), Unsynced: 2, Pending: 5}})
	full := a.metricValues()
	if len(empty) != len(full) {
		t.Errorf("%d metrics without pairs, %d with one", len(empty), len(full))
	}
	for name, want := range map[string]float64{"Pairs": 1, "Retrying": 1, "Overdue": 1, "Unsynced": 2, "Pending": 5, "OldestSuccessAge": 1200, "Synced": 0} {
		if full[name].Number != want {
			t.Errorf("%s is %v, want %v", name, full[name].Number, want)
		}
	}
}

func TestPairsThatWaitForAnOperatorAreOneMetric(t *testing.T) {
	pairs := []config.PairConfig{testPair("held"), testPair("blocked"), testPair("well")}
	records := map[replication.PairID]replication.PairState{
		pairs[0].ID: {Progress: replication.Progress{Status: replication.Held, Hold: &replication.Hold{}}},
		pairs[1].ID: {Progress: replication.Progress{Status: replication.Blocked, LastAttempt: testNow(), LastError: &replication.Failure{At: testNow(), Class: fault.Denied}}},
		pairs[2].ID: {Progress: replication.Progress{Status: replication.Synced}},
	}
	if got := assessPairs(pairs, records, nil, nil, testTolerance(), testNow()).metricValues()["Waiting"].Number; got != 2 {
		t.Errorf("%v pairs wait, want 2", got)
	}
}

// TestAssessScans: polls of the change log succeed meanwhile.
func TestAssessScans(t *testing.T) {
	ago := func(d time.Duration) time.Time { return testNow().Add(-d) }
	good := changelog.LastScan{Ended: ago(time.Minute), Good: ago(2 * time.Minute)}
	roles := []changelog.Unread{{Kind: object.Role, Since: ago(3 * time.Hour), Failing: ago(170 * time.Minute), Error: "403"}}
	for _, c := range []struct {
		name   string
		scan   changelog.LastScan
		want   string // "" for nothing
		age    time.Duration
		synced float64
	}{
		{"all is read", good, "", 2 * time.Minute, 1},
		{"maintenance", changelog.LastScan{Ended: ago(time.Minute), Good: ago(2 * time.Hour), Failures: 9, FailingSince: ago(119 * time.Minute), Error: "503"}, "can't be scanned", 2 * time.Hour, 0},
		{"a kind that is refused", changelog.LastScan{Ended: ago(time.Minute), Good: ago(2 * time.Minute), Partial: 1, Unread: roles}, "can't read all", 3 * time.Hour, 0},
		{"a kind that never was read", changelog.LastScan{Ended: ago(time.Minute), Good: ago(2 * time.Minute), Partial: 1,
			Unread: []changelog.Unread{{Kind: object.Role, Failing: ago(4 * time.Hour)}}}, "can't read all", 4 * time.Hour, 0},
		{"no scan succeeded yet", changelog.LastScan{Ended: ago(time.Minute), Failures: 2, FailingSince: ago(time.Hour), Error: "503"}, "can't be scanned", time.Hour, 0},
		{"nobody scans", changelog.LastScan{Ended: ago(time.Hour), Good: ago(time.Hour)}, "no longer scanned", time.Hour, 0},
	} {
		p := testPair("acme")
		p.SourceOrg = "source"
		st := replication.PairState{ID: p.ID, Progress: replication.Progress{Status: replication.Synced, Feed: changelog.Name, Position: &replication.Position{Seq: 7},
			LastAttempt: ago(time.Minute), LastSuccess: ago(time.Minute), LastCompare: ago(time.Hour), NextRun: testNow()}}
		records := map[replication.PairID]replication.PairState{p.ID: st}
		a := assessPairs([]config.PairConfig{p}, records, lastScans{"source": c.scan}, nil, testTolerance(), testNow())
		m := a.metricValues()
		if got := findingMessages(a); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: finding %q, want %q", c.name, got, c.want)
		}
		if m[cloud.MetricOldestGoodScanAge].Number != c.age.Seconds() || m[cloud.MetricOldestGoodPassAge].Number != 60 || m["Synced"].Number != c.synced {
			t.Errorf("%s: metrics %v, want a scan age of %s and %v synced", c.name, m, c.age, c.synced)
		}
		st.Desired.Stopped = true
		if followsScans(st) {
			t.Errorf("%s: the scans of a stopped pair count", c.name)
		}
	}
}

func TestAssessDrift(t *testing.T) {
	a := assessPair(testPair("acme"), replication.PairState{Progress: replication.Progress{Status: replication.Synced, Position: &replication.Position{}, LastAttempt: testNow(), LastSuccess: testNow(), LastCompare: testNow(),
		Drift: &replication.Drift{At: testNow(), Changed: 2}}})
	if got := findingMessages(a); !strings.Contains(got, "was not repaired") || a.metricValues()["Synced"].Number != 0 {
		t.Errorf("finding %q, %v synced", got, a.metricValues()["Synced"])
	}
}

func TestFilesAreCheckedWhenDueAndNothingElseIsUnderWay(t *testing.T) {
	p := testPair("acme")
	p.FilesEvery = 7 * 24 * time.Hour
	due := replication.Progress{Status: replication.Synced, LastAttempt: testNow(), LastSuccess: testNow(), LastCompare: testNow().Add(-time.Hour)}
	underWay, checked, failing, unsynced := due, due, due, due
	failing.Status, failing.LastError = replication.Retrying, &replication.Failure{Message: "no route to host"}
	unsynced.Status, unsynced.Unsynced = replication.Retrying, 1
	underWay.Checking = &replication.Checking{Started: testNow().Add(-time.Hour), At: testNow().Add(-time.Minute), Owner: "another"}
	checked.Files = &replication.Files{Started: testNow().Add(-time.Hour)}
	for name, c := range map[string]struct {
		progress replication.Progress
		starts   int
	}{"due": {due, 1}, "a verification is under way": {underWay, 0}, "checked an hour ago": {checked, 0},
		"an object is unsynced": {unsynced, 1}, "a server fails": {failing, 0}} {
		if a := assessPair(p, replication.PairState{Progress: c.progress}); len(a.verify) != c.starts {
			t.Errorf("%s: starts %v", name, a.verify)
		}
	}
}
