package cli

import (
	"context"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chefsync/pkg/config"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

// scansCommand plays scans of the past. With "scans age SPAN" what is not read now
// was read that much longer ago; with "scans stop SPAN" nobody has
// scanned since.
func scansCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: scans age|stop SPAN")
	}
	span, err := time.ParseDuration(args[1])
	ts.Check(err)
	c, err := config.ProcessLoader().Load(ts.MkAbs("chef-sync.toml"))
	ts.Check(err)
	s, err := sqlite.OpenState(context.Background(), ts.MkAbs("state.db"))
	ts.Check(err)
	defer func() { ts.Check(s.Close()) }()
	space := c.Pairs()[0].Space
	last, err := s.ChangeLogs().LastScan(context.Background(), space)
	ts.Check(err)
	if last.Failures > 0 || args[0] == "stop" {
		last.Good = last.Good.Add(-span)
	}
	for i := range last.Unread {
		last.Unread[i].Since = last.Unread[i].Since.Add(-span)
	}
	if args[0] == "stop" {
		last.Ended = last.Ended.Add(-span)
	}
	ts.Check(s.ChangeLogs().RecordScan(context.Background(), space, last))
}

// passesCommand plays passes of the past: "passes stop PAIR SPAN" makes the newest one
// that much older.
func passesCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: passes stop PAIR SPAN")
	}
	span, err := time.ParseDuration(args[2])
	ts.Check(err)
	id, err := replication.ParsePairID(args[1])
	ts.Check(err)
	s, err := sqlite.OpenState(context.Background(), ts.MkAbs("state.db"))
	ts.Check(err)
	defer func() { ts.Check(s.Close()) }()
	st, err := s.Pair(context.Background(), id)
	ts.Check(err)
	p := st.Progress
	for _, at := range []*time.Time{&p.LastAttempt, &p.LastSuccess, &p.NextRun} {
		*at = at.Add(-span)
	}
	ts.Check(s.SaveProgress(context.Background(), id, st.Lease.Fence, time.Now(), p))
}

// daemonCommand plays a daemon that recorded its last heartbeat some time ago:
// daemon seen SPAN.
func daemonCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: daemon seen SPAN")
	}
	span, err := time.ParseDuration(args[1])
	ts.Check(err)
	s, err := sqlite.OpenState(context.Background(), ts.MkAbs("state.db"))
	ts.Check(err)
	defer func() { ts.Check(s.Close()) }()
	ts.Check(s.Health().SaveProcess(context.Background(), health.Process{Role: health.RoleDaemon, Owner: "vm:1", Seen: time.Now().Add(-span)}))
}
