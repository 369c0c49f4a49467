package statusserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/statusserver"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// fakeReader returns what it holds.
type fakeReader struct {
	processes pairstatus.Processes
	status    statusserver.Status
	pair      statusserver.PairRecords
	breakers  map[string]bool
	err       error
}

func (f *fakeReader) Processes(context.Context) (pairstatus.Processes, error) {
	return f.processes, f.err
}
func (f *fakeReader) Status(context.Context) (statusserver.Status, error) { return f.status, f.err }
func (f *fakeReader) OpenBreakers() map[string]bool                       { return f.breakers }
func (f *fakeReader) Pair(context.Context, replication.PairID) (statusserver.PairRecords, error) {
	return f.pair, f.err
}

func fakeHandler(t *testing.T, f *fakeReader, change func(*statusserver.Options)) http.Handler {
	t.Helper()
	o := statusserver.Options{Reader: f, Now: now, Refresh: 5 * time.Second}
	if change != nil {
		change(&o)
	}
	return statusserver.NewHandler(o)
}

func TestHealth(t *testing.T) {
	beating := pairstatus.Processes{Running: []health.Process{{Role: health.RoleDaemon, Owner: "me", Seen: ago(10 * time.Second)}}}
	other := pairstatus.Processes{Running: []health.Process{{Role: health.RoleDaemon, Owner: "another", Seen: ago(10 * time.Second)}}}
	manager := func(seen time.Duration) pairstatus.Processes {
		return pairstatus.Processes{OnStack: true, Manager: &health.Process{Role: health.RoleManager, Seen: ago(seen)}}
	}
	for name, c := range map[string]struct {
		owner     string
		processes pairstatus.Processes
		err       error
		code      int
		text      string
	}{
		"a daemon that beats":               {"me", beating, nil, 200, "ok"},
		"a daemon that doesn't beat":        {"me", pairstatus.Processes{}, nil, 503, "no recent heartbeat of the scheduler"},
		"another daemon that beats":         {"me", other, nil, 503, "no recent heartbeat of the scheduler"},
		"a daemon whose store is gone":      {"me", beating, errors.New("disk /secret/path is full"), 503, "the store doesn't respond"},
		"web beside a daemon":               {"", beating, nil, 200, "the store responds; daemon running, last heartbeat 10s ago"},
		"web without a daemon":              {"", pairstatus.Processes{}, nil, 200, "the store responds; daemon never seen"},
		"web whose store is gone":           {"", beating, errors.New("gone"), 503, "the store doesn't respond"},
		"web on a stack":                    {"", manager(40 * time.Second), nil, 200, "the store responds; manager running, last heartbeat 40s ago"},
		"web on a stack without a manager":  {"", pairstatus.Processes{OnStack: true}, nil, 200, "the store responds; manager never seen"},
		"web on a stack without turns":      {"", manager(time.Hour), nil, 200, "the store responds; manager not running, last heartbeat 1h ago"},
		"the token isn't asked of a probe":  {"me", beating, nil, 200, "ok"},
		"nor when the daemon doesn't beat.": {"me", other, nil, 503, "no recent heartbeat of the scheduler"},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakeHandler(t, &fakeReader{processes: c.processes, err: c.err}, func(o *statusserver.Options) { o.Owner, o.Token = c.owner, "0123456789abcdef" })
			w := get(h, "/healthz")
			if w.Code != c.code || strings.TrimSpace(w.Body.String()) != c.text {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, c.code, c.text)
			}
		})
	}
}

// A scheduler that beats but runs no passes hangs.
func TestHealthOfASchedulerThatRunsNoPasses(t *testing.T) {
	row := func(s replication.Status, overdue bool) pairstatus.PairRow {
		return pairstatus.PairRow{Status: s, Overdue: overdue}
	}
	for name, c := range map[string]struct {
		up   time.Duration
		rows []pairstatus.PairRow
		code int
	}{
		"all overdue":                   {time.Hour, []pairstatus.PairRow{row("stale", true), row("held", true)}, 503},
		"all overdue but a stopped one": {time.Hour, []pairstatus.PairRow{row("stale", true), row("stopped", false)}, 503},
		"one of two overdue":            {time.Hour, []pairstatus.PairRow{row("stale", true), row("unreachable", false)}, 200},
		"all stopped":                   {time.Hour, []pairstatus.PairRow{row("stopped", false)}, 200},
		"no pairs":                      {time.Hour, nil, 200},
		"just started":                  {time.Minute, []pairstatus.PairRow{row("stale", true)}, 200},
	} {
		f := &fakeReader{processes: pairstatus.Processes{Running: []health.Process{{Owner: "me", Started: ago(c.up), Seen: ago(time.Second)}}}}
		f.status.Pairs = c.rows
		w := get(fakeHandler(t, f, func(o *statusserver.Options) { o.Owner = "me" }), "/healthz")
		if w.Code != c.code || c.code == 503 && strings.TrimSpace(w.Body.String()) != "no pass ran when it was due" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func paths() []string {
	return []string{"/", "/pairs/eu/accounts", "/assets/style.css", "/metrics", "/api/status"}
}

func TestOnlyTheTokenOpensTheStatus(t *testing.T) {
	const token = "a-token-of-some-length"
	h := fakeHandler(t, &fakeReader{}, func(o *statusserver.Options) { o.Token = token })
	basic := func(password string) string {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.SetBasicAuth("any", password)
		return r.Header.Get("Authorization")
	}
	for _, path := range paths() {
		for given, want := range map[string]int{"": 401, "Bearer ": 401, "Bearer wrong": 401, "Bearer " + token + "x": 401, basic(""): 401, basic("wrong"): 401,
			token: 401, "Bearer " + token: 200, basic(token): 200} {
			w := get(h, path, "Authorization", given)
			if want == 200 && path == "/pairs/eu/accounts" {
				want = 404 // the fake has no pairs
			}
			if w.Code != want {
				t.Errorf("%s with %q: %d, want %d", path, given, w.Code, want)
			}
			if w.Code == 401 && (w.Header().Get("WWW-Authenticate") == "" || strings.Contains(w.Body.String(), token)) {
				t.Errorf("%s with %q: header %v, %s", path, given, w.Header(), w.Body)
			}
		}
	}
}

// A page of another site whose name resolves to 127.0.0.1 sends its own name as Host.
func TestWithoutATokenOnlyThisMachineIsServed(t *testing.T) {
	h := fakeHandler(t, &fakeReader{}, func(o *statusserver.Options) { o.LocalOnly = true })
	for host, want := range map[string]int{"localhost:9997": 200, "127.0.0.1": 200, "[::1]:9997": 200, "127.0.0.2:80": 200,
		"evil.example.com:9997": 421, "10.0.0.1:9997": 421, "localhost.evil.example.com": 421, "": 421} {
		r := httptest.NewRequest(http.MethodGet, "/api/status", http.NoBody)
		r.Host = host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("host %q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestNothingCanBeChanged(t *testing.T) {
	h := fakeHandler(t, &fakeReader{}, nil)
	for _, path := range append(paths(), "/healthz", "/anything") {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, "BREW"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("x")))
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, allowed %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

func TestTheAPIHasTheRowsOfSyncStatus(t *testing.T) {
	h := handler(t, newFleet(t), nil)
	w := get(h, "/api/status")
	var doc struct {
		Version     int       `json:"version"`
		GeneratedAt time.Time `json:"generated_at"`
		Scheduler   struct {
			Kind          string
			Running       bool
			LastHeartbeat time.Time `json:"last_heartbeat"`
			Daemons       []health.Process
		}
		Servers []pairstatus.ServerRow
		Pairs   []pairstatus.PairRow
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v, %v", w.Code, w.Header(), err)
	}
	if doc.Version != 1 || !doc.GeneratedAt.Equal(now()) || len(doc.Servers) != 7 || len(doc.Pairs) != 240 {
		t.Errorf("version %d of %s, %d servers, %d pairs", doc.Version, doc.GeneratedAt, len(doc.Servers), len(doc.Pairs))
	}
	if s := doc.Scheduler; s.Kind != "daemon" || !s.Running || !s.LastHeartbeat.Equal(ago(12*time.Second)) || len(s.Daemons) != 1 || s.Daemons[0].Version != "v1.2.0" {
		t.Errorf("scheduler %+v", s)
	}
	found := map[replication.Status]int{}
	for _, p := range doc.Pairs {
		found[p.Status]++
	}
	want := map[replication.Status]int{"held": 5, "unreachable": 39, "stopped": 6, "retrying": 2, "blocked": 1, "drifted": 1, "stale": 1,
		"bootstrapping": 2, "syncing": 2, "synced": 181}
	for s, n := range want {
		if found[s] != n {
			t.Errorf("%d pairs are %s, want %d", found[s], s, n)
		}
	}
}

func TestAnUnreadableStoreIsSaid(t *testing.T) {
	h := fakeHandler(t, &fakeReader{err: errors.New("the state is locked")}, nil)
	if w := get(h, "/api/status"); w.Code != 503 || !strings.Contains(w.Body.String(), `"error":"the state is locked"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := get(h, "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), "chef_sync_store_up 0\n") || strings.Contains(w.Body.String(), "pair") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
