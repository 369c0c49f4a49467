package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// full is an update with something in every part that sets.
func full() replication.Update {
	return replication.Update{
		Progress: at(10),
		Applied:  map[object.Ref]string{role("web"): "f1", role("db"): "f2"},
		Unsynced: []replication.Unsynced{{Ref: role("bad"), Class: fault.Rejected, Reason: "400", Attempts: 1, FirstSeen: t0()}},
		Run:      &replication.Run{ID: "r1", Pair: pairA(), Started: t0(), Outcome: "running"},
	}
}

// other differs from full in every part.
func other() replication.Update {
	return replication.Update{
		Progress: at(99),
		Applied:  map[object.Ref]string{role("web"): "changed", role("new"): "f3"},
		Removed:  []object.Ref{role("db")},
		Unsynced: []replication.Unsynced{{Ref: role("worse"), Reason: "413"}},
		Synced:   []object.Ref{role("bad")},
		Run:      &replication.Run{ID: "r2", Pair: pairA()},
	}
}

func testCommit(t *testing.T, open func() replication.State) {
	s := open()
	fence := take(t, s, pairA(), "me", t0())
	u := full()
	commit(t, s, pairA(), fence, u)
	want := all{
		Pair:      replication.PairState{ID: pairA(), Progress: u.Progress, Lease: replication.Lease{Owner: "me", Expires: t0().Add(ttl), Fence: fence}},
		Inventory: u.Applied,
		Unsynced:  u.Unsynced,
		Runs:      []replication.Run{*u.Run},
	}
	same(t, "what is stored", want, read(t, s, pairA()))
}

func testCommitDrops(t *testing.T, open func() replication.State) {
	s := open()
	fence := take(t, s, pairA(), "me", t0())
	commit(t, s, pairA(), fence, full())
	u := other()
	u.Removed = append(u.Removed, role("never there"))
	u.Synced = append(u.Synced, role("never there"))
	commit(t, s, pairA(), fence, u)
	got := read(t, s, pairA())
	same(t, "inventory", map[object.Ref]string{role("web"): "changed", role("new"): "f3"}, got.Inventory)
	same(t, "unsynced", u.Unsynced, got.Unsynced)
	same(t, "runs", []replication.Run{*u.Run, *full().Run}, got.Runs)
	same(t, "progress", u.Progress, got.Pair.Progress)

	commit(t, s, pairA(), fence, replication.Update{Progress: at(100)})
	got.Pair.Progress = at(100)
	same(t, "an update of the progress alone", got, read(t, s, pairA()))
}

func testCommitTwice(t *testing.T, open func() replication.State) {
	s := open()
	fence := take(t, s, pairA(), "me", t0())
	commit(t, s, pairA(), fence, full())
	commit(t, s, pairA(), fence, other())
	want := read(t, s, pairA())
	commit(t, s, pairA(), fence, other())
	same(t, "after the same commit again", want, read(t, s, pairA()))
}

func testCommitFenced(t *testing.T, open func() replication.State) {
	s := open()
	old := take(t, s, pairA(), "one", t0())
	commit(t, s, pairA(), old, full())
	fence := take(t, s, pairA(), "two", t0().Add(ttl))
	before := read(t, s, pairA())
	now := t0().Add(ttl)
	for name, try := range map[string]struct {
		id    replication.PairID
		fence int64
		now   time.Time
	}{
		"an old token":           {pairA(), old, now},
		"a made-up token":        {pairA(), fence + 1, now},
		"no token":               {pairA(), 0, now},
		"a lease that just ends": {pairA(), fence, now.Add(ttl)},
		"a lease long over":      {pairA(), fence, now.Add(time.Hour)},
		"a pair never seen":      {pairB(), 0, now},
		"another pair's token":   {pairB(), fence, now},
	} {
		if err := s.Commit(t.Context(), try.id, try.fence, try.now, other()); !errors.Is(err, replication.ErrFenced) {
			t.Errorf("Commit with %s: %v, want ErrFenced", name, err)
		}
	}
	same(t, "the pair after refused commits", before, read(t, s, pairA()))
	same(t, "the other pair", all{Pair: replication.PairState{ID: pairB()}}, read(t, s, pairB()))
}

// testCommitAtomic reads while another handle commits updates whose parts carry
// the same number. A reader that sees the run of a commit sees all of it.
func testCommitAtomic(t *testing.T, open func() replication.State) {
	writer, reader := open(), open()
	const commits = 40
	fence := take(t, writer, pairA(), "me", t0())
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range commits {
			u := replication.Update{
				Progress: at(int64(n)),
				Applied:  map[object.Ref]string{role(fmt.Sprint(n)): fmt.Sprint(n)},
				Run:      &replication.Run{ID: fmt.Sprintf("%04d", n), Pair: pairA()},
			}
			if err := writer.Commit(context.Background(), pairA(), fence, t0(), u); err != nil {
				t.Errorf("Commit %d: %v", n, err)
			}
		}
	})
	for seen := 0; seen < commits && !t.Failed(); {
		a := readInOrder(t, reader)
		seen = len(a.Runs)
		if len(a.Inventory) < seen || a.Pair.Progress.Position != nil && a.Pair.Progress.Position.Seq < int64(seen)-1 {
			t.Errorf("%d runs are visible but only %d objects and progress %+v", seen, len(a.Inventory), a.Pair.Progress.Position)
		}
	}
	wg.Wait()
}

// readInOrder reads the runs first: what is read later may be newer, never older.
func readInOrder(t *testing.T, s replication.State) (a all) {
	t.Helper()
	var errs [3]error
	a.Runs, errs[0] = s.Runs(t.Context(), pairA(), 1000)
	a.Inventory, errs[1] = s.Inventory(t.Context(), pairA())
	a.Pair, errs[2] = s.Pair(t.Context(), pairA())
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return a
}

func testPairsApart(t *testing.T, open func() replication.State) {
	s := open()
	a, b := take(t, s, pairA(), "me", t0()), take(t, s, pairB(), "me", t0())
	commit(t, s, pairA(), a, full())
	before := read(t, s, pairA())
	u := other()
	u.Removed = []object.Ref{role("web"), role("db")}
	commit(t, s, pairB(), b, u)
	same(t, "the pair that nobody wrote", before, read(t, s, pairA()))
}

func testNote(t *testing.T, open func() replication.State) {
	s := open()
	if err := s.SaveProgress(t.Context(), pairA(), 0, t0(), at(1)); err != nil {
		t.Fatalf("Note on a pair never seen: %v", err)
	}
	if err := s.SaveProgress(t.Context(), pairA(), 0, t0(), at(2)); err != nil {
		t.Fatalf("Note on a pair never taken: %v", err)
	}
	same(t, "the record", replication.PairState{ID: pairA(), Progress: at(2)}, read(t, s, pairA()).Pair)

	fence := take(t, s, pairA(), "me", t0())
	commit(t, s, pairA(), fence, full())
	if err := s.Release(t.Context(), pairA(), fence); err != nil {
		t.Fatal(err)
	}
	want := read(t, s, pairA())
	if err := s.SaveProgress(t.Context(), pairA(), fence, t0(), at(20)); err != nil {
		t.Fatalf("Note after a release: %v", err)
	}
	want.Pair.Progress = at(20)
	same(t, "everything but the progress", want, read(t, s, pairA()))

	take(t, s, pairA(), "crashed", t0())
	if err := s.SaveProgress(t.Context(), pairA(), fence+1, t0().Add(ttl), at(21)); err != nil {
		t.Errorf("Note after the lease of a dead holder ended: %v", err)
	}
}

func testNoteFenced(t *testing.T, open func() replication.State) {
	s := open()
	fence := take(t, s, pairA(), "one", t0())
	commit(t, s, pairA(), fence, full())
	before := read(t, s, pairA())
	refused := func(name string, id replication.PairID, fence int64, now time.Time) {
		t.Helper()
		if err := s.SaveProgress(t.Context(), id, fence, now, at(99)); !errors.Is(err, replication.ErrFenced) {
			t.Errorf("Note with %s: %v, want ErrFenced", name, err)
		}
	}
	refused("a lease held by another", pairA(), fence, t0())
	refused("a lease held to its last millisecond", pairA(), fence, t0().Add(ttl-time.Millisecond))
	refused("the token read before the first taking", pairA(), 0, t0().Add(ttl))
	refused("a made-up token", pairA(), fence+1, t0().Add(ttl))
	refused("the token of a pair never seen", pairB(), 1, t0())
	same(t, "the record", before, read(t, s, pairA()))
	same(t, "the pair never seen", all{Pair: replication.PairState{ID: pairB()}}, read(t, s, pairB()))
}

func testDirectApart(t *testing.T, open func() replication.State) {
	s := open()
	fence := take(t, s, pairA(), "me", t0())
	commit(t, s, pairA(), fence, full())
	before := read(t, s, pairA())
	stop, reason := true, "maintenance"
	if err := s.ChangeDesired(t.Context(), pairA(), replication.DesiredChange{Stop: &stop, Reason: &reason, At: t0()}); err != nil {
		t.Fatal(err)
	}
	before.Pair.Desired = replication.Desired{Stopped: true, Reason: reason, Since: t0()}
	same(t, "a change beside a held lease", before, read(t, s, pairA()))

	commit(t, s, pairA(), fence, replication.Update{Progress: at(11)})
	before.Pair.Progress = at(11)
	same(t, "a commit after a change of the desired state", before, read(t, s, pairA()))

	if err := s.Release(t.Context(), pairA(), fence); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveProgress(t.Context(), pairA(), fence, t0(), at(12)); err != nil {
		t.Fatal(err)
	}
	same(t, "the desired state after progress was saved", before.Pair.Desired, read(t, s, pairA()).Pair.Desired)
}

func testDirectPartly(t *testing.T, open func() replication.State) {
	s := open()
	stop, start, reason, deletes := true, false, "why", 7
	resync, retry := t0().Add(time.Minute), t0().Add(2*time.Minute)
	want := replication.Desired{}
	for i, d := range []replication.DesiredChange{
		{Stop: &stop, Reason: &reason},
		{AllowDeletes: &deletes},
		{Resync: &resync},
		{Retry: &retry},
		{Stop: &start},
		{},
	} {
		d.At = t0().Add(time.Duration(i) * time.Hour)
		want = want.With(d)
		if err := s.ChangeDesired(t.Context(), pairA(), d); err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("the desired state after change %d", i), replication.PairState{ID: pairA(), Desired: want}, read(t, s, pairA()).Pair)
	}
}
