package cli

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/fault"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

// fleetNow is when a fleet was recorded, and the present of commands that screen runs.
func fleetNow() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }

// fleetConfig is the beginning of the configuration of a fleet.
const fleetConfig = `[primary]
url = "https://chef.example.com"
user = "sync"
key = "file:primary.pem"
[state]
path = "state.db"
`

// fleetCommand makes records without servers. At fleetNow,
//
//	fleet ORGS REPLICA...           writes the configuration of team-01 to team-ORGS and
//	                                engineering to each replica; all pairs are synced
//	fleet set SELECTOR STATE [N]    changes what is recorded of pairs
//	fleet server NAME ERROR         is a server that is down since 12 minutes
//	fleet daemon                    is a daemon that runs all pairs
func fleetCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fleet ORGS REPLICA... | set | server | daemon")
	}
	orgs, err := strconv.Atoi(args[0])
	if err == nil {
		writeFleetConfig(ts, orgs, args[1:])
	}
	ctx, now := context.Background(), fleetNow()
	a, err := app.Open(ctx, app.Options{ConfigPath: ts.MkAbs("chef-sync.toml"), Now: fleetNow,
		Log: app.LogOptions{Stderr: &bytes.Buffer{}}, Env: func(string) (string, bool) { return "", false }})
	ts.Check(err)
	defer a.Close()
	s, err := sqlite.OpenState(ctx, ts.MkAbs("state.db"))
	ts.Check(err)
	defer func() { ts.Check(s.Close()) }()
	switch args[0] {
	case "set":
		pairs, err := a.Select(args[1])
		ts.Check(err)
		for _, p := range pairs {
			setPair(ts, s, p.ID, args[2], args[3:])
		}
	case "server":
		ts.Check(s.Health().SaveServer(ctx, health.Server{Name: args[1], CheckedAt: now.Add(-20 * time.Second), UpAt: now.Add(-13 * time.Minute),
			DownSince: now.Add(-12 * time.Minute), Error: args[2], Hint: "the server is restarting or in maintenance; check chef-server-ctl status"}))
	case "daemon":
		ts.Check(s.Health().SaveProcess(ctx, health.Process{Role: health.RoleDaemon, Owner: "vm:1", Host: "vm", Pairs: len(a.Pairs()),
			Started: now.Add(-3 * time.Hour), Seen: now.Add(-5 * time.Second)}))
	default:
		for _, p := range a.Pairs() {
			setPair(ts, s, p.ID, "synced", nil)
		}
		for _, srv := range a.ServersOf(a.Pairs()) {
			ts.Check(s.Health().SaveServer(ctx, health.Server{Name: srv.Name, CheckedAt: now.Add(-20 * time.Second), UpAt: now.Add(-20 * time.Second),
				Latency: 31 * time.Millisecond}))
		}
	}
}

func writeFleetConfig(ts *testscript.TestScript, orgs int, replicas []string) {
	var b bytes.Buffer
	b.WriteString(fleetConfig)
	for _, r := range replicas {
		fmt.Fprintf(&b, "[[replica]]\nname = %q\nurl = \"https://%s.chef.example.com\"\nuser = \"sync\"\nkey = \"file:%s.pem\"\n", r, r, r)
	}
	for i := range orgs {
		name := fmt.Sprintf("team-%02d", i)
		if i == 0 {
			name = "engineering"
		}
		fmt.Fprintf(&b, "[[organization]]\nsource = %q\n", name)
	}
	writeFile(ts, "chef-sync.toml", b.Bytes())
}

// setPair records a pair in a state.
func setPair(ts *testscript.TestScript, s *sqlite.State, id replication.PairID, state string, args []string) {
	ctx, now := context.Background(), fleetNow()
	n := 1
	if len(args) > 0 {
		var err error
		n, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	at := now.Add(-31 * time.Second)
	p := replication.Progress{Status: replication.Synced, Since: now.Add(-26 * time.Hour), Feed: "updated_since", LastAttempt: at, LastSuccess: at,
		LastCompare: now.Add(-5 * time.Hour), LastVerified: now.Add(-5 * time.Hour), LastCheck: now.Add(-5 * time.Hour), NextRun: now.Add(29 * time.Second), Objects: 38}
	switch state {
	case "synced":
	case "held":
		p.Status, p.Pending = replication.Held, n
		p.Hold = &replication.Hold{At: now.Add(-80 * time.Second), Deletes: n,
			Reason: fmt.Sprintf("%d of 38 objects would be deleted; the limit is 20%%, here 7", n)}
	case "failing":
		p.Status, p.Failures = replication.Retrying, n
		p.LastError = &replication.Failure{At: now.Add(-2 * time.Minute), Class: fault.Transient, Message: "list /data on " + id.Replica + ": unavailable (503)",
			Hint: "the server is overloaded, restarting or in maintenance; check chef-server-ctl status"}
	case "denied":
		p.Status = replication.Blocked
		p.LastError = &replication.Failure{At: now.Add(-2 * time.Minute), Class: fault.Denied, Message: "read /organizations/" + id.Org + " on " + id.Replica + ": refused (401)",
			Hint: "the key isn't the user's: chef-sync-ctl doctor"}
	case "unsynced":
		p.Status, p.Unsynced, p.UnsyncedSince = replication.Retrying, n, now.Add(-20*time.Minute)
	case "late":
		p.LastAttempt, p.LastSuccess, p.NextRun = now.Add(-time.Duration(n)*time.Minute), now.Add(-time.Duration(n)*time.Minute), now.Add(-time.Duration(n-1)*time.Minute)
	case "drifted":
		p.Drift = &replication.Drift{At: now.Add(-5 * time.Hour), Changed: n}
	case "new":
		p = replication.Progress{}
	case "copying":
		p = replication.Progress{Status: replication.Bootstrapping, Since: now.Add(-4 * time.Minute), LastAttempt: now.Add(-10 * time.Second), Objects: 1200, Pending: 3850,
			Work: &replication.Work{Started: now.Add(-4 * time.Minute), Full: true}}
	case "stopped":
		ts.Check(s.ChangeDesired(ctx, id, replication.DesiredChange{Stop: new(true), Reason: new("maintenance until noon"), At: now.Add(-time.Hour)}))
	default:
		ts.Fatalf("unknown state %s", state)
	}
	st, err := s.Pair(ctx, id)
	ts.Check(err)
	ts.Check(s.SaveProgress(ctx, id, st.Lease.Fence, now, p))
	if state == "copying" {
		_, err := s.Acquire(ctx, id, "vm:1", now, time.Minute)
		ts.Check(err)
	}
}

// screenCommand runs the program at fleetNow on a terminal of COLUMNSxROWS, or with its
// output in a pipe, and writes what it prints to the file screen:
//
//	screen 80x24|pipe [CODE] ARGS...
func screenCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: screen COLUMNSxROWS|pipe [CODE] ARGS...")
	}
	size, args := args[0], args[1:]
	want, err := strconv.Atoi(args[0])
	if err == nil {
		args = args[1:]
	}
	var out, stderr bytes.Buffer
	streams := cmdline.Streams{In: strings.NewReader(""), Out: &out, Err: &stderr, Now: fleetNow,
		LookupEnv: func(string) (string, bool) { return "", false }}
	if size != "pipe" {
		var columns, rows int
		if _, err := fmt.Sscanf(size, "%dx%d", &columns, &rows); err != nil {
			ts.Fatalf("size %q: %v", size, err)
		}
		streams.OutTTY, streams.OutSize = true, func() ui.Size { return ui.Size{Columns: columns, Lines: rows} }
	}
	code := executeArgs(context.Background(), append(args, "--color", "never", "-c", filepath.Join(ts.MkAbs("."), "chef-sync.toml")), streams)
	if code != want {
		ts.Fatalf("exit code %d, want %d\n%s%s", code, want, out.String(), stderr.String())
	}
	writeFile(ts, "screen", append(out.Bytes(), stderr.Bytes()...))
}
