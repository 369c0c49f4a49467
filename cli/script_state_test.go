package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"chefsync/pkg/replication"
	"chefsync/pkg/state"
)

// leaseCommand plays another process: lease take PAIR OWNER. With lease free PAIR
// it lets go, and a dead one's lease ends without waiting for the minute.
func leaseCommand(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	s := scriptState(ts)
	id, err := replication.ParsePairID(args[1])
	ts.Check(err)
	if args[0] == "take" {
		_, err = s.Acquire(ctx, id, args[2], time.Now(), 2*replication.DefaultLeaseTTL)
		ts.Check(err)
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
	s, err := state.OpenSQLite(context.Background(), ts.MkAbs("state.db"))
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
