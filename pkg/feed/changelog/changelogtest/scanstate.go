package changelogtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func testLease(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	one, err := s.Acquire(t.Context(), source, "one", t0(), ttl)
	if err != nil || one.Lease.Fence != 1 || one.Lease.Owner != "one" || !one.Lease.Expires.Equal(t0().Add(ttl)) {
		t.Fatalf("%+v, %v", one, err)
	}
	_, err = open().Acquire(t.Context(), source, "two", t0().Add(ttl-time.Millisecond), ttl)
	var leased *replication.LeasedError
	if !errors.As(err, &leased) || leased.What != "the change log of "+source || leased.Lease != one.Lease {
		t.Fatalf("a held lease: %v, want *LeasedError of %+v", err, one.Lease)
	}
	if known, err := s.LoadScanState(t.Context(), source); err != nil || known.Lease != one.Lease {
		t.Errorf("LoadScanState shows the lease %+v, %v; want %+v", known.Lease, err, one.Lease)
	}
	own, err := s.Acquire(t.Context(), source, "one", t0().Add(time.Second), ttl)
	if err != nil || own.Lease.Fence != 2 {
		t.Errorf("the lease of the same owner: %+v, %v", own, err)
	}
	if err := s.Release(t.Context(), source, one.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(t.Context(), source, "two", t0().Add(2*time.Second), ttl); err == nil {
		t.Error("a release with an old token released the lease")
	}
	two, err := s.Acquire(t.Context(), source, "two", t0().Add(time.Second+ttl), ttl)
	if err != nil || two.Lease.Fence != 3 {
		t.Errorf("an expired lease: %+v, %v", two, err)
	}
	if err := s.Release(t.Context(), source, two.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(t.Context(), source, "three", t0().Add(time.Second+ttl), ttl); err != nil {
		t.Errorf("a released lease: %v", err)
	}
	for name, acquire := range map[string]func() error{
		"no owner":    func() error { _, err := s.Acquire(t.Context(), otherSource, "", t0(), ttl); return err },
		"no duration": func() error { _, err := s.Acquire(t.Context(), otherSource, "me", t0(), 0); return err },
		"no source":   func() error { _, err := s.Acquire(t.Context(), "", "me", t0(), ttl); return err },
	} {
		if acquire() == nil {
			t.Errorf("%s: the lease was taken", name)
		}
	}
}

func testRenew(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	if l, err := s.Lease(t.Context(), source); err != nil || l != (replication.Lease{}) {
		t.Errorf("the lease of an unknown source: %+v, %v", l, err)
	}
	one, err := s.Acquire(t.Context(), source, "one", t0(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	fence, half := one.Lease.Fence, t0().Add(ttl/2)
	if err := open().Renew(t.Context(), source, fence, half, ttl); err != nil {
		t.Fatal(err)
	}
	want := one.Lease
	want.Expires = half.Add(ttl)
	if l, err := s.Lease(t.Context(), source); err != nil || l != want {
		t.Errorf("renewed: %+v, %v; want %+v", l, err, want)
	}
	if _, err := s.Commit(t.Context(), source, fence, half.Add(ttl-time.Millisecond), changelog.ScanUpdate{Begin: "e"}); err != nil {
		t.Errorf("a commit under the renewed lease: %v", err)
	}
	refused := func(name string, fence int64, at time.Time) {
		t.Helper()
		if err := s.Renew(t.Context(), source, fence, at, ttl); !errors.Is(err, replication.ErrFenced) {
			t.Errorf("%s: %v, want ErrFenced", name, err)
		}
	}
	refused("another token", fence-1, half)
	refused("an expired lease", fence, half.Add(ttl))
	if err := s.Renew(t.Context(), otherSource, fence, half, ttl); !errors.Is(err, replication.ErrFenced) {
		t.Errorf("an unknown source: %v, want ErrFenced", err)
	}
	two, err := s.Acquire(t.Context(), source, "two", half.Add(ttl), ttl)
	if err != nil {
		t.Fatal(err)
	}
	refused("a lease that was taken over", fence, half.Add(ttl))
	if err := s.Release(t.Context(), source, two.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	refused("a released lease", two.Lease.Fence, half.Add(ttl))
	if l, err := s.Lease(t.Context(), source); err != nil || l.HeldAt(t0()) {
		t.Errorf("released: %+v, %v", l, err)
	}
}

func testCommitWithoutLease(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	mustBegin(t, s, source, "e", t0())
	before, _ := mustReadRows(t, s, source)
	update := changelog.ScanUpdate{Changes: roleChanges(1, 2), Blob: []byte("x")}
	try := func(name string, fence int64, at time.Time) {
		t.Helper()
		if _, err := s.Commit(t.Context(), source, fence, at, update); !errors.Is(err, replication.ErrFenced) {
			t.Errorf("%s: %v, want ErrFenced", name, err)
		}
	}
	try("no lease", 0, t0())
	one, err := s.Acquire(t.Context(), source, "one", t0(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	try("another token", one.Lease.Fence-1, t0())
	try("an expired lease", one.Lease.Fence, t0().Add(ttl))
	two, err := s.Acquire(t.Context(), source, "two", t0().Add(ttl), ttl)
	if err != nil {
		t.Fatal(err)
	}
	try("a lease that was taken over", one.Lease.Fence, t0().Add(ttl))
	if err := s.Release(t.Context(), source, two.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	try("a released lease", two.Lease.Fence, t0().Add(ttl))
	known, err := s.LoadScanState(t.Context(), source)
	if after, _ := mustReadRows(t, s, source); err != nil || after != before || known.Generation != 0 || known.Blob != nil {
		t.Errorf("written in spite of it: %+v, %+v, %v", after, known, err)
	}
}

func testCommitOfAnotherVersion(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	mustBegin(t, s, source, "e", t0())
	mustCommit(t, s, source, t0(), changelog.ScanUpdate{Blob: []byte("one")})
	lease, err := s.Acquire(t.Context(), source, "me", t0(), ttl)
	if err != nil || lease.Version != 1 {
		t.Fatalf("%+v, %v", lease, err)
	}
	for _, v := range []int64{0, 2} {
		if _, err := s.Commit(t.Context(), source, lease.Lease.Fence, t0(),
			changelog.ScanUpdate{Version: v, Changes: roleChanges(1, 1), Blob: []byte("two")}); !errors.Is(err, replication.ErrFenced) {
			t.Errorf("version %d: %v, want ErrFenced", v, err)
		}
	}
	known, err := s.LoadScanState(t.Context(), source)
	if _, got := mustReadRows(t, s, source); err != nil || len(got) != 1 || string(known.Blob) != "one" {
		t.Errorf("rows %v, known %+v, %v", rowPaths(got), known, err)
	}
}

func testCommit(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	head := mustCommit(t, s, source, t0(), changelog.ScanUpdate{Begin: "e", Changes: roleChanges(1, 2), Blob: []byte("one")})
	if head.Newest != head.Oldest+2 {
		t.Errorf("head %+v, want the first row and two", head)
	}
	mustCommit(t, s, source, t0(), changelog.ScanUpdate{Changes: roleChanges(3, 3)}) // keeps the state
	known, err := s.LoadScanState(t.Context(), source)
	if err != nil || known.Generation != 1 || string(known.Blob) != "one" || known.Head.Newest != head.Newest+1 {
		t.Errorf("%+v, %v", known, err)
	}
	mustCommit(t, s, source, t0(), changelog.ScanUpdate{Changes: roleChanges(4, changelog.MaxAppend+3), Blob: []byte("two")})
	known, err = open().LoadScanState(t.Context(), source)
	if err != nil || known.Generation != 2 || string(known.Blob) != "two" || known.Head.Newest != head.Newest+1+changelog.MaxAppend {
		t.Errorf("%+v, %v", known, err)
	}
	mustAppend(t, s, t0(), roleChange(200)) // a push doesn't change the generation
	if known, err = s.LoadScanState(t.Context(), source); err != nil || known.Generation != 2 {
		t.Errorf("after a push: %+v, %v", known, err)
	}
	page, err := s.Rows(t.Context(), source, known.Head.Newest, 10)
	if err != nil || page.Generation != 2 || page.Scans != known.Lease.Fence || page.Scans == 0 {
		t.Errorf("rows show generation %d and %d scans, %v; want those of %+v", page.Generation, page.Scans, err, known)
	}
}

func testCommitOfSameSnapshot(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	mustCommit(t, s, source, t0(), changelog.ScanUpdate{Begin: "e", Blob: []byte("one")})
	for n, c := range []struct {
		same       bool
		generation int64
	}{{true, 1}, {true, 1}, {false, 2}, {true, 2}} {
		blob := fmt.Appendf(nil, "write %d", n)
		mustCommit(t, s, source, t0(), changelog.ScanUpdate{Changes: roleChanges(n, n), Blob: blob, SameSnapshot: c.same})
		known, err := open().LoadScanState(t.Context(), source)
		if err != nil || known.Generation != c.generation || known.Version != int64(n)+2 || !bytes.Equal(known.Blob, blob) {
			t.Errorf("write %d: %+v, %v; want generation %d of version %d", n, known, err, c.generation, n+2)
		}
		page, err := open().Rows(t.Context(), source, 0, 1)
		if err != nil || page.Generation != c.generation {
			t.Errorf("write %d: rows show generation %d, %v; want %d", n, page.Generation, err, c.generation)
		}
	}
}

func testLargeState(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	blob := make([]byte, 3<<20)
	for i := range blob {
		blob[i] = byte(rand.Uint32())
	}
	mustCommit(t, s, source, t0(), changelog.ScanUpdate{Begin: "e", Blob: blob})
	known, err := open().LoadScanState(t.Context(), source)
	if err != nil || !bytes.Equal(known.Blob, blob) {
		t.Errorf("%d bytes, %v; want the %d that were stored", len(known.Blob), err, len(blob))
	}
	if lease, err := s.Acquire(t.Context(), source, "me", t0(), ttl); err != nil || lease.Generation != 1 {
		t.Errorf("%+v, %v", lease.Generation, err)
	}
}

func testLostPositions(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	first := mustBegin(t, s, source, "e", t0()).Newest
	f := changelog.Feed{Store: s, Source: source}
	read := func(pos replication.Position) (fresh []replication.Change, next replication.Position, err error) {
		t.Helper()
		rows, err := f.Read(t.Context(), max(0, pos.Seq-5))
		if err != nil {
			return nil, pos, err
		}
		return replication.Continue(pos, rows, 5)
	}
	rows, err := f.Read(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, start, err := replication.Continue(replication.Position{Epoch: rows.Epoch}, rows, 5)
	if err != nil || start.Seq != first {
		t.Fatalf("the first position of a new change log is %+v, %v; want its first row", start, err)
	}
	for n := range 20 {
		mustAppend(t, s, t0().Add(time.Duration(n)*time.Hour), roleChange(n))
	}
	fresh, end, err := read(start)
	if err != nil || len(fresh) != 20 || fresh[0].Scope != (object.Scope{Kind: object.Role, Name: "r0"}) {
		t.Errorf("%d changes, %v; want 20", len(fresh), err)
	}
	if _, err := s.Trim(t.Context(), source, t0().Add(1000*time.Hour), 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(start); !errors.Is(err, replication.ErrPositionLost) {
		t.Errorf("a reader whose rows were dropped: %v, want ErrPositionLost", err)
	}
	if fresh, _, err := read(end); err != nil || len(fresh) != 0 {
		t.Errorf("a reader at the end: %v, %v; want no changes", fresh, err)
	}
	mustBegin(t, s, source, "new", t0())
	if _, _, err := read(end); !errors.Is(err, replication.ErrPositionLost) {
		t.Errorf("a reader of the previous change log: %v, want ErrPositionLost", err)
	}
}
