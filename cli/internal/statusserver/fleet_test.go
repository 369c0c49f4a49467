package statusserver_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/statusserver"
	"chefsync/pkg/assembly"
	"chefsync/pkg/fault"
	"chefsync/pkg/health"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// now is the time of all tests.
func now() time.Time { return time.Date(2026, 11, 30, 9, 30, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return now().Add(-d) }

// replicas and organizations make 240 pairs.
func replicas() []string { return []string{"eu", "us", "ap", "sa", "af", "au"} }

func organizations() []string {
	return strings.Fields(`accounts analytics billing build catalog chat checkout cms compliance core data-lake dns edge email engineering
		finance fraud games hr identity inventory iot legal loyalty mail maps marketing media mobile network observability orders payments
		platform pricing search security shipping storefront support`)
}

const serverText = `user = "sync"
key = "file:none.pem"
feed = "updated_since"
`

// newFleet returns an app on an embedded store whose records are those of a bad morning:
// the replica sa is down, and a mix of all statuses elsewhere.
func newFleet(t testing.TB) *app.App {
	t.Helper()
	dir := t.TempDir()
	text := "[primary]\nurl = \"https://chef.example.com\"\n" + serverText
	for _, r := range replicas() {
		text += fmt.Sprintf("[[replica]]\nname = %q\nurl = \"https://chef.%s.example.com\"\nuser = \"sync\"\nkey = \"file:none.pem\"\n", r, r)
	}
	for _, org := range organizations() {
		text += fmt.Sprintf("[[organization]]\nsource = %q\ninterval = \"1m\"\n", org)
	}
	path := filepath.Join(dir, "chef-sync.toml")
	if err := os.WriteFile(path, []byte(text+"[state]\npath = \"state.db\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, ago(time.Hour), ago(time.Hour)); err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), app.Options{ConfigPath: path, Now: now, Log: app.LogOptions{Stderr: &bytes.Buffer{}},
		Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	w := &recordWriter{t: t, app: a, owner: assembly.NewOwner()}
	w.writeHealth()
	for _, p := range a.Pairs() {
		w.writePair(p.ID)
	}
	w.writeLog()
	return a
}

// recordWriter writes the records of a fleet.
type recordWriter struct {
	t     testing.TB
	app   *app.App
	owner string
}

func (w *recordWriter) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *recordWriter) writeHealth() {
	ctx := w.t.Context()
	store, err := w.app.Health(ctx)
	w.check(err)
	for i, name := range append([]string{"primary"}, replicas()...) {
		s := health.Server{Name: name, CheckedAt: ago(20 * time.Second), UpAt: ago(20 * time.Second), Latency: time.Duration(8+31*i) * time.Millisecond}
		if name == "sa" {
			s.UpAt, s.DownSince, s.Error, s.Hint = ago(26*time.Minute), ago(25*time.Minute), "unavailable (503): maintenance mode",
				"the server is overloaded, restarting or in maintenance; check chef-server-ctl status"
		}
		w.check(store.SaveServer(ctx, s))
	}
	w.check(store.SaveProcess(ctx, health.Process{Role: health.RoleDaemon, Owner: w.owner, Host: "sync-1.example.com", PID: os.Getpid(),
		Started: ago(50 * time.Hour), Seen: ago(12 * time.Second), Pairs: len(w.app.Pairs()), Version: "v1.2.0"}))
}

// olderRuns is how many further runs of a pair there are.
func olderRuns(id replication.PairID) int {
	if id.Replica == "eu" {
		return 8
	}
	return 0
}

// hostile is a name and message as a server could give them.
const hostile = `<script>alert("x")</script>`

// writePair writes the records of a pair in the state that its name stands for.
func (w *recordWriter) writePair(id replication.PairID) {
	ctx := w.t.Context()
	state, err := w.app.State(ctx)
	w.check(err)
	n := slices.Index(organizations(), id.Org)
	u := replication.Update{Progress: replication.Progress{
		Status: replication.Synced, Since: ago(time.Duration(3+n) * time.Hour), Feed: "updated_since", FeedNote: "the primary serves it",
		Position: &replication.Position{Seq: int64(40_000 + 17*n)}, Objects: 120 + 37*n, LastAttempt: ago(time.Duration(n) * time.Second),
		LastSuccess: ago(time.Duration(n) * time.Second), LastCompare: ago(9 * time.Hour), LastCheck: ago(9 * time.Hour),
		LastVerified: ago(9 * time.Hour), NextRun: now().Add(time.Duration(60-n) * time.Second),
	}}
	run := w.newRun(id, n)
	keepLease := w.spoil(id, &u, &run)
	u.Run = &run
	st, err := state.Acquire(ctx, id, w.owner, now(), time.Minute)
	w.check(err)
	w.check(state.Commit(ctx, id, st.Lease.Fence, now(), u))
	for i := range olderRuns(id) {
		older := w.newRun(id, n)
		older.ID, older.Started, older.Ended = fmt.Sprintf("20261130T0%d0000.000Z-1", 8-i), ago(time.Duration(i+1)*time.Hour), ago(time.Duration(i+1)*time.Hour-2*time.Second)
		w.check(state.Commit(ctx, id, st.Lease.Fence, now(), replication.Update{Progress: u.Progress, Run: &older}))
	}
	if !keepLease {
		w.check(state.Release(ctx, id, st.Lease.Fence))
	}
	if id.Org == "legal" {
		stop, why := true, "legal hold until Friday"
		w.check(state.ChangeDesired(ctx, id, replication.DesiredChange{Stop: &stop, Reason: &why, At: ago(20 * time.Hour)}))
	}
}

func (*recordWriter) newRun(id replication.PairID, n int) replication.Run {
	return replication.Run{ID: "20261130T092900.000Z-1", Pair: id, Trigger: replication.TriggerSchedule, Mode: replication.ModeChanges,
		Started: ago(time.Minute), Ended: ago(58 * time.Second), From: int64(40_000 + n), To: int64(40_000 + 17*n), Outcome: replication.OutcomeDone,
		Counts: replication.Counts{Changes: 3, Observed: 3, Created: 1, Updated: 2}}
}

// spoil makes a pair what its name stands for, and reports whether a pass is running.
func (w *recordWriter) spoil(id replication.PairID, u *replication.Update, run *replication.Run) (running bool) {
	g := &u.Progress
	switch name := id.String(); {
	case id.Replica == "sa":
		g.Status, g.Failures, g.LastSuccess = replication.Retrying, 25, ago(26*time.Minute)
		g.LastError = &replication.Failure{At: ago(time.Minute), Class: fault.Unreachable, Message: "list /data on sa: unavailable (503)"}
		run.Outcome, run.Error = replication.OutcomeFailed, g.LastError
	case id.Org == "catalog":
		g.Status = replication.Held
		g.Hold = &replication.Hold{At: ago(2 * time.Hour), Reason: "9 of 38 objects would be deleted; the limit is 20%, here 7", Deletes: 9, Records: 9}
		for i := range 9 {
			ref := object.Ref{Kind: object.Role, Name: fmt.Sprintf("web-%d", i)}
			g.Hold.Sample = append(g.Hold.Sample, ref)
			addFailure(u, replication.Unsynced{Ref: ref, Class: fault.DeletionHeld, Reason: g.Hold.Reason, FirstSeen: ago(2 * time.Hour)})
		}
	case name == "eu/build" || name == "us/engineering":
		w.rejectObjects(u, g, run)
	case name == "us/identity":
		g.Status, g.Failures, g.LastSuccess = replication.Blocked, 4, ago(3*time.Hour)
		g.LastError = &replication.Failure{At: ago(9 * time.Minute), Class: fault.Denied, Message: "read /roles on us: not a member of identity (403)",
			Hint: "chef-sync-ctl prepare-org identity --side replica --replica us"}
		run.Outcome, run.Error = replication.OutcomeFailed, g.LastError
	case name == "au/marketing":
		g.Drift = &replication.Drift{At: ago(time.Hour), Run: run.ID, Changed: 2, Missing: 1}
	case name == "af/search":
		g.LastAttempt, g.LastSuccess, g.NextRun = ago(21*time.Minute), ago(21*time.Minute), ago(20*time.Minute)
	case id.Org == "support" && (id.Replica == "eu" || id.Replica == "us"):
		g.Status, g.LastSuccess, g.LastCompare, g.Objects, g.Pending = replication.Bootstrapping, time.Time{}, time.Time{}, 1200, 3850
		g.LastCheck, g.LastVerified, g.Since = time.Time{}, time.Time{}, ago(90*time.Second)
		g.Work = &replication.Work{Full: true, Reason: "first compare", Started: ago(90 * time.Second)}
		run.Mode, run.Outcome, run.Ended, run.Seen = replication.ModeCompare, replication.OutcomeRunning, time.Time{}, ago(2*time.Second)
		run.Counts = replication.Counts{Observed: 1200, Created: 1200}
		return true
	case name == "ap/payments" || name == "au/games":
		g.Status, g.Pending = replication.Syncing, 7
		run.Outcome, run.Ended, run.Seen = replication.OutcomeRunning, time.Time{}, ago(time.Second)
		return true
	}
	return false
}

// rejectObjects adds unsynced objects.
func (*recordWriter) rejectObjects(u *replication.Update, g *replication.Progress, run *replication.Run) {
	g.Status, g.Unsynced, g.UnsyncedSince = replication.Retrying, 2, ago(15*time.Minute)
	run.Outcome, run.Left = replication.OutcomePartial, 2
	addFailure(u, replication.Unsynced{
		Ref: object.Ref{Kind: object.Role, Name: "web"}, Class: fault.Rejected, Reason: "write /roles/web on eu: invalid (400): Field run_list is not a valid run list",
		Hint: "the server refuses the content as it is; repair the object on the primary", Attempts: 3, FirstSeen: ago(15 * time.Minute),
		LastTry: ago(4 * time.Minute), NextTry: now().Add(5 * time.Minute),
	})
	addFailure(u, replication.Unsynced{
		Ref: object.Ref{Kind: object.Role, Name: "odd"}, Class: fault.Rejected, Reason: "write /roles/odd on eu: invalid (400): " + hostile,
		Hint: "see " + hostile, Attempts: 1, FirstSeen: ago(10 * time.Minute), LastTry: ago(10 * time.Minute), NextTry: now().Add(time.Minute),
	})
}

func addFailure(u *replication.Update, failure replication.Unsynced) {
	if u.Entries == nil {
		u.Entries = replication.Entries{}
	}
	u.Entries[failure.Ref] = replication.Entry{Failure: &failure}
}

// writeLog writes some lines about each pair.
func (w *recordWriter) writeLog() {
	var lines []logstore.Line
	for i, p := range w.app.Pairs() {
		line := func(age time.Duration, level slog.Level, msg, object, attrs string) {
			lines = append(lines, logstore.Line{Time: ago(age), Level: level, Message: msg, Pair: p.ID, Run: "20261130T092900.000Z-1", Object: object,
				Attrs: []byte(attrs)})
		}
		line(61*time.Second, slog.LevelInfo, "pass begins", "", `{"mode":"changes","reason":""}`)
		line(60*time.Second, slog.LevelInfo, "object applied", fmt.Sprintf("/roles/web-%d", i), `{"action":"update","outcome":"applied","reason":"changed on the primary"}`)
		if p.ID.String() == "eu/build" {
			line(59*time.Second, slog.LevelWarn, "object unsynced", "/roles/"+hostile, `{"class":"rejected","error":"invalid (400): `+strings.ReplaceAll(hostile, `"`, `\"`)+`"}`)
		}
		line(58*time.Second, slog.LevelInfo, "pass ends", "", `{"outcome":"done","changes":3,"created":1,"updated":2,"deleted":0,"duration_ms":2010}`)
	}
	w.check(w.app.LogStore().Append(w.t.Context(), lines))
}

// handler returns the handler for a fleet, as web has it.
func handler(t testing.TB, a *app.App, change func(*statusserver.Options)) http.Handler {
	t.Helper()
	o := statusserver.Options{Reader: statusserver.NewReader(a, a.Pairs()), Now: now, Refresh: 5 * time.Second, LocalOnly: true}
	if change != nil {
		change(&o)
	}
	return statusserver.NewHandler(o)
}

// get requests a path of the handler from this machine.
func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "http://127.0.0.1:9997"+path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func reason(s replication.Status, text, hint string) status.Reason {
	return status.Reason{Status: s, Text: text, Hint: hint}
}

// passOf returns the pass of a job that calls work.
func passOf(work func()) func(context.Context, replication.PassOptions) (replication.Run, error) {
	return func(context.Context, replication.PassOptions) (replication.Run, error) {
		work()
		return replication.Run{Outcome: replication.OutcomeDone}, nil
	}
}
