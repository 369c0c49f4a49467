package kvtest

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
)

//go:embed testdata/previous/*.gz
var previousFiles embed.FS

// Previous returns a file that the previous version of the program wrote, or what it
// read of one: state.db, table.json, sqlite.json or dynamo.json.
func Previous(t *testing.T, name string) []byte {
	t.Helper()
	packed, err := previousFiles.ReadFile("testdata/previous/" + name + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

type previousEntry struct {
	Object      [3]string
	Fingerprint string
}

type previousFailure struct {
	Object  [3]string
	Failure replication.Unsynced
}

type previousPair struct {
	State     replication.PairState
	Inventory []previousEntry
	Unsynced  []previousFailure
	Runs      []replication.Run
}

type previousSource struct {
	Page  changelog.Page
	Known changelog.ScanState
	Last  changelog.LastScan
}

type previousRecords struct {
	Pairs   []previousPair
	Sources map[string]previousSource
}

// SamePrevious fails the test unless a store has all that the previous version read, as
// recorded in the named file, except what was last seen of servers and processes.
func SamePrevious(t *testing.T, name string, s *store.Store) {
	t.Helper()
	var want previousRecords
	if err := json.Unmarshal(Previous(t, name), &want); err != nil {
		t.Fatal(err)
	}
	for i := range want.Pairs {
		slices.SortFunc(want.Pairs[i].Inventory, func(a, b previousEntry) int { return slices.Compare(a.Object[:], b.Object[:]) })
	}
	for name, source := range want.Sources { // that version had one number for both, and didn't show it with the rows
		source.Known.Version = source.Known.Generation
		source.Page.Generation, source.Page.Scans = source.Known.Generation, source.Known.Lease.Fence
		want.Sources[name] = source
	}
	got := readAll(t, s, want)
	for i, p := range want.Pairs {
		if i < len(got.Pairs) && p.State.Status() != got.Pairs[i].State.Status() {
			t.Errorf("%s has the status %s, want %s", p.State.ID, got.Pairs[i].State.Status(), p.State.Status())
		}
	}
	wantJSON, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if gotJSON, err := json.Marshal(got); err == nil && bytes.Equal(wantJSON, gotJSON) {
		return // faster than a comparison of the values
	}
	assertEqual(t, name, want, got)
}

func readAll(t *testing.T, s *store.Store, want previousRecords) (all previousRecords) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pairs, err := s.Pairs(ctx)
	must(err)
	for _, st := range pairs {
		p := previousPair{State: st}
		p.Runs, err = s.Runs(ctx, st.ID, 1000)
		must(err)
		entries, err := s.Entries(ctx, st.ID)
		must(err)
		for r, e := range entries {
			fingerprint := e.Fingerprint
			if e.Dirty {
				fingerprint = "?"
			}
			if fingerprint == "" {
				continue
			}
			p.Inventory = append(p.Inventory, previousEntry{[3]string{string(r.Kind), r.Name, r.Sub}, fingerprint})
		}
		slices.SortFunc(p.Inventory, func(a, b previousEntry) int { return slices.Compare(a.Object[:], b.Object[:]) })
		for _, u := range entries.Unsynced() {
			f := previousFailure{Object: [3]string{string(u.Ref.Kind), u.Ref.Name, u.Ref.Sub}, Failure: u}
			f.Failure.Ref = object.Ref{Kind: object.Role, Name: "any"} // as its path may be another object's
			p.Unsynced = append(p.Unsynced, f)
		}
		all.Pairs = append(all.Pairs, p)
	}
	slices.SortFunc(all.Pairs, func(a, b previousPair) int { return strings.Compare(a.State.ID.String(), b.State.ID.String()) })
	all.Sources = map[string]previousSource{}
	for source := range want.Sources {
		var one previousSource
		one.Page, err = s.ChangeLogs().Rows(ctx, source, 0, 10_000)
		must(err)
		one.Known, err = s.ChangeLogs().LoadScanState(ctx, source)
		must(err)
		one.Last, err = s.ChangeLogs().LastScan(ctx, source)
		must(err)
		all.Sources[source] = one
	}
	return all
}
