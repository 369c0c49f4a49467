package manager

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/dynamo"
)

const notifyConfig = `[primary]
url = "https://chef.example.com"
user = "u"
key = "secretsmanager:p"
[[replica]]
name = "eu"
url = "https://eu.example.com"
user = "u"
key = "secretsmanager:eu"
[[organization]]
source = "acme"
[[organization]]
source = "lab"
`

// testManager is a manager on a fake AWS, with a clock that the test moves.
type testManager struct {
	*Handler
	aws *cloudtest.Server
	now time.Time
	log bytes.Buffer
}

func newTestManager(t *testing.T) *testManager {
	t.Helper()
	m := &testManager{aws: cloudtest.Start(), now: testNow()}
	t.Cleanup(m.aws.Close)
	cfg, err := cloudtest.Config(t.Context(), m.aws.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := cloudtest.Resources("chef-sync", m.aws.URL)
	d := dynamo.Definition()
	if err := cloudtest.CreateResources(t.Context(), cfg, dynamotest.Table(r.Table, d.PartitionKey, d.SortKey), r.Bucket); err != nil {
		t.Fatal(err)
	}
	m.aws.AddFunction(r.Sync, func([]byte) (any, error) { return struct{}{}, nil })
	e := environment.New(cfg, r, slog.New(slog.NewJSONHandler(&m.log, nil)), io.Discard)
	e.Now = func() time.Time { return m.now }
	if err := e.Backend.StoreConfiguration(t.Context(), []byte(notifyConfig)); err != nil {
		t.Fatal(err)
	}
	m.Handler = New(e)
	return m
}

// manage moves the clock to the next assessment of pairs that are well except for what is given.
func (m *testManager) manage(t *testing.T, down bool, hold *replication.Hold) {
	t.Helper()
	m.now = m.now.Add(cloud.ManagerEvery)
	state, err := m.Backend.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, org := range []string{"acme", "lab"} {
		g := replication.Progress{Status: replication.Synced, Feed: changelog.Name, LastAttempt: m.now, LastSuccess: m.now, LastCompare: m.now, NextRun: m.now.Add(time.Minute)}
		if org == "lab" {
			g.Hold = hold
		}
		id := replication.PairID{Replica: "eu", Org: org}
		if err := state.SaveProgress(t.Context(), id, 0, m.now, g); err != nil {
			t.Fatal(err)
		}
	}
	fleet, err := m.Fleet(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	changeLogs, err := m.Backend.ChangeLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range fleet.Sources() {
		if err := changeLogs.RecordScan(t.Context(), s.Space, changelog.LastScan{Ended: m.now, Good: m.now}); err != nil {
			t.Fatal(err)
		}
	}
	servers, err := m.Backend.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eu := health.Server{Name: "eu", CheckedAt: m.now, UpAt: m.now}
	if down {
		eu.DownSince, eu.Error, eu.Hint = m.now, "no route to host", "check the network"
	}
	for _, s := range []health.Server{{Name: "primary", CheckedAt: m.now, UpAt: m.now}, eu} {
		if err := servers.SaveServer(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.runTask(t.Context(), false); err != nil {
		t.Fatal(err)
	}
}

// published returns the events as DETAIL TYPE: TITLE.
func (m *testManager) published(t *testing.T) (all []string) {
	t.Helper()
	for _, e := range m.aws.Events() {
		var detail struct{ Title, Instance string }
		if err := json.Unmarshal([]byte(e.Detail), &detail); err != nil {
			t.Fatal(err)
		}
		if e.Source != "chef-sync" || e.EventBusName != "default" || detail.Instance != "chef-sync" {
			t.Errorf("%+v", e)
		}
		all = append(all, e.DetailType+": "+detail.Title)
	}
	return all
}

// TestChangesArePublishedOnce: by any environment of the function.
func TestChangesArePublishedOnce(t *testing.T) {
	m := newTestManager(t)
	hold := &replication.Hold{At: testNow(), Deletes: 9, Reason: "9 of 10 roles"}
	for range 3 {
		m.manage(t, false, nil)
	}
	for range 4 {
		m.manage(t, true, nil)
	}
	m.Handler = New(m.Environment)
	for range 4 {
		m.manage(t, false, hold)
	}
	for range 4 {
		m.manage(t, false, nil)
	}
	want := []string{"Replication Unreachable: server eu is unreachable: 2 pairs aren't replicated", "Replication Recovered: server eu is reachable again",
		"Replication Held: eu/lab is held", "Replication Recovered: eu/lab is no longer held"}
	if got := m.published(t); !slices.Equal(got, want) {
		t.Errorf("published:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestEventsThatCannotBePublishedComeLater, and the manager goes on meanwhile.
func TestEventsThatCannotBePublishedComeLater(t *testing.T) {
	m := newTestManager(t)
	m.aws.Refuse("PutEvents", "AccessDeniedException")
	for range 4 {
		m.manage(t, true, nil)
	}
	if got := m.published(t); len(got) > 0 || !strings.Contains(m.log.String(), "the notification can't be delivered") {
		t.Errorf("published %q, log:\n%s", got, m.log.String())
	}
	m.aws.Refuse("PutEvents", "")
	for range 4 {
		m.manage(t, true, nil)
	}
	if got := m.published(t); len(got) != 1 {
		t.Errorf("published %q", got)
	}
}

// TestScansThatCannotBeReadPublishNothing: all pairs would seem to be stale.
func TestScansThatCannotBeReadPublishNothing(t *testing.T) {
	m := newTestManager(t)
	fleet, err := m.Fleet(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, complete := range []bool{false, true} {
		for range 4 {
			m.now = m.now.Add(cloud.ManagerEvery)
			f := facts{now: m.now, complete: complete, records: map[replication.PairID]replication.PairState{}}
			for _, p := range fleet.Pairs() {
				f.records[p.ID] = replication.PairState{ID: p.ID, Progress: replication.Progress{Status: replication.Synced, Feed: changelog.Name,
					LastAttempt: m.now, LastSuccess: m.now, LastCompare: m.now, NextRun: m.now.Add(time.Minute)}}
			}
			if err := m.managePairs(t.Context(), fleet, f, &Summary{}); err != nil {
				t.Fatal(err)
			}
		}
		if got := m.published(t); (len(got) > 0) != complete {
			t.Errorf("the scans are known: %v; published %q", complete, got)
		}
	}
}
