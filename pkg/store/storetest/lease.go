package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/replication"
)

func testUnseen(t *testing.T, open func() replication.State) {
	s := open()
	same(t, "a pair never seen", all{Pair: replication.PairState{ID: pairA()}}, read(t, s, pairA()))
	pairs, err := s.Pairs(t.Context())
	if err != nil || len(pairs) != 0 {
		t.Fatalf("Pairs() = %v, %v; reading a pair must not create it", pairs, err)
	}
}

func testPairs(t *testing.T, open func() replication.State) {
	s := open()
	ids := []replication.PairID{{Replica: "eu", Org: "b"}, {Replica: "eu-2", Org: "a"}, {Replica: "eu", Org: "a"}, {Replica: "EU", Org: "z"}}
	for i, id := range ids {
		var err error
		switch i % 3 { // each of these makes a pair known
		case 0:
			err = s.SaveProgress(t.Context(), id, 0, t0(), at(1))
		case 1:
			_, err = s.Acquire(t.Context(), id, "me", t0(), ttl)
		case 2:
			err = s.ChangeDesired(t.Context(), id, replication.DesiredChange{At: t0()})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	pairs, err := s.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range pairs {
		got = append(got, p.ID.String())
		same(t, "Pairs() and Pair()", read(t, s, p.ID).Pair, p)
	}
	same(t, "order of Pairs()", []string{"EU/z", "eu-2/a", "eu/a", "eu/b"}, got)
}

func testAcquireFree(t *testing.T, open func() replication.State) {
	s := open()
	if err := s.SaveProgress(t.Context(), pairA(), 0, t0(), at(7)); err != nil {
		t.Fatal(err)
	}
	st, err := s.Acquire(t.Context(), pairA(), "me", t0(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	want := replication.PairState{ID: pairA(), Progress: at(7), Lease: replication.Lease{Owner: "me", Expires: t0().Add(ttl), Fence: 1}}
	same(t, "what Acquire returns", want, st)
	same(t, "what is stored", want, read(t, s, pairA()).Pair)
}

func testAcquireHeld(t *testing.T, open func() replication.State) {
	s := open()
	take(t, s, pairA(), "one", t0())
	before := read(t, s, pairA())
	_, err := s.Acquire(t.Context(), pairA(), "two", t0().Add(ttl-time.Millisecond), ttl)
	var leased *replication.LeasedError
	if !errors.As(err, &leased) {
		t.Fatalf("Acquire of a held lease: %v, want *LeasedError", err)
	}
	same(t, "the error", replication.LeasedError{What: "pair " + pairA().String(), Lease: before.Pair.Lease}, *leased)
	same(t, "the record", before, read(t, s, pairA()))
}

func testAcquireExpired(t *testing.T, open func() replication.State) {
	s := open()
	take(t, s, pairA(), "one", t0())
	if fence := take(t, s, pairA(), "two", t0().Add(ttl)); fence != 2 {
		t.Fatalf("fence %d after the second taking, want 2", fence)
	}
}

func testAcquireOwn(t *testing.T, open func() replication.State) {
	s := open()
	old := take(t, s, pairA(), "me", t0())
	fence := take(t, s, pairA(), "me", t0().Add(time.Second))
	if fence != old+1 {
		t.Fatalf("fence %d after %d, want one more", fence, old)
	}
	if err := s.Commit(t.Context(), pairA(), old, t0().Add(time.Second), replication.Update{}); !errors.Is(err, replication.ErrFenced) {
		t.Fatalf("Commit with the token of the first taking: %v, want ErrFenced", err)
	}
}

func testAcquireInvalid(t *testing.T, open func() replication.State) {
	s := open()
	if _, err := s.Acquire(t.Context(), pairA(), "", t0(), ttl); err == nil {
		t.Error("a lease without an owner was given")
	}
	if _, err := s.Acquire(t.Context(), pairA(), "me", t0(), 0); err == nil {
		t.Error("a lease without a duration was given")
	}
	same(t, "the record", all{Pair: replication.PairState{ID: pairA()}}, read(t, s, pairA()))
}

func testRenew(t *testing.T, open func() replication.State) {
	s := open()
	fence := take(t, s, pairA(), "me", t0())
	stop := true
	if err := s.ChangeDesired(t.Context(), pairA(), replication.DesiredChange{Stop: &stop, At: t0()}); err != nil {
		t.Fatal(err)
	}
	now := t0().Add(ttl / 2)
	st, err := s.Renew(t.Context(), pairA(), fence, now, ttl)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the renewed lease", replication.Lease{Owner: "me", Expires: now.Add(ttl), Fence: fence}, st.Lease)
	if !st.Desired.Stopped {
		t.Error("Renew doesn't show the stop that was asked for meanwhile")
	}
	before := read(t, s, pairA())
	same(t, "what Renew returned", before.Pair, st)
	for name, try := range map[string]struct {
		id    replication.PairID
		fence int64
		now   time.Time
	}{
		"an old token":       {pairA(), fence - 1, now},
		"a made-up token":    {pairA(), fence + 1, now},
		"another pair":       {pairB(), fence, now},
		"a lease that ended": {pairA(), fence, now.Add(ttl)},
	} {
		if _, err := s.Renew(t.Context(), try.id, try.fence, try.now, ttl); !errors.Is(err, replication.ErrFenced) {
			t.Errorf("Renew with %s: %v, want ErrFenced", name, err)
		}
	}
	same(t, "the record after refused renewals", before, read(t, s, pairA()))
}

func testRelease(t *testing.T, open func() replication.State) {
	s := open()
	fence := take(t, s, pairA(), "one", t0())
	for range 2 { // twice is harmless
		if err := s.Release(t.Context(), pairA(), fence); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "the lease", replication.Lease{Fence: fence}, read(t, s, pairA()).Pair.Lease)
	if _, err := s.Renew(t.Context(), pairA(), fence, t0(), ttl); !errors.Is(err, replication.ErrFenced) {
		t.Errorf("Renew after Release: %v, want ErrFenced", err)
	}
	if err := s.Commit(t.Context(), pairA(), fence, t0(), replication.Update{Progress: at(1)}); !errors.Is(err, replication.ErrFenced) {
		t.Errorf("Commit after Release: %v, want ErrFenced", err)
	}
	if next := take(t, s, pairA(), "two", t0()); next != fence+1 {
		t.Errorf("fence %d after a release of %d, want one more", next, fence)
	}
}

func testReleaseStale(t *testing.T, open func() replication.State) {
	s := open()
	old := take(t, s, pairA(), "one", t0())
	take(t, s, pairA(), "two", t0().Add(ttl))
	before := read(t, s, pairA())
	if err := s.Release(t.Context(), pairA(), old); err != nil {
		t.Fatalf("a stale Release: %v, want no error", err)
	}
	if err := s.Release(t.Context(), pairB(), 1); err != nil {
		t.Fatalf("Release of a pair never seen: %v, want no error", err)
	}
	same(t, "the record", before, read(t, s, pairA()))
}

func testAcquireRace(t *testing.T, open func() replication.State) {
	const takers, rounds = 16, 5
	handles := []replication.State{open(), open()}
	for round := range rounds {
		now := t0().Add(time.Duration(round) * ttl)
		errs := make([]error, takers)
		var wg sync.WaitGroup
		for i := range takers {
			wg.Go(func() {
				_, errs[i] = handles[i%len(handles)].Acquire(t.Context(), pairA(), fmt.Sprintf("taker %d", i), now, ttl)
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			var leased *replication.LeasedError
			switch {
			case err == nil:
				won++
			case !errors.As(err, &leased):
				t.Errorf("a loser got %v, want *LeasedError", err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d takers won, want 1", round, won)
		}
	}
	if got := read(t, handles[0], pairA()).Pair.Lease.Fence; got != rounds {
		t.Errorf("fence %d after %d takings", got, rounds)
	}
}
