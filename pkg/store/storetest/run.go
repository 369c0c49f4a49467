// Package storetest is the suite that every implementation of
// [replication.State] passes. Times are arguments of the interface, so nothing
// here waits.
package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Run runs the suite. A call of newStore makes an empty store; each call of the
// function that it returns opens that store once more, as another process would.
// The factory closes what it opened with t.Cleanup.
func Run(t *testing.T, newStore func(t *testing.T) (open func() replication.State)) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, open func() replication.State)
	}{
		{"a pair never seen is empty", testUnseen},
		{"pairs are sorted by id", testPairs},
		{"a free lease is taken", testAcquireFree},
		{"a held lease is refused and names its holder", testAcquireHeld},
		{"an expired lease is taken", testAcquireExpired},
		{"the owner takes its own lease again", testAcquireOwn},
		{"a lease needs an owner and a duration", testAcquireInvalid},
		{"a lease is renewed until it ends", testRenew},
		{"a released lease is free", testRelease},
		{"a stale release does nothing", testReleaseStale},
		{"one of many takers wins", testAcquireRace},
		{"a commit writes every part", testCommit},
		{"a commit drops what it names", testCommitDrops},
		{"a commit can be repeated", testCommitTwice},
		{"a commit without its lease writes nothing", testCommitFenced},
		{"commits are seen whole or not at all", testCommitAtomic},
		{"pairs are apart", testPairsApart},
		{"saved progress replaces the progress", testSaveProgress},
		{"progress is not saved while another holds the lease", testSaveProgressFenced},
		{"desired state and progress are independent", testDesiredApart},
		{"changes of the desired state leave what they don't name", testDesiredPartly},
		{"every field comes back, times in UTC", testFields},
		{"every name of an object comes back", testNames},
		{"more objects than one transaction takes come back", testManyObjects},
		{"unsynced objects are sorted", testUnsyncedSorted},
		{"runs come newest first and limited", testRuns},
		{"backups come from a run on, oldest first", testBackups},
		{"everything is there after reopening", testReopen},
		{"an ended context ends the operation", testContext},
		{"it behaves like maps in memory", testModel},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, newStore(t)) })
	}
}

// startTime returns the time at which each test begins.
func startTime() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

const leaseTTL = time.Minute

func pairA() replication.PairID { return replication.PairID{Replica: "eu", Org: "engineering"} }
func pairB() replication.PairID { return replication.PairID{Replica: "us", Org: "engineering"} }

func roleRef(name string) object.Ref {
	return object.Ref{Kind: object.Role, Name: name}
}

func progressAt(seq int64) replication.Progress {
	return replication.Progress{Status: replication.Synced, Position: &replication.Position{Identity: "primary", Seq: seq}}
}

func acquireLease(t *testing.T, s replication.State, id replication.PairID, owner string, now time.Time) int64 {
	t.Helper()
	st, err := s.Acquire(t.Context(), id, owner, now, leaseTTL)
	if err != nil {
		t.Fatalf("Acquire(%s, %s): %v", id, owner, err)
	}
	return st.Lease.Fence
}

func commitUpdate(t *testing.T, s replication.State, id replication.PairID, fence int64, u replication.Update) {
	t.Helper()
	if err := s.Commit(t.Context(), id, fence, startTime(), u); err != nil {
		t.Fatalf("Commit(%s): %v", id, err)
	}
}

// pairRecords holds all records of a pair.
type pairRecords struct {
	Pair    replication.PairState
	Entries replication.Entries
	Runs    []replication.Run
}

type fatalReporter interface {
	Helper()
	Fatalf(format string, args ...any)
}

func readPair(t fatalReporter, s replication.State, id replication.PairID) (a pairRecords) {
	t.Helper()
	ctx := context.Background()
	var errs [3]error
	a.Pair, errs[0] = s.Pair(ctx, id)
	a.Entries, errs[1] = s.Entries(ctx, id)
	a.Runs, errs[2] = s.Runs(ctx, id, 1000)
	for _, err := range errs {
		if err != nil {
			t.Fatalf("reading %s: %v", id, err)
		}
	}
	return a
}

// assertEqual fails the test unless got equals want. An empty list equals nil.
func assertEqual(t fatalReporter, what string, want, got any) {
	t.Helper()
	if reflect.DeepEqual(want, got) { // faster, for what is large
		return
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}
