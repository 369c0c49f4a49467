package replication_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

// world is a primary, a replica and one pair, with a clock that the test moves.
type world struct {
	t                testing.TB
	primary, replica *replicationtest.Org
	scanner          *replicationtest.Scanner // the feed, or nil: the primary serves one
	scan             *replicationtest.Scan    // under way, or nil
	scanned          func()                   // edits the primary back to what the last drawn scan saw
	state            *store.Store
	stage            *replicationtest.Stage
	clock            clock
	pair             replication.Pair
	tuning           replication.Tuning
	processes        int
}

var pairID = replication.PairID{Replica: "eu", Org: "engineering"}

func newWorld(t testing.TB) *world {
	return &world{
		t: t, primary: replicationtest.NewOrg("primary"), replica: replicationtest.NewOrg("replica"),
		state: store.New(&kvtest.Memory{}), stage: &replicationtest.Stage{},
		clock: clock{t: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		pair:  replication.Pair{ID: pairID, SourceOrg: "engineering", Space: "s", Interval: time.Minute, CompareEvery: 15 * time.Minute},
	}
}

// clock is a clock that only the test moves. An engine reads it from several goroutines.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (w *world) now() time.Time {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	return w.clock.t
}

func (w *world) setClock(t time.Time) {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	w.clock.t = t
}

func (w *world) advance(d time.Duration) {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	w.clock.t = w.clock.t.Add(d)
}

// engine makes an engine as a process of its own.
func (w *world) engine() *replication.Engine {
	w.processes++
	var feed replication.Feed = w.primary
	if w.scanner != nil {
		feed = w.scanner
	}
	return &replication.Engine{
		Pair: w.pair, Feed: feed, Source: w.primary, Target: w.replica, Stage: w.stage, State: w.state,
		Now: w.now, Owner: fmt.Sprintf("process-%d", w.processes), Tuning: w.tuning,
	}
}

// pass runs one pass and wants it to succeed.
func (w *world) pass() replication.Run {
	w.t.Helper()
	run, err := w.engine().Pass(context.Background(), replication.PassOptions{Trigger: "test"})
	if err != nil {
		w.t.Fatalf("pass: %v", err)
	}
	w.advance(time.Minute)
	return run
}

func (w *world) wantOutcome(run replication.Run, outcome replication.Outcome) {
	w.t.Helper()
	if run.Outcome != outcome {
		w.t.Fatalf("outcome %q, want %q (%+v)", run.Outcome, outcome, run)
	}
}

// wantEqual wants the replica to hold what the primary holds, and nothing torn.
func (w *world) wantEqual() {
	w.t.Helper()
	if d := cmp.Diff(w.primary.Snapshot(), w.replica.Snapshot()); d != "" {
		w.t.Fatalf("the replica differs (-primary +replica):\n%s", d)
	}
	if torn := w.replica.Broken(); len(torn) > 0 {
		w.t.Fatalf("torn cookbook versions on the replica: %v", torn)
	}
}

func (w *world) record() replication.PairState {
	w.t.Helper()
	st, err := w.state.Pair(context.Background(), pairID)
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

func (w *world) wantStatus(s replication.Status) {
	w.t.Helper()
	if got := w.record().Status(); got != s {
		w.t.Fatalf("status %s, want %s (%+v)", got, s, w.record().Progress)
	}
}

// replicated returns the fingerprints of the objects that replication put on the replica,
// "?" for one that was written with unknown result.
func replicated(t rapid.TB, state replication.State) map[object.Ref]string {
	t.Helper()
	entries, err := state.Entries(context.Background(), pairID)
	if err != nil {
		t.Fatal(err)
	}
	all := map[object.Ref]string{}
	for r, e := range entries {
		switch {
		case e.Dirty:
			all[r] = "?"
		case e.Fingerprint != "":
			all[r] = e.Fingerprint
		}
	}
	return all
}

func (w *world) unsynced() []replication.Unsynced {
	w.t.Helper()
	entries, err := w.state.Entries(context.Background(), pairID)
	if err != nil {
		w.t.Fatal(err)
	}
	return entries.Unsynced()
}

func (w *world) direct(d replication.DesiredChange) {
	w.t.Helper()
	d.At = w.now()
	if err := w.state.ChangeDesired(context.Background(), pairID, d); err != nil {
		w.t.Fatal(err)
	}
}

// fill puts a bit of everything on the primary.
func (w *world) fill() {
	w.primary.Set("/data/users/alice", "alice")
	w.primary.Set("/data/users/bob", "bob")
	w.primary.Set("/roles/base", "base")
	w.primary.Set("/roles/web", "web")
	w.primary.Set("/cookbooks/apt/1.0.0", "apt1", "recipe", "shared")
	w.primary.Set("/cookbooks/apt/1.1.0", "apt2", "recipe2", "shared")
	w.primary.Set("/cookbooks/nginx/2.0.0", "nginx", "shared", "")
	w.primary.Set("/environments/prod", "prod")
}

func refused(class fault.Class) error {
	return &fault.Error{Op: "write", Class: class, Err: errors.New("refused by the test")}
}
