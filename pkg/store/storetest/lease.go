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
	assertEqual(t, "a pair never seen", pairRecords{Pair: replication.PairState{ID: pairA()}}, readPair(t, s, pairA()))
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
			err = s.SaveProgress(t.Context(), id, 0, startTime(), progressAt(1))
		case 1:
			_, err = s.Acquire(t.Context(), id, "me", startTime(), leaseTTL)
		case 2:
			err = s.ChangeDesired(t.Context(), id, replication.DesiredChange{At: startTime()})
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
		assertEqual(t, "Pairs() and Pair()", readPair(t, s, p.ID).Pair, p)
	}
	assertEqual(t, "order of Pairs()", []string{"EU/z", "eu-2/a", "eu/a", "eu/b"}, got)
}

func testAcquireFree(t *testing.T, open func() replication.State) {
	s := open()
	if err := s.SaveProgress(t.Context(), pairA(), 0, startTime(), progressAt(7)); err != nil {
		t.Fatal(err)
	}
	st, err := s.Acquire(t.Context(), pairA(), "me", startTime(), leaseTTL)
	if err != nil {
		t.Fatal(err)
	}
	want := replication.PairState{ID: pairA(), Progress: progressAt(7),
		Lease: replication.Lease{Owner: "me", Expires: startTime().Add(leaseTTL), Fence: 1}}
	assertEqual(t, "what Acquire returns", want, st)
	assertEqual(t, "what is stored", want, readPair(t, s, pairA()).Pair)
}

func testAcquireHeld(t *testing.T, open func() replication.State) {
	s := open()
	acquireLease(t, s, pairA(), "one", startTime())
	before := readPair(t, s, pairA())
	_, err := s.Acquire(t.Context(), pairA(), "two", startTime().Add(leaseTTL-time.Millisecond), leaseTTL)
	var leased *replication.LeasedError
	if !errors.As(err, &leased) {
		t.Fatalf("Acquire of a held lease: %v, want *LeasedError", err)
	}
	assertEqual(t, "the error", replication.LeasedError{What: "pair " + pairA().String(), Lease: before.Pair.Lease}, *leased)
	assertEqual(t, "the record", before, readPair(t, s, pairA()))
}

func testAcquireExpired(t *testing.T, open func() replication.State) {
	s := open()
	acquireLease(t, s, pairA(), "one", startTime())
	if fence := acquireLease(t, s, pairA(), "two", startTime().Add(leaseTTL)); fence != 2 {
		t.Fatalf("fence %d after the second taking, want 2", fence)
	}
}

func testAcquireOwn(t *testing.T, open func() replication.State) {
	s := open()
	old := acquireLease(t, s, pairA(), "me", startTime())
	fence := acquireLease(t, s, pairA(), "me", startTime().Add(time.Second))
	if fence != old+1 {
		t.Fatalf("fence %d after %d, want one more", fence, old)
	}
	if err := s.Commit(t.Context(), pairA(), old, startTime().Add(time.Second), replication.Update{}); !errors.Is(err, replication.ErrFenced) {
		t.Fatalf("Commit with the token of the first taking: %v, want ErrFenced", err)
	}
}

func testAcquireInvalid(t *testing.T, open func() replication.State) {
	s := open()
	if _, err := s.Acquire(t.Context(), pairA(), "", startTime(), leaseTTL); err == nil {
		t.Error("a lease without an owner was given")
	}
	if _, err := s.Acquire(t.Context(), pairA(), "me", startTime(), 0); err == nil {
		t.Error("a lease without a duration was given")
	}
	assertEqual(t, "the record", pairRecords{Pair: replication.PairState{ID: pairA()}}, readPair(t, s, pairA()))
}

func testRenew(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "me", startTime())
	stop := true
	if err := s.ChangeDesired(t.Context(), pairA(), replication.DesiredChange{Stop: &stop, At: startTime()}); err != nil {
		t.Fatal(err)
	}
	now := startTime().Add(leaseTTL / 2)
	st, err := s.Renew(t.Context(), pairA(), fence, now, leaseTTL)
	if err != nil {
		t.Fatal(err)
	}
	assertEqual(t, "the renewed lease", replication.Lease{Owner: "me", Expires: now.Add(leaseTTL), Fence: fence}, st.Lease)
	if !st.Desired.Stopped {
		t.Error("Renew doesn't show the stop that was asked for meanwhile")
	}
	before := readPair(t, s, pairA())
	assertEqual(t, "what Renew returned", before.Pair, st)
	for name, try := range map[string]struct {
		id    replication.PairID
		fence int64
		now   time.Time
	}{
		"an old token":       {pairA(), fence - 1, now},
		"a made-up token":    {pairA(), fence + 1, now},
		"another pair":       {pairB(), fence, now},
		"a lease that ended": {pairA(), fence, now.Add(leaseTTL)},
	} {
		if _, err := s.Renew(t.Context(), try.id, try.fence, try.now, leaseTTL); !errors.Is(err, replication.ErrFenced) {
			t.Errorf("Renew with %s: %v, want ErrFenced", name, err)
		}
	}
	assertEqual(t, "the record after refused renewals", before, readPair(t, s, pairA()))
}

func testRelease(t *testing.T, open func() replication.State) {
	s := open()
	fence := acquireLease(t, s, pairA(), "one", startTime())
	for range 2 { // twice is harmless
		if err := s.Release(t.Context(), pairA(), fence); err != nil {
			t.Fatal(err)
		}
	}
	assertEqual(t, "the lease", replication.Lease{Fence: fence}, readPair(t, s, pairA()).Pair.Lease)
	if _, err := s.Renew(t.Context(), pairA(), fence, startTime(), leaseTTL); !errors.Is(err, replication.ErrFenced) {
		t.Errorf("Renew after Release: %v, want ErrFenced", err)
	}
	if err := s.Commit(t.Context(), pairA(), fence, startTime(), replication.Update{Progress: progressAt(1)}); !errors.Is(err,
		replication.ErrFenced) {
		t.Errorf("Commit after Release: %v, want ErrFenced", err)
	}
	if next := acquireLease(t, s, pairA(), "two", startTime()); next != fence+1 {
		t.Errorf("fence %d after a release of %d, want one more", next, fence)
	}
}

func testReleaseStale(t *testing.T, open func() replication.State) {
	s := open()
	old := acquireLease(t, s, pairA(), "one", startTime())
	acquireLease(t, s, pairA(), "two", startTime().Add(leaseTTL))
	before := readPair(t, s, pairA())
	if err := s.Release(t.Context(), pairA(), old); err != nil {
		t.Fatalf("a stale Release: %v, want no error", err)
	}
	if err := s.Release(t.Context(), pairB(), 1); err != nil {
		t.Fatalf("Release of a pair never seen: %v, want no error", err)
	}
	assertEqual(t, "the record", before, readPair(t, s, pairA()))
}

func testAcquireRace(t *testing.T, open func() replication.State) {
	const takers, rounds = 16, 5
	handles := []replication.State{open(), open()}
	for round := range rounds {
		now := startTime().Add(time.Duration(round) * leaseTTL)
		errs := make([]error, takers)
		var wg sync.WaitGroup
		for i := range takers {
			wg.Go(func() {
				_, errs[i] = handles[i%len(handles)].Acquire(t.Context(), pairA(), fmt.Sprintf("taker %d", i), now, leaseTTL)
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
	if got := readPair(t, handles[0], pairA()).Pair.Lease.Fence; got != rounds {
		t.Errorf("fence %d after %d takings", got, rounds)
	}
}
