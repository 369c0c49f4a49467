package schedule_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
	"chefsync/pkg/schedule"
)

const group = "chef-sync"

func stack() cloud.Resources {
	const at = "us-east-1:111122223333:"
	return cloud.Resources{
		Stack: "chef-sync", ScheduleGroup: group,
		SyncARN: "arn:aws:lambda:" + at + "function:chef-sync-sync", ChangesARN: "arn:aws:lambda:" + at + "function:chef-sync-changes",
		ScheduleRole: "arn:aws:iam::111122223333:role/schedules", DeadLetterARN: "arn:aws:sqs:" + at + "dead",
	}
}

func engineering() replication.PairID {
	return replication.PairID{Replica: "eu", Org: "engineering"}
}

// desired are the schedules of pairs, each polled every five minutes.
func desired(t *testing.T, ids ...replication.PairID) []schedule.Schedule {
	t.Helper()
	var pairs []schedule.Pair
	for _, id := range ids {
		pairs = append(pairs, schedule.Pair{ID: id, Interval: 5 * time.Minute})
	}
	all, warnings, err := schedule.Desired(stack(), pairs, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	return all
}

// pairs are n pairs.
func pairs(n int) (ids []replication.PairID) {
	for i := range n {
		ids = append(ids, replication.PairID{Replica: "eu", Org: fmt.Sprintf("org-%04d", i)})
	}
	return ids
}

func TestAPairHasAScheduleThatSendsItsEvent(t *testing.T) {
	all, _, err := schedule.Desired(stack(), []schedule.Pair{{ID: engineering(), Interval: time.Minute}}, nil)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	want := schedule.Schedule{
		Name: schedule.PairName(engineering()), Of: "pair eu/engineering", Minutes: 1, Enabled: true,
		Description: "Replicates pair eu/engineering. Made by Chef Replication from its configuration; changes by hand are undone.",
		Input:       `{"pair":"eu/engineering","trigger":"schedule"}`, Target: stack().SyncARN, Role: stack().ScheduleRole, DeadLetters: stack().DeadLetterARN,
	}
	if all[0] != want {
		t.Errorf("schedule %+v\nwant     %+v", all[0], want)
	}
}

func TestASourceHasAScheduleThatScansIt(t *testing.T) {
	all, _, err := schedule.Desired(stack(), nil, []schedule.Source{{Name: "engineering", Interval: 2 * time.Minute}})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	var event cloud.ChangesEvent
	if err := json.Unmarshal([]byte(all[0].Input), &event); err != nil || event != (cloud.ChangesEvent{Source: "engineering", Trigger: cloud.TriggerSchedule}) {
		t.Errorf("event %+v, %v", event, err)
	}
	if s := all[0]; s.Target != stack().ChangesARN || s.Minutes != 2 || !s.Enabled || !strings.HasPrefix(s.Name, "scan-engineering-") {
		t.Errorf("schedule %+v", s)
	}
}

func TestAStoppedPairHasADisabledSchedule(t *testing.T) {
	all, _, err := schedule.Desired(stack(), []schedule.Pair{{ID: engineering(), Interval: time.Minute, Stopped: true}}, nil)
	if err != nil || len(all) != 1 || all[0].Enabled {
		t.Errorf("schedules %+v, %v", all, err)
	}
}

// TestNamesStay: another name for the same pair would leave the old schedule
// firing until a reconcile.
func TestNamesStay(t *testing.T) {
	for got, want := range map[string]string{
		schedule.PairName(engineering()):   "sync-eu-engineering-463194c2",
		schedule.PairName(longPair()):      "sync-eu-" + strings.Repeat("o", 47) + "-a97e2093",
		schedule.SourceName("engineering"): "scan-engineering-41e4d7d4",
		schedule.SourceName("a b/c@d.é"):   "scan-a-b-c-d.--a5c1c94f",
	} {
		if got != want {
			t.Errorf("name %s, want %s", got, want)
		}
	}
}

func longPair() replication.PairID {
	return replication.PairID{Replica: "eu", Org: strings.Repeat("o", 255)}
}

func TestNamesAreFitAndDistinct(t *testing.T) {
	fit := regexp.MustCompile(`^[0-9a-zA-Z-_.]{1,64}$`)
	part := rapid.StringMatching(`[a-z0-9_-]{1,4}|[a-z]{60,255}`)
	rapid.Check(t, func(t *rapid.T) {
		a := replication.PairID{Replica: part.Draw(t, "replica"), Org: part.Draw(t, "org")}
		b := replication.PairID{Replica: part.Draw(t, "other replica"), Org: part.Draw(t, "other org")}
		if name := schedule.PairName(a); !fit.MatchString(name) {
			t.Errorf("%s: name %q", a, name)
		}
		if (a == b) != (schedule.PairName(a) == schedule.PairName(b)) {
			t.Errorf("%s and %s: names %s and %s", a, b, schedule.PairName(a), schedule.PairName(b))
		}
	})
	if a, b := (replication.PairID{Replica: "eu-a", Org: "b"}), (replication.PairID{Replica: "eu", Org: "a-b"}); schedule.PairName(a) == schedule.PairName(b) {
		t.Errorf("%s and %s have the same name", a, b)
	}
}

func TestAnIntervalIsRoundedAndSaidSo(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		minutes  int
		warned   bool
	}{
		{time.Minute, 1, false},
		{time.Hour, 60, false},
		{30 * time.Second, 1, true},
		{0, 1, true},
		{90 * time.Second, 1, true},
		{3*time.Minute - time.Nanosecond, 2, true},
	} {
		all, warnings, err := schedule.Desired(stack(), []schedule.Pair{{ID: engineering(), Interval: c.interval}}, nil)
		if err != nil || all[0].Minutes != c.minutes {
			t.Errorf("%s becomes %d minutes, %v; want %d", c.interval, all[0].Minutes, err, c.minutes)
		}
		if said := strings.Join(warnings, "\n"); (said != "") != c.warned || c.warned && !strings.Contains(said, "pair eu/engineering") {
			t.Errorf("%s: warnings %q", c.interval, said)
		}
	}
}

func TestAnIncompleteStackIsRefused(t *testing.T) {
	sources := []schedule.Source{{Name: "engineering", Interval: time.Minute}}
	for output, change := range map[string]func(*cloud.Resources){
		"SyncArn":       func(r *cloud.Resources) { r.SyncARN = "" },
		"ScheduleRole":  func(r *cloud.Resources) { r.ScheduleRole = "" },
		"DeadLetterArn": func(r *cloud.Resources) { r.DeadLetterARN = "" },
		"ChangesArn":    func(r *cloud.Resources) { r.ChangesARN = "" },
	} {
		r := stack()
		change(&r)
		if _, _, err := schedule.Desired(r, nil, sources); err == nil || !strings.Contains(err.Error(), output) || replication.HintOf(err) == "" {
			t.Errorf("without %s: error %v", output, err)
		}
	}
	r := stack()
	r.ChangesARN = ""
	if _, _, err := schedule.Desired(r, nil, nil); err != nil {
		t.Errorf("a stack without a journal, and no source: %v", err)
	}
}

func TestAPairThatIsNamedTwiceIsRefused(t *testing.T) {
	p := schedule.Pair{ID: engineering(), Interval: time.Minute}
	if _, _, err := schedule.Desired(stack(), []schedule.Pair{p, p}, nil); err == nil || !strings.Contains(err.Error(), "pair eu/engineering") {
		t.Errorf("error %v", err)
	}
}
