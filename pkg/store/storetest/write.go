package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// fullUpdate returns an update that sets something in every record.
func fullUpdate() replication.Update {
	return replication.Update{
		Progress: progressAt(10),
		Entries: replication.Entries{
			roleRef("web"): {Fingerprint: "f1"},
			roleRef("db"):  {Fingerprint: "f2"},
			roleRef("bad"): {Dirty: true, Failure: &replication.Unsynced{Ref: roleRef("bad"), Class: fault.Rejected, Reason: "400", Attempts: 1,
				FirstSeen: startTime()}},
		},
		Run: &replication.Run{ID: "r1", Pair: pairA(), Started: startTime(), Outcome: "running"},
	}
}

// otherUpdate returns an update that changes all of fullUpdate.
func otherUpdate() replication.Update {
	return replication.Update{
		Progress: progressAt(99),
		Entries: replication.Entries{
			roleRef("web"):   {Fingerprint: "changed"},
			roleRef("new"):   {Fingerprint: "f3"},
			roleRef("worse"): {Failure: &replication.Unsynced{Ref: roleRef("worse"), Reason: "413"}},
			roleRef("db"):    {},
			roleRef("bad"):   {},
		},
		Run: &replication.Run{ID: "r2", Pair: pairA()},
	}
}

func testCommit(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	u := fullUpdate()
	commitUpdate(t, s, pairA(), fence, u)
	want := pairRecords{
		Pair: replication.PairState{ID: pairA(), Progress: u.Progress,
			Lease: replication.Lease{Owner: "me", Expires: startTime().Add(leaseTTL), Fence: fence}},
		Entries: u.Entries,
		Runs:    []replication.Run{*u.Run},
	}
	assertEqual(t, "what is stored", want, readPair(t, s, pairA()))
}

func testCommitDrops(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	commitUpdate(t, s, pairA(), fence, fullUpdate())
	u := otherUpdate()
	u.Entries[roleRef("never there")] = replication.Entry{}
	commitUpdate(t, s, pairA(), fence, u)
	got := readPair(t, s, pairA())
	maps.DeleteFunc(u.Entries, func(_ object.Ref, e replication.Entry) bool { return e == replication.Entry{} })
	assertEqual(t, "entries", u.Entries, got.Entries)
	assertEqual(t, "runs", []replication.Run{*u.Run, *fullUpdate().Run}, got.Runs)
	assertEqual(t, "progress", u.Progress, got.Pair.Progress)

	commitUpdate(t, s, pairA(), fence, replication.Update{Progress: progressAt(100)})
	got.Pair.Progress = progressAt(100)
	assertEqual(t, "an update of the progress alone", got, readPair(t, s, pairA()))
}

func testCommitTwice(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	commitUpdate(t, s, pairA(), fence, fullUpdate())
	commitUpdate(t, s, pairA(), fence, otherUpdate())
	want := readPair(t, s, pairA())
	commitUpdate(t, s, pairA(), fence, otherUpdate())
	assertEqual(t, "after the same commit again", want, readPair(t, s, pairA()))
}

func testCommitFenced(t *testing.T, open func() replication.State) {
	s := open()
	old := acquireLease(t, s, pairA(), "one", startTime())
	commitUpdate(t, s, pairA(), old, fullUpdate())
	fence := acquireLease(t, s, pairA(), "two", startTime().Add(leaseTTL))
	before := readPair(t, s, pairA())
	now := startTime().Add(leaseTTL)
	for name, try := range map[string]struct {
		id    replication.PairID
		fence int64
		now   time.Time
	}{
		"an old token":           {pairA(), old, now},
		"a made-up token":        {pairA(), fence + 1, now},
		"no token":               {pairA(), 0, now},
		"a lease that just ends": {pairA(), fence, now.Add(leaseTTL)},
		"a lease long over":      {pairA(), fence, now.Add(time.Hour)},
		"a pair never seen":      {pairB(), 0, now},
		"another pair's token":   {pairB(), fence, now},
	} {
		if err := s.Commit(t.Context(), try.id, try.fence, try.now, otherUpdate()); !errors.Is(err, replication.ErrFenced) {
			t.Errorf("Commit with %s: %v, want ErrFenced", name, err)
		}
	}
	assertEqual(t, "the pair after refused commits", before, readPair(t, s, pairA()))
	assertEqual(t, "the other pair", pairRecords{Pair: replication.PairState{ID: pairB()}}, readPair(t, s, pairB()))
}

// testCommitAtomic reads while another handle commits updates whose parts carry
// the same number. A reader that sees the run of a commit sees all of it.
func testCommitAtomic(t *testing.T, open func() replication.State) {
	writer, reader := open(), open()
	const commits = 40
	fence := acquireLease(t, writer, pairA(), "me", startTime())
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range commits {
			u := replication.Update{
				Progress: progressAt(int64(n)),
				Entries:  replication.Entries{roleRef(fmt.Sprint(n)): {Fingerprint: fmt.Sprint(n)}},
				Run:      &replication.Run{ID: fmt.Sprintf("%04d", n), Pair: pairA()},
			}
			if err := writer.Commit(context.Background(), pairA(), fence, startTime(), u); err != nil {
				t.Errorf("Commit %d: %v", n, err)
			}
		}
	})
	for seen := 0; seen < commits && !t.Failed(); {
		a := readInOrder(t, reader)
		seen = len(a.Runs)
		if len(a.Entries) < seen || a.Pair.Progress.Position != nil && a.Pair.Progress.Position.Seq < int64(seen)-1 {
			t.Errorf("%d runs are visible but only %d objects and progress %+v", seen, len(a.Entries), a.Pair.Progress.Position)
		}
	}
	wg.Wait()
}

// readInOrder reads the runs first: what is read later may be newer, never older.
func readInOrder(t *testing.T, s replication.State) (a pairRecords) {
	t.Helper()
	var errs [3]error
	a.Runs, errs[0] = s.Runs(t.Context(), pairA(), 1000)
	a.Entries, errs[1] = s.Entries(t.Context(), pairA())
	a.Pair, errs[2] = s.Pair(t.Context(), pairA())
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return a
}

func testPairsApart(t *testing.T, open func() replication.State) {
	s := open()
	a, b := acquireLease(t, s, pairA(), "me", startTime()), acquireLease(t, s, pairB(), "me", startTime())
	commitUpdate(t, s, pairA(), a, fullUpdate())
	before := readPair(t, s, pairA())
	u := otherUpdate()
	u.Entries[roleRef("web")] = replication.Entry{}
	commitUpdate(t, s, pairB(), b, u)
	assertEqual(t, "the pair that nobody wrote", before, readPair(t, s, pairA()))
}

func testSaveProgress(t *testing.T, open func() replication.State) {
	s := open()
	if err := s.SaveProgress(t.Context(), pairA(), 0, startTime(), progressAt(1)); err != nil {
		t.Fatalf("SaveProgress on a pair never seen: %v", err)
	}
	if err := s.SaveProgress(t.Context(), pairA(), 0, startTime(), progressAt(2)); err != nil {
		t.Fatalf("SaveProgress on a pair never taken: %v", err)
	}
	assertEqual(t, "the record", replication.PairState{ID: pairA(), Progress: progressAt(2)}, readPair(t, s, pairA()).Pair)

	fence := acquireLease(t, s, pairA(), "me", startTime())
	commitUpdate(t, s, pairA(), fence, fullUpdate())
	if err := s.Release(t.Context(), pairA(), fence); err != nil {
		t.Fatal(err)
	}
	want := readPair(t, s, pairA())
	if err := s.SaveProgress(t.Context(), pairA(), fence, startTime(), progressAt(20)); err != nil {
		t.Fatalf("SaveProgress after a release: %v", err)
	}
	want.Pair.Progress = progressAt(20)
	assertEqual(t, "everything but the progress", want, readPair(t, s, pairA()))

	acquireLease(t, s, pairA(), "crashed", startTime())
	if err := s.SaveProgress(t.Context(), pairA(), fence+1, startTime().Add(leaseTTL), progressAt(21)); err != nil {
		t.Errorf("SaveProgress after the lease of a dead holder ended: %v", err)
	}
}

func testSaveProgressFenced(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "one", startTime())
	commitUpdate(t, s, pairA(), fence, fullUpdate())
	before := readPair(t, s, pairA())
	refused := func(name string, id replication.PairID, fence int64, now time.Time) {
		t.Helper()
		if err := s.SaveProgress(t.Context(), id, fence, now, progressAt(99)); !errors.Is(err, replication.ErrFenced) {
			t.Errorf("SaveProgress with %s: %v, want ErrFenced", name, err)
		}
	}
	refused("a lease held by another", pairA(), fence, startTime())
	refused("a lease held to its last millisecond", pairA(), fence, startTime().Add(leaseTTL-time.Millisecond))
	refused("the token read before the first taking", pairA(), 0, startTime().Add(leaseTTL))
	refused("a made-up token", pairA(), fence+1, startTime().Add(leaseTTL))
	refused("the token of a pair never seen", pairB(), 1, startTime())
	assertEqual(t, "the record", before, readPair(t, s, pairA()))
	assertEqual(t, "the pair never seen", pairRecords{Pair: replication.PairState{ID: pairB()}}, readPair(t, s, pairB()))
}

func testDesiredApart(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	commitUpdate(t, s, pairA(), fence, fullUpdate())
	before := readPair(t, s, pairA())
	stop, reason := true, "maintenance"
	if err := s.ChangeDesired(t.Context(), pairA(), replication.DesiredChange{Stop: &stop, Reason: &reason, At: startTime()}); err != nil {
		t.Fatal(err)
	}
	before.Pair.Desired = replication.Desired{Stopped: true, Reason: reason, Since: startTime()}
	assertEqual(t, "a change of the desired state beside a held lease", before, readPair(t, s, pairA()))

	commitUpdate(t, s, pairA(), fence, replication.Update{Progress: progressAt(11)})
	before.Pair.Progress = progressAt(11)
	assertEqual(t, "a commit after a change", before, readPair(t, s, pairA()))

	if err := s.Release(t.Context(), pairA(), fence); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveProgress(t.Context(), pairA(), fence, startTime(), progressAt(12)); err != nil {
		t.Fatal(err)
	}
	assertEqual(t, "the desired state after SaveProgress", before.Pair.Desired, readPair(t, s, pairA()).Pair.Desired)
}

func testDesiredPartly(t *testing.T, open func() replication.State) {
	s := open()
	stop, start, reason, deletes := true, false, "why", 7
	resync, retry := startTime().Add(time.Minute), startTime().Add(2*time.Minute)
	want := replication.Desired{}
	for i, d := range []replication.DesiredChange{
		{Stop: &stop, Reason: &reason},
		{AllowDeletes: &deletes},
		{Resync: &resync},
		{Retry: &retry},
		{Stop: &start},
		{},
	} {
		d.At = startTime().Add(time.Duration(i) * time.Hour)
		want = want.With(d)
		if err := s.ChangeDesired(t.Context(), pairA(), d); err != nil {
			t.Fatal(err)
		}
		assertEqual(t, fmt.Sprintf("the desired state after change %d", i), replication.PairState{ID: pairA(), Desired: want},
			readPair(t, s, pairA()).Pair)
	}
}
