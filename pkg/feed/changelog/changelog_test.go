package changelog_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

func openStore(t *testing.T) changelog.ScanStore {
	t.Helper()
	s, err := sqlite.OpenState(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.ChangeLogs()
}

func beginChangeLog(t *testing.T, s changelog.ScanStore, changes ...changelog.Change) changelog.Head {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	known, err := s.Acquire(t.Context(), "src", "me", now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.Commit(t.Context(), "src", known.Lease.Fence, now,
		changelog.ScanUpdate{Begin: "e", Version: known.Version, Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func TestDistinctKeepsTheLastEntryOfAPath(t *testing.T) {
	got := changelog.LastPerPath([]changelog.Change{{"create", "/a"}, {"create", "/b"}, {"delete", "/a"}, {"update", "/c"}})
	want := []changelog.Change{{"create", "/b"}, {"delete", "/a"}, {"update", "/c"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestNewEpochIsRandom(t *testing.T) {
	if a, b := changelog.NewEpoch(), changelog.NewEpoch(); a == b || len(a) < 16 {
		t.Errorf("%q and %q", a, b)
	}
}

func TestScopesOfRows(t *testing.T) {
	s := openStore(t)
	want := map[string]object.Scope{
		"/":                      {},
		"/roles/web":             {Kind: object.Role, Name: "web"},
		"/roles":                 {Kind: object.Role},
		"/cookbooks":             {Kind: object.Cookbook},
		"/cookbooks/apt":         {Kind: object.Cookbook, Name: "apt"},
		"/cookbooks/apt/1.0.0":   {Kind: object.Cookbook, Name: "apt", Sub: "1.0.0"},
		"/environments/prod":     {Kind: object.Environment, Name: "prod"},
		"/data":                  {Kind: object.DataBag},
		"/data/users":            {Kind: object.DataBag, Name: "users"},
		"/data/users/alice":      {Kind: object.DataBagItem, Name: "users", Sub: "alice"},
		"/something/else/we/had": {},
	}
	var changes []changelog.Change
	for p := range want {
		changes = append(changes, changelog.Change{Action: changelog.Update, Path: p})
	}
	beginChangeLog(t, s, changes...)
	rows, err := changelog.Feed{Store: s, Source: "src"}.Read(t.Context(), 0)
	if err != nil || len(rows.Changes) != len(want)+1 {
		t.Fatalf("%d rows, %v", len(rows.Changes), err)
	}
	for _, c := range rows.Changes {
		if c.Scope != want[c.Path] {
			t.Errorf("%s means %+v, want %+v", c.Path, c.Scope, want[c.Path])
		}
	}
}

func TestLongChangeLogIsReadCompletely(t *testing.T) {
	s := openStore(t)
	head := beginChangeLog(t, s)
	for n := range 30 {
		var changes []changelog.Change
		for i := range changelog.MaxAppend {
			changes = append(changes, changelog.Change{Action: "update", Path: fmt.Sprintf("/roles/%d-%d", n, i)})
		}
		var err error
		if head, err = s.Append(t.Context(), "src", time.Unix(1, 0), changes); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := changelog.Feed{Store: s, Source: "src"}.Read(t.Context(), head.Oldest+5)
	if err != nil || int64(len(rows.Changes)) != head.Newest-head.Oldest-5 || rows.Newest != head.Newest ||
		rows.Oldest != head.Oldest || rows.Epoch != "e" {
		t.Errorf("%d rows of %+v, bounds %d to %d, %v", len(rows.Changes), head, rows.Oldest, rows.Newest, err)
	}
}

func TestReadOfTheNewestRows(t *testing.T) {
	s := openStore(t)
	if _, err := (changelog.Feed{Store: s, Source: "src"}).Read(t.Context(), -3); !errors.Is(err, replication.ErrNoFeed) {
		t.Errorf("before it has begun: %v", err)
	}
	head := beginChangeLog(t, s, changelog.Change{Action: "update", Path: "/roles/a"})
	for _, c := range []struct{ after, want int64 }{{-1, 1}, {-2, 2}, {-3, 2}, {-9, 2}} {
		rows, err := changelog.Feed{Store: s, Source: "src"}.Read(t.Context(), c.after)
		if n := len(rows.Changes); err != nil || int64(n) != c.want || rows.Changes[n-1].ID != head.Newest ||
			rows.Newest != head.Newest || rows.Oldest != head.Oldest {
			t.Errorf("%d: %+v, %v; want the newest %d of %+v", c.after, rows, err, c.want, head)
		}
	}
}
