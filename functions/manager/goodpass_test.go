package manager

import (
	"testing"
	"time"

	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// TestACopyInProgressRaisesNoAlarm: a first copy that takes hours is made of passes that
// end in good order, and the age of the last good pass stays small. That of the last
// success says how long it takes.
func TestACopyInProgressRaisesNoAlarm(t *testing.T) {
	began := testNow().Add(-5 * time.Hour)
	copying := replication.Progress{Status: replication.Bootstrapping, Since: began, LastAttempt: testNow().Add(-time.Minute),
		Work: &replication.Work{Full: true, Started: began, After: "/roles/m"}}
	for name, c := range map[string]struct {
		change func(*replication.Progress)
		want   time.Duration
	}{
		"gets on":        {func(*replication.Progress) {}, time.Minute},
		"fails":          {func(g *replication.Progress) { g.Status, g.Failures = replication.Retrying, 1 }, 5 * time.Hour},
		"is held":        {func(g *replication.Progress) { g.Status, g.Hold = replication.Held, &replication.Hold{} }, 5 * time.Hour},
		"its passes die": {func(g *replication.Progress) { g.LastAttempt = time.Time{} }, 5 * time.Hour},
		"a later compare gets on": {func(g *replication.Progress) {
			g.Status, g.LastSuccess = replication.Syncing, testNow().Add(-3*time.Hour)
		}, time.Minute},
		"no work is left, and no pass comes": {func(g *replication.Progress) {
			g.Status, g.Work, g.LastSuccess, g.LastAttempt = replication.Synced, nil, testNow().Add(-3*time.Hour), testNow().Add(-3*time.Hour)
		}, 3 * time.Hour},
	} {
		g := copying
		c.change(&g)
		m := assessPair(testPair("acme"), replication.PairState{Progress: g}).metricValues()
		if got := time.Duration(m[cloud.MetricOldestGoodPassAge].Number) * time.Second; got != c.want {
			t.Errorf("a copy that %s: age %s, want %s", name, got, c.want)
		}
		if got := time.Duration(m["OldestSuccessAge"].Number) * time.Second; got < 3*time.Hour {
			t.Errorf("a copy that %s: the last success is %s ago", name, got)
		}
	}
}
