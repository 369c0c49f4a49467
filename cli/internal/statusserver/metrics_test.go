package statusserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/statusserver"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// scrape returns the samples of /metrics by name and labels, without those of the
// runtime.
func scrape(t *testing.T, h http.Handler) map[string]string {
	t.Helper()
	samples := map[string]string{}
	for line := range strings.Lines(get(h, "/metrics").Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "chef_sync_") {
			samples[name] = value
		}
	}
	return samples
}

func expect(t *testing.T, samples, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if samples[name] != want[name] {
			t.Errorf("%s is %q, want %q", name, samples[name], want[name])
		}
	}
}

func TestMetricsOfTheStore(t *testing.T) {
	samples := scrape(t, handler(t, newFleet(t), nil))
	expect(t, samples, map[string]string{
		`chef_sync_store_up`:                                                                       "1",
		`chef_sync_unreadable_pairs`:                                                               "0",
		`chef_sync_scheduler_running`:                                                              "1",
		`chef_sync_scheduler_last_heartbeat_timestamp_seconds`:                                     fmt.Sprint(1.796030988e+09),
		`chef_sync_configuration_outdated`:                                                         "0",
		`chef_sync_pair_status{organization="catalog",replica="eu",status="held"}`:                 "1",
		`chef_sync_pair_status{organization="catalog",replica="eu",status="synced"}`:               "0",
		`chef_sync_pair_status{organization="accounts",replica="eu",status="synced"}`:              "1",
		`chef_sync_pair_held_deletions{organization="catalog",replica="eu"}`:                       "9",
		`chef_sync_pair_held_deletions{organization="accounts",replica="eu"}`:                      "0",
		`chef_sync_pair_unsynced_objects{organization="build",replica="eu"}`:                       "2",
		`chef_sync_pair_drifted_objects{organization="marketing",replica="au"}`:                    "3",
		`chef_sync_pair_lag_seconds{organization="build",replica="eu"}`:                            "900",
		`chef_sync_pair_lag_seconds{organization="support",replica="eu"}`:                          "", // before the first success
		`chef_sync_pair_last_success_timestamp_seconds{organization="accounts",replica="eu"}`:      fmt.Sprint(1.796031e+09),
		`chef_sync_pair_pending_objects{organization="support",replica="eu"}`:                      "3850",
		`chef_sync_pair_objects{organization="accounts",replica="eu"}`:                             "120",
		`chef_sync_pair_consecutive_failures{organization="identity",replica="us"}`:                "4",
		`chef_sync_pair_damaged_files{organization="accounts",replica="eu"}`:                       "0",
		`chef_sync_pair_last_verification_timestamp_seconds{organization="accounts",replica="eu"}`: fmt.Sprint(1.7959986e+09),
		`chef_sync_server_up{server="primary"}`:                                                    "1",
		`chef_sync_server_up{server="sa"}`:                                                         "0",
		`chef_sync_server_latency_seconds{server="eu"}`:                                            "0.039",
		`chef_sync_server_breaker_open{server="eu"}`:                                               "", // no request was sent
		`chef_sync_passes_total{organization="accounts",outcome="done",replica="eu"}`:              "", // no process of its own
		`chef_sync_pair_last_attempt_timestamp_seconds{organization="accounts",replica="eu"}`:      fmt.Sprint(1.796031e+09),
		`chef_sync_server_last_check_timestamp_seconds{server="sa"}`:                               fmt.Sprint(1.79603098e+09),
		`chef_sync_server_last_answer_timestamp_seconds{server="sa"}`:                              fmt.Sprint(1.79602944e+09),
	})
	statuses := 0
	for name, value := range samples {
		if strings.HasPrefix(name, "chef_sync_pair_status{") && value == "1" {
			statuses++
		}
	}
	if statuses != 240 {
		t.Errorf("240 pairs have %d statuses", statuses)
	}
}

func TestAServerThatWasNotCheckedHasNoUpMetric(t *testing.T) {
	f := &fakeReader{breakers: map[string]bool{"https://a": true, "https://b": false}, status: statusserver.Status{
		Unreadable: []replication.PairID{{Replica: "a", Org: "x"}},
		Snapshot: pairstatus.Snapshot{Fleet: pairstatus.Fleet{
			Servers: []pairstatus.ServerRow{{Name: "a", URL: "https://a", Status: "unreachable"}, {Name: "b", URL: "https://b", Status: "unknown"}},
		}},
	}}
	expect(t, scrape(t, fakeHandler(t, f, nil)), map[string]string{
		`chef_sync_server_up{server="a"}`: "0", `chef_sync_server_up{server="b"}`: "", `chef_sync_server_breaker_open{server="a"}`: "1",
		`chef_sync_server_breaker_open{server="b"}`: "0", `chef_sync_unreadable_pairs`: "1", `chef_sync_scheduler_running`: "0",
	})
}

// recorded returns a recorder of a daemon that did some work, and the requests for it.
func recorded(t *testing.T) *statusserver.Recorder {
	t.Helper()
	r := statusserver.NewRecorder(now)
	id := replication.PairID{Replica: "eu", Org: "accounts"}
	runs := []replication.Run{
		{Mode: replication.ModeChanges, Outcome: replication.OutcomeDone, Counts: replication.Counts{Created: 1, Updated: 2, Deleted: 3, Unsynced: 4}},
		{Outcome: replication.OutcomeDone}, // a poll
		{Mode: replication.ModeChanges, Outcome: replication.OutcomeFailed},
	}
	d := &daemon.Daemon{
		Jobs: []daemon.Job{{
			ID: id,
			Pass: func(context.Context, replication.PassOptions) (run replication.Run, err error) {
				run, runs = runs[0], runs[1:]
				if run.Outcome == replication.OutcomeFailed {
					err = &fault.Error{Op: "read", Class: fault.Denied}
				}
				return run, err
			},
			Verify: func(context.Context, replication.VerifyOptions) (replication.Report, error) {
				return replication.Report{Outcome: replication.OutcomeDiffers}, nil
			},
		}},
		Sources: []daemon.Source{{Name: "accounts", Scan: func(context.Context) (bool, error) { return false, errors.New("broken") }}},
	}
	r.ObserveDaemon(d)
	for range 3 {
		_, _ = d.Jobs[0].Pass(t.Context(), replication.PassOptions{})
	}
	_, _ = d.Jobs[0].Verify(t.Context(), replication.VerifyOptions{})
	_, _ = d.Sources[0].Scan(t.Context())
	return r
}

func TestMetricsOfTheProcess(t *testing.T) {
	r := recorded(t)
	expect(t, scrape(t, fakeHandler(t, &fakeReader{}, func(o *statusserver.Options) { o.Recorder = r })), map[string]string{
		`chef_sync_passes_total{organization="accounts",outcome="done",replica="eu"}`:           "2",
		`chef_sync_passes_total{organization="accounts",outcome="failed",replica="eu"}`:         "1",
		`chef_sync_pass_duration_seconds_count{replica="eu"}`:                                   "2",
		`chef_sync_verifications_total{organization="accounts",outcome="differs",replica="eu"}`: "1",
		`chef_sync_scans_total{result="failed",source="accounts"}`:                              "1",
		`chef_sync_objects_total{action="created",organization="accounts",replica="eu"}`:        "1",
		`chef_sync_objects_total{action="updated",organization="accounts",replica="eu"}`:        "2",
		`chef_sync_objects_total{action="deleted",organization="accounts",replica="eu"}`:        "3",
		`chef_sync_objects_total{action="unsynced",organization="accounts",replica="eu"}`:       "4",
		`chef_sync_errors_total{class="denied",organization="accounts",replica="eu"}`:           "1",
	})
}

// requests sends two requests through the transport of an app: one is answered.
func requests(t *testing.T, r *statusserver.Recorder) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "twelve bytes")
	}))
	a := &app.App{Fleet: newFleet(t).Fleet}
	r.ObserveApp(a)
	client := http.Client{Transport: a.WrapTransport("eu", http.DefaultTransport)}
	for range 2 {
		if resp, err := client.Post(server.URL, "text/plain", strings.NewReader("body")); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		server.Close()
	}
}

func TestMetricsOfRequests(t *testing.T) {
	r := statusserver.NewRecorder(now)
	requests(t, r)
	expect(t, scrape(t, fakeHandler(t, &fakeReader{}, func(o *statusserver.Options) { o.Recorder = r })), map[string]string{
		`chef_sync_requests_total{code="201",method="POST",server="eu"}`:  "1",
		`chef_sync_requests_total{code="none",method="POST",server="eu"}`: "1",
		`chef_sync_request_duration_seconds_count{server="eu"}`:           "1",
		`chef_sync_sent_bytes_total{server="eu"}`:                         "4",
		`chef_sync_received_bytes_total{server="eu"}`:                     "12",
	})
}

// everything returns /metrics with all metrics that there are.
func everything(t *testing.T) string {
	t.Helper()
	r := recorded(t)
	requests(t, r)
	a := newFleet(t)
	f := &fakeReader{breakers: map[string]bool{"https://chef.eu.example.com": false}}
	var err error
	if f.status, err = statusserver.NewReader(a, a.Pairs()).Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	return get(fakeHandler(t, f, func(o *statusserver.Options) { o.Recorder = r }), "/metrics").Body.String()
}

// docs/monitoring/metrics.md lists each metric with its type and labels, and no other.
func TestTheMetricsAreDocumented(t *testing.T) {
	text := everything(t)
	served := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (chef_sync_\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		name, kind := m[1], m[2]
		labels := map[string]bool{}
		for _, s := range regexp.MustCompile(`(?m)^`+name+`(?:_count)?\{(.*?)\} `).FindAllStringSubmatch(text, -1) {
			for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(s[1], -1) {
				labels[l[1]] = true
			}
		}
		served[name] = kind + " of " + strings.Join(slices.Sorted(maps.Keys(labels)), ", ")
	}
	doc, err := os.ReadFile("../../../docs/monitoring/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(chef_sync_\\w+)` \\| (\\w+) \\| ?(.*?) ?\\|").FindAllStringSubmatch(string(doc), -1) {
		labels := strings.FieldsFunc(strings.ReplaceAll(m[3], "`", ""), func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(labels)
		documented[m[1]] = m[2] + " of " + strings.Join(labels, ", ")
	}
	for name, what := range served {
		if documented[name] != what {
			t.Errorf("%s is a %s, documented is %q", name, what, documented[name])
		}
	}
	for name := range documented {
		if served[name] == "" {
			t.Errorf("%s is documented, and not served", name)
		}
	}
	if len(served) < 30 {
		t.Errorf("only %d metrics are served", len(served))
	}
}

// promtool checks names and units, where it is installed and asked for.
func TestPromtoolFindsNothing(t *testing.T) {
	if os.Getenv("CHEFSYNC_PROMTOOL") == "" {
		t.Skip("SKIPPED: CHEFSYNC_PROMTOOL isn't set")
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(everything(t))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWhatIsReadIsServedForAShortTime(t *testing.T) {
	at := now()
	a := newFleet(t)
	a.Now = func() time.Time { return at }
	reader := statusserver.NewReader(a, a.Pairs())
	first, err := reader.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at = at.Add(500 * time.Millisecond)
	if again, err := reader.Status(t.Context()); err != nil || !again.At.Equal(first.At) {
		t.Errorf("read again at %s, %v", again.At, err)
	}
	at = at.Add(600 * time.Millisecond)
	if later, err := reader.Status(t.Context()); err != nil || !later.At.Equal(at) {
		t.Errorf("still of %s, %v", later.At, err)
	}
}
