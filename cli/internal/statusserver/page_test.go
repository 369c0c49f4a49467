package statusserver_test

import (
	"errors"
	"flag"
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/statusserver"
	"chefsync/pkg/health"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// updateGolden writes the golden files: go test ./cli/internal/statusserver -update
func updateGolden() bool { return flag.Lookup("update").Value.String() == "true" }

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files")
	os.Exit(m.Run())
}

// visibleText returns the text of a page without its foot, a line for each element that
// begins one.
func visibleText(page string) string {
	_, page, _ = strings.Cut(page, "<body")
	page, _, _ = strings.Cut(page, "<footer>")
	for _, r := range []struct{ pattern, with string }{
		{`(?s)^[^>]*>`, ""},
		{`(?s)<svg.*?</svg>`, ""},
		{`<a [^>]*class="cell[^>]*aria-label="([^"]*)"[^>]*>`, "$1"},
		{`(?s)</(p|h1|h2|li|tr|dt|dd|div|table|header|section|summary)>|<(p|h1|h2|li|tr|ul)[ >]`, "\n$0"},
		{`</t[hd]>`, "  "},
		{`<[^>]*>`, ""},
		{`(?m)^[a-z]+="[^\n]*>`, ""},
		{`[ \t]+`, " "},
		{`(?m)^ | $`, ""},
		{`\n+`, "\n"},
	} {
		page = regexp.MustCompile(r.pattern).ReplaceAllString(page, r.with)
	}
	return strings.TrimSpace(html.UnescapeString(page)) + "\n"
}

func TestGoldenPages(t *testing.T) {
	h := handler(t, newFleet(t), nil)
	for name, path := range map[string]string{"fleet": "/", "unsynced": "/pairs/eu/build", "held": "/pairs/eu/catalog", "blocked": "/pairs/us/identity",
		"bootstrapping": "/pairs/us/support", "unreachable": "/pairs/sa/accounts", "stopped": "/pairs/eu/legal", "synced": "/pairs/eu/accounts"} {
		t.Run(name, func(t *testing.T) {
			w := get(h, path)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
				t.Fatalf("%d %v", w.Code, w.Header())
			}
			file, got := filepath.Join("testdata", name+".txt"), visibleText(w.Body.String())
			host, _ := os.Hostname()
			got = strings.ReplaceAll(got, "running on "+host, "running on HOST")
			if updateGolden() {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("run with -update to accept:\n%s", diff)
			}
		})
	}
}

// The policy allows no inline script or style, and a page needs none.
func TestPagesKeepTheirPolicy(t *testing.T) {
	h := handler(t, newFleet(t), nil)
	for _, path := range []string{"/", "/pairs/eu/build", "/pairs/none/none"} {
		w := get(h, path)
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, policy)
		}
		for _, bad := range []string{`<script>`, ` style="`, `<style`, ` on[a-z]+="`, `javascript:`, `(src|href)="(https?:)?//`} {
			if found := regexp.MustCompile(bad).FindString(w.Body.String()); found != "" {
				t.Errorf("%s has %s", path, found)
			}
		}
		for _, name := range regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllStringSubmatch(w.Body.String(), -1) {
			if w := get(h, name[1]); w.Code != http.StatusOK || w.Body.Len() == 0 {
				t.Errorf("%s: %s is %d", path, name[1], w.Code)
			}
		}
	}
}

func TestWhatServersSayIsEscaped(t *testing.T) {
	const bidi = "\u202e"
	id := replication.PairID{Replica: "eu", Org: `a"><img src=x>` + bidi}
	row := pairstatus.PairRow{Pair: id, Replica: id.Replica, Organization: id.Org, Source: hostile, Status: "blocked", Note: hostile, FeedNote: hostile + bidi}
	row.Reasons = append(row.Reasons, reason("blocked", hostile+bidi, hostile))
	failure := &replication.Failure{Message: hostile, Hint: hostile}
	f := &fakeReader{
		status: statusserver.Status{Error: hostile, Unreadable: []replication.PairID{{Replica: hostile, Org: hostile}}, Snapshot: pairstatus.Snapshot{
			At: now(),
			Fleet: pairstatus.Fleet{
				Pairs: []pairstatus.PairRow{row}, Servers: []pairstatus.ServerRow{{Name: hostile, Status: "unreachable", Error: hostile}},
			},
			Processes: pairstatus.Processes{Running: []health.Process{{Host: hostile}}}}},
		pair: statusserver.PairRecords{Runs: []replication.Run{{Pair: id, Outcome: "failed", Error: failure}}, LogError: hostile,
			Unsynced: []replication.Unsynced{{Ref: object.Ref{Kind: object.Role, Name: hostile}, Reason: hostile, Hint: hostile}},
			Log:      []logstore.Line{{Message: hostile, Object: hostile, Attrs: []byte(`{"<script>a":"<script>b"}`)}}},
	}
	h := fakeHandler(t, f, nil)
	for _, path := range []string{"/", "/pairs/eu/a%22%3E%3Cimg%20src=x%3E%E2%80%AE", "/pairs/<script>/x"} {
		w := get(h, path)
		if path != "/pairs/<script>/x" && w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
		for _, bad := range []string{"<script>a", "<script>b", "<script>/", "<img", bidi} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("%s shows %q as it is", path, bad)
			}
		}
	}
}

func TestAPairThatIsNotThere(t *testing.T) {
	h := fakeHandler(t, &fakeReader{status: statusserver.Status{Error: "its record is damaged", Unreadable: []replication.PairID{{Replica: "eu", Org: "x"}}}}, nil)
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/pairs/eu/y": {404, "There is no pair eu/y."}, "/pairs/eu/x": {503, "its record is damaged"}, "/nothing": {404, "There is no such page."},
		"/pairs/eu": {404, "There is no such page."},
	} {
		if w := get(h, path); w.Code != want.code || !strings.Contains(w.Body.String(), want.text) {
			t.Errorf("%s: %d %s", path, w.Code, visibleText(w.Body.String()))
		}
	}
	broken := fakeHandler(t, &fakeReader{err: errors.New("disk is full")}, nil)
	if w := get(broken, "/"); w.Code != 503 || !strings.Contains(w.Body.String(), "disk is full") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What can't be read, and a scheduler that doesn't run, is never shown as well.
func TestTheHeadlineTellsTrouble(t *testing.T) {
	synced := pairstatus.PairRow{Pair: replication.PairID{Replica: "eu", Org: "a"}, Status: "synced"}
	running := pairstatus.Processes{Running: []health.Process{{Host: "h", Started: ago(time.Hour)}}}
	old := pairstatus.Processes{Running: running.Running, ConfigChanged: ago(time.Minute), ConfigFile: "c.toml"}
	of := func(p pairstatus.Processes, rows ...pairstatus.PairRow) statusserver.Status {
		return statusserver.Status{Snapshot: pairstatus.Snapshot{At: now(), Fleet: pairstatus.Fleet{Pairs: rows}, Processes: p}}
	}
	unreadable := of(running)
	unreadable.Unreadable = []replication.PairID{synced.Pair}
	for name, c := range map[string]struct {
		status statusserver.Status
		want   []string
	}{
		"all well": {of(running, synced), []string{`"headline ok">1 pair, all well`, "Nothing needs attention"}},
		"no daemon": {of(pairstatus.Processes{}, synced), []string{`<title>1 pair, not being replicated`, `"headline bad">1 pair, not being replicated`,
			"Needs attention", "Daemon not running, never seen"}},
		"unreadable":  {unreadable, []string{`"headline warn">1 pair, 1 needs attention`, "its records can’t be read"}},
		"no manager":  {of(pairstatus.Processes{OnStack: true}, synced), []string{"Manager: no run seen yet"}},
		"old manager": {of(pairstatus.Processes{OnStack: true, Manager: &health.Process{Seen: ago(time.Hour)}}), []string{"Manager not running, last run 1h ago"}},
		"old config":  {of(old), []string{"c.toml changed 1m ago; reload it"}},
	} {
		t.Run(name, func(t *testing.T) {
			body := get(fakeHandler(t, &fakeReader{status: c.status}, nil), "/").Body.String()
			for _, want := range c.want {
				if !strings.Contains(body, want) {
					t.Errorf("no %q in\n%s", want, visibleText(body))
				}
			}
			if bad := strings.Contains(body, `"headline bad"`); bad && (strings.Contains(body, "all well") || strings.Contains(body, "Nothing needs attention")) {
				t.Errorf("it is shown as well:\n%s", visibleText(body))
			}
		})
	}
}

// A dead daemon leaves all pairs stale, each for another time: that is one trouble.
func TestPairsWithOneCauseAreOneTrouble(t *testing.T) {
	var st statusserver.Status
	st.At = now()
	for i := range 240 {
		id := replication.PairID{Replica: replicas()[i%6], Org: organizations()[i/6]}
		row := pairstatus.PairRow{Pair: id, Replica: id.Replica, Organization: id.Org, Status: "stale"}
		row.Note, row.Hint = fmt.Sprintf("last pass %ds ago; is the daemon running?", 200+i), "chef-sync-ctl run --once "+id.String()
		st.Pairs = append(st.Pairs, row)
	}
	body := visibleText(get(fakeHandler(t, &fakeReader{status: st}, nil), "/").Body.String())
	if n := strings.Count(body, "last pass"); n != 1 || !strings.Contains(body, "stale 240 pairs\nlast pass … ago; is the daemon running?") {
		t.Errorf("it is said %d times:\n%s", n, body)
	}
}

// A pair before its first pass needs no attention.
func TestAPairWaitsForItsFirstPass(t *testing.T) {
	row := pairstatus.PairRow{Pair: replication.PairID{Replica: "eu", Org: "a"}, Replica: "eu", Organization: "a", Status: "bootstrapping",
		Reasons: []status.Reason{{Cause: status.CauseNeverRun, Status: "bootstrapping", Text: "never run", Hint: "chef-sync-ctl run"}}}
	f := &fakeReader{status: statusserver.Status{Snapshot: pairstatus.Snapshot{At: now(), Fleet: pairstatus.Fleet{Pairs: []pairstatus.PairRow{row}},
		Processes: pairstatus.Processes{Running: []health.Process{{Host: "h", Started: ago(time.Minute)}}}}}}
	for path, want := range map[string]string{"/": "eu/a: waiting", "/pairs/eu/a": "waiting for its first pass"} {
		if body := visibleText(get(fakeHandler(t, f, nil), path).Body.String()); !strings.Contains(body, want) || strings.Contains(body, "Try") {
			t.Errorf("%s:\n%s", path, body)
		}
	}
}

// The pass of this process is shown with its progress.
func TestAPassIsShownWithItsProgress(t *testing.T) {
	r := statusserver.NewRecorder(now)
	a := newFleet(t)
	r.ObserveApp(a)
	id := replication.PairID{Replica: "eu", Org: "accounts"}
	var during, after string
	h := handler(t, a, func(o *statusserver.Options) { o.Recorder = r })
	d := newObservedDaemon(r, id, func() {
		a.OnProgress(replication.ProgressEvent{Pair: id, Phase: replication.PhaseRead, Done: 50, Total: 200, Bytes: 3 << 20,
			Ref: object.Ref{Kind: object.Role, Name: "web"}})
		a.OnProgress(replication.ProgressEvent{Pair: replication.PairID{Replica: "eu", Org: "chat"}, Phase: replication.PhaseRead})
		during = visibleText(get(h, "/pairs/eu/accounts").Body.String())
	})
	_, _ = d.Jobs[0].Pass(t.Context(), replication.PassOptions{})
	after = visibleText(get(h, "/pairs/eu/accounts").Body.String())
	if want := "Now pass: reading 25% 50 of 200 3.0 MiB sent /roles/web for 0s"; !strings.Contains(strings.ReplaceAll(during, "\n", " "), want) {
		t.Errorf("no %q in\n%s", want, during)
	}
	if strings.Contains(after, "Now") {
		t.Errorf("still shown:\n%s", after)
	}
}

// newObservedDaemon returns a daemon whose one job calls work.
func newObservedDaemon(r *statusserver.Recorder, id replication.PairID, work func()) *daemon.Daemon {
	d := &daemon.Daemon{Jobs: []daemon.Job{{ID: id, Pass: passOf(work)}}}
	r.ObserveDaemon(d)
	return d
}
