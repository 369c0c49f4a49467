package cli

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

// leaseCommand plays another process: lease take PAIR OWNER, and lease run PAIR OWNER
// for one that has recorded a run for two minutes. With lease free PAIR it lets go, and
// a dead one's lease ends without waiting for the minute.
func leaseCommand(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	s := scriptState(ts)
	id, err := replication.ParsePairID(args[1])
	ts.Check(err)
	if args[0] != "free" {
		now := time.Now().UTC()
		st, err := s.Acquire(ctx, id, args[2], now, 2*replication.DefaultLeaseTTL)
		ts.Check(err)
		if args[0] == "run" {
			run := replication.Run{ID: fmt.Sprintf("%s-%d", now.Format("20060102T150405.000Z"), st.Lease.Fence), Pair: id, Trigger: "schedule",
				Mode: "compare", Started: now.Add(-12 * time.Minute), Seen: now.Add(-10 * time.Minute), Outcome: replication.OutcomeRunning}
			ts.Check(s.Commit(ctx, id, st.Lease.Fence, now, replication.Update{Progress: st.Progress, Run: &run}))
		}
		return
	}
	st, err := s.Pair(ctx, id)
	ts.Check(err)
	ts.Check(s.Release(ctx, id, st.Lease.Fence))
}

// scriptState is the state that a script's program works on.
func scriptState(ts *testscript.TestScript) replication.State {
	if d, onStack := ts.Value(stackKey{}).(*deployment); onStack {
		s, err := d.backend.State(context.Background())
		ts.Check(err)
		return s
	}
	s, err := sqlite.OpenState(context.Background(), ts.MkAbs("state.db"))
	ts.Check(err)
	ts.Defer(func() { _ = s.Close() })
	return s
}

// schemaCommand makes the state look as if a newer version had written it.
func schemaCommand(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs("state.db"))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec("PRAGMA user_version = " + args[0])
	ts.Check(err)
}
