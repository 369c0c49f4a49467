package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
)

// alarmAges are what the alarms on the oldest good scan and pass look at, as the manager
// wrote them last.
func (r *testStack) alarmAges() (scan, pass time.Duration) {
	r.t.Helper()
	r.runManager(cloud.TaskManage)
	found := false
	for _, l := range r.manager.Log() {
		var m map[string]any
		if !strings.Contains(l, cloud.MetricOldestGoodScanAge) || json.Unmarshal([]byte(l), &m) != nil {
			continue
		}
		found = true
		scan = time.Duration(m[cloud.MetricOldestGoodScanAge].(float64) * float64(time.Second))
		pass = time.Duration(m[cloud.MetricOldestGoodPassAge].(float64) * float64(time.Second))
	}
	if !found {
		r.t.Fatal("the manager wrote no metrics")
	}
	return scan, pass
}

// ageLastScan lets the newest good scan be older, as time would.
func (r *testStack) ageLastScan(by time.Duration) {
	r.t.Helper()
	ctx := context.Background()
	store, err := r.backend.ChangeLogs(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := config.ProcessLoader().Parse(config.FileName, []byte(r.configText()))
	if err != nil {
		r.t.Fatal(err)
	}
	space := c.Pairs()[0].Space
	last, err := store.LastScan(ctx, space)
	if err == nil {
		last.Good, last.FailingSince = last.Good.Add(-by), last.FailingSince.Add(-by)
		for i := range last.Unread {
			last.Unread[i].Since = last.Unread[i].Since.Add(-by)
		}
		err = store.RecordScan(ctx, space, last)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// tryScan sends the event for a scan, which may fail.
func (r *testStack) tryScan() cloud.ChangesResult {
	r.t.Helper()
	result, err := r.changes.Invoke(context.Background(), cloud.ChangesEvent{Source: orgName, Trigger: cloud.TriggerSchedule})
	if err != nil {
		r.t.Fatal(err)
	}
	var answer cloud.ChangesResult
	if err := result.Decode(&answer); err != nil {
		r.t.Fatal(err)
	}
	r.sync.Wait()
	return answer
}

// TestAnUnreadPrimaryRaisesTheMetricOfTheAlarm: while it is in maintenance, or
// refuses one kind, passes over the change log go on and succeed. The age of the oldest
// good scan crosses alarm_age all the same, and falls when the primary is read again.
func TestAnUnreadPrimaryRaisesTheMetricOfTheAlarm(t *testing.T) {
	t.Parallel()
	const alarmAge = time.Hour // the default
	for name, f := range map[string]cheftest.Fault{
		"in maintenance":         {Status: 503},
		"a kind that is refused": {Method: "GET", Path: "/cookbooks*", Status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTestStack(t, newMemoryServer(t, "primary", cheftest.Options{}), newMemoryServer(t, "eu", cheftest.Options{}))
			r.primaryConfig = "feed = \"journal\"\n"
			cheftest.Fill(r.primary.org)
			r.mustDeploy()
			scanSource(r)
			r.runPass()
			if scan, pass := r.alarmAges(); scan > time.Minute || pass > time.Minute {
				t.Fatalf("ages of a pair in sync: scan %s, pass %s", scan, pass)
			}
			fault := r.primary.mem.Fault(f)
			for range 2 {
				r.ageLastScan(alarmAge * 2 / 3)
				r.tryScan()
				r.runPass() // finds nothing in the change log
				r.alarmAges()
			}
			if scan, pass := r.alarmAges(); scan <= alarmAge || pass > time.Minute {
				t.Errorf("ages after %s: scan %s, pass %s; want the scan's above %s", alarmAge*4/3, scan, pass, alarmAge)
			}
			if log := r.manager.Log().String(); !strings.Contains(log, "\"source\":\"acme\"") {
				t.Errorf("the manager logs nothing about the source:\n%s", log)
			}
			fault.Remove()
			scanSource(r)
			if scan, _ := r.alarmAges(); scan > time.Minute {
				t.Errorf("age of the oldest good scan after the recovery: %s", scan)
			}
		})
	}
}
