package changelogtest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

func testNoChangeLog(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	head, err := s.Head(t.Context(), source)
	page, err2 := s.Rows(t.Context(), source, 0, 10)
	trimmed, err3 := s.Trim(t.Context(), source, t0(), 1)
	known, err4 := s.LoadScanState(t.Context(), source)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	if none := (changelog.Head{}); head != none || page.Head != none || len(page.Rows) != 0 || trimmed != none ||
		known.Generation != 0 || known.Blob != nil || known.Head != none {
		t.Errorf("head %+v, page %+v, trimmed %+v, known %+v: want nothing", head, page, trimmed, known)
	}
	if _, err := s.Append(t.Context(), source, t0(), roleChanges(1, 1)); !errors.Is(err, changelog.ErrNoChangeLog) {
		t.Errorf("append: %v, want ErrNoChangeLog", err)
	}
	lease, err := s.Acquire(t.Context(), source, "me", t0(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), source, lease.Lease.Fence, t0(), changelog.ScanUpdate{Changes: roleChanges(1, 1)}); !errors.Is(err,
		changelog.ErrNoChangeLog) {
		t.Errorf("commit: %v, want ErrNoChangeLog", err)
	}
	if _, err := (changelog.Feed{Store: s, Source: source}).Read(t.Context(), 0); !errors.Is(err, replication.ErrNoFeed) {
		t.Errorf("as a feed: %v, want ErrNoFeed", err)
	}
}

func testBegin(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	head := mustBegin(t, s, source, "e1", t0())
	first := t0().UnixMilli()
	if want := (changelog.Head{Epoch: "e1", Oldest: first, Newest: first}); head != want {
		t.Errorf("head %+v, want %+v", head, want)
	}
	_, got := mustReadRows(t, s, source)
	if want := (changelog.Row{ID: first, Action: changelog.Begin, Path: "/", Time: t0()}); len(got) != 1 || got[0] != want {
		t.Errorf("rows %+v, want %+v", got, want)
	}
}

func testAppend(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	first := mustBegin(t, s, source, "e", t0()).Newest
	head := mustAppend(t, s, t0().Add(time.Second), roleChange(3), roleChange(1), roleChange(3))
	if head.Newest != first+3 || head.Oldest != first || head.Epoch != "e" {
		t.Errorf("head %+v after three changes after %d", head, first)
	}
	if again, err := s.Append(t.Context(), source, t0(), nil); err != nil || again != head {
		t.Errorf("no changes: %+v, %v", again, err)
	}
	mustAppend(t, s, t0().Add(2*time.Second), roleChanges(1, changelog.MaxAppend)...)
	at, got := mustReadRows(t, s, source)
	want := append([]string{"/", "/roles/r3", "/roles/r1", "/roles/r3"}, rowPaths(changesAsRows(roleChanges(1, changelog.MaxAppend)))...)
	if !slices.Equal(rowPaths(got), want) || at.Newest != first+3+changelog.MaxAppend {
		t.Errorf("rows %v, head %+v", rowPaths(got), at)
	}
	if r := got[1]; r.Action != changelog.Update || !r.Time.Equal(t0().Add(time.Second)) {
		t.Errorf("row %+v", r)
	}
}

func changesAsRows(changes []changelog.Change) (out []changelog.Row) {
	for _, e := range changes {
		out = append(out, changelog.Row{Path: e.Path})
	}
	return out
}

func testSources(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	mustBegin(t, s, source, "one", t0())
	mustBegin(t, s, otherSource, "two", t0())
	mustAppend(t, s, t0(), roleChange(1))
	a, aRows := mustReadRows(t, s, source)
	b, bRows := mustReadRows(t, s, otherSource)
	if a.Epoch != "one" || len(aRows) != 2 || b.Epoch != "two" || len(bRows) != 1 {
		t.Errorf("%+v %v, %+v %v", a, rowPaths(aRows), b, rowPaths(bRows))
	}
	if _, err := s.Acquire(t.Context(), source, "me", t0(), ttl); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(t.Context(), otherSource, "you", t0(), ttl); err != nil {
		t.Errorf("the lease of another source is not free: %v", err)
	}
}

func testInvalidChanges(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	mustBegin(t, s, source, "e", t0())
	before, _ := mustReadRows(t, s, source)
	for name, changes := range map[string][]changelog.Change{
		"too many":    roleChanges(1, changelog.MaxAppend+1),
		"no action":   {roleChange(1), {Path: "/roles/x"}},
		"no path":     {roleChange(1), {Action: "update"}},
		"no slash":    {{Action: "update", Path: "roles/x"}},
		"a newline":   {{Action: "update", Path: "/roles/x\n"}},
		"not UTF-8":   {{Action: "update", Path: "/roles/\xff"}},
		"a long path": {{Action: "update", Path: "/" + strings.Repeat("x", 2000)}},
	} {
		if _, err := s.Append(t.Context(), source, t0(), changes); !errors.Is(err, changelog.ErrInvalidChange) {
			t.Errorf("append, %s: %v, want ErrEntry", name, err)
		}
		lease, err := s.Acquire(t.Context(), source, "me", t0(), ttl)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(t.Context(), source, lease.Lease.Fence, t0(),
			changelog.ScanUpdate{Changes: changes, Blob: []byte("x")}); !errors.Is(err, changelog.ErrInvalidChange) {
			t.Errorf("commit, %s: %v, want ErrEntry", name, err)
		}
	}
	if after, _ := mustReadRows(t, s, source); after != before {
		t.Errorf("head %+v after invalid changes, %+v before", after, before)
	}
}

func testPages(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	first := mustBegin(t, s, source, "e", t0()).Newest
	for n := range 5 {
		mustAppend(t, s, t0(), roleChanges(n*10, n*10+9)...)
	}
	_, all := mustReadRows(t, s, source)
	for _, limit := range []int{1, 7, 50, 51, 52} {
		var got []changelog.Row
		for after := int64(0); ; {
			page, err := s.Rows(t.Context(), source, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Rows) == 0 {
				break
			}
			if len(page.Rows) > limit {
				t.Fatalf("%d rows, at most %d were asked for", len(page.Rows), limit)
			}
			got = append(got, page.Rows...)
			after = got[len(got)-1].ID
		}
		if !slices.Equal(got, all) {
			t.Errorf("pages of %d: %d rows, want %d", limit, len(got), len(all))
		}
	}
	page, err := s.Rows(t.Context(), source, first+50, 10)
	if err != nil || len(page.Rows) != 0 || page.Head.Newest != first+50 {
		t.Errorf("after the end: %+v, %v; want the head and no rows", page, err)
	}
}

func testReopen(t *testing.T, open func() changelog.ScanStore) {
	head := mustBegin(t, open(), source, "e", t0())
	mustAppend(t, open(), t0(), roleChanges(1, 3)...)
	mustCommit(t, open(), source, t0(), changelog.ScanUpdate{Changes: roleChanges(4, 4), Blob: []byte("state")})
	s := open()
	at, got := mustReadRows(t, s, source)
	known, err := s.LoadScanState(t.Context(), source)
	if err != nil || at.Epoch != "e" || at.Newest != head.Newest+4 || len(got) != 5 || string(known.Blob) != "state" ||
		known.Generation != 1 {
		t.Errorf("head %+v, rows %v, known %+v, %v", at, rowPaths(got), known, err)
	}
}

func testNewChangeLog(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	mustBegin(t, s, source, "one", t0())
	old := mustAppend(t, s, t0(), roleChanges(1, 10)...)
	// At the same time, so that only the old ids keep the new ones above them.
	head := mustBegin(t, s, source, "two", t0())
	if head.Epoch != "two" || head.Oldest <= old.Newest || head.Oldest != head.Newest {
		t.Errorf("head %+v after %+v", head, old)
	}
	if _, got := mustReadRows(t, s, source); len(got) != 1 {
		t.Errorf("rows %v, want only the first of the new change log", rowPaths(got))
	}
	later := mustBegin(t, s, source, "three", t0().Add(time.Hour))
	if later.Oldest != t0().Add(time.Hour).UnixMilli() {
		t.Errorf("first id %d, want the time in milliseconds", later.Oldest)
	}
}

func testTrim(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	first := mustBegin(t, s, source, "e", t0()).Newest
	for n := 1; n <= 5; n++ {
		mustAppend(t, s, t0().Add(time.Duration(n)*time.Hour), roleChange(n))
	}
	head, err := s.Trim(t.Context(), source, t0().Add(3*time.Hour), 0)
	if err != nil || head.Oldest != first+3 || head.Newest != first+5 {
		t.Errorf("head %+v, %v; want rows %d to %d", head, err, first+3, first+5)
	}
	if at, got := mustReadRows(t, s, source); at != head || got[0].Path != "/roles/r3" {
		t.Errorf("head %+v, rows %v", at, rowPaths(got))
	}
	head, err = s.Trim(t.Context(), source, t0().Add(100*time.Hour), 0)
	if err != nil || head.Oldest != first+5 || head.Newest != first+5 {
		t.Errorf("when all rows are old: %+v, %v; want the newest kept", head, err)
	}
	if head = mustAppend(t, s, t0(), roleChange(9)); head.Newest != first+6 {
		t.Errorf("the next id is %d, want %d", head.Newest, first+6)
	}
}

func testTrimCount(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	first := mustBegin(t, s, source, "e", t0()).Newest
	mustAppend(t, s, t0(), roleChanges(1, 50)...)
	head, err := s.Trim(t.Context(), source, t0().Add(-time.Hour), 10)
	if err != nil || head.Oldest != first+41 || head.Newest != first+50 {
		t.Errorf("head %+v, %v; want the newest ten", head, err)
	}
	mustReadRows(t, s, source)
}

func testTrimUnchanged(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	before := mustBegin(t, s, source, "e", t0())
	head, err := s.Trim(t.Context(), source, t0().Add(-time.Hour), 100)
	if err != nil || head != before {
		t.Errorf("head %+v, %v; want %+v", head, err, before)
	}
}
