package replication_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func selection(t testing.TB, include, exclude string) replication.Selection {
	t.Helper()
	read := func(words string) (list []replication.Pattern) {
		for _, word := range strings.Fields(words) {
			p, err := replication.ParsePattern(word)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
		return list
	}
	return replication.Selection{Include: read(include), Exclude: read(exclude)}
}

// touched records each object that is read or written alone.
func (w *world) touched() *[]string {
	var list []string
	note := func(op string, r object.Ref) error {
		if op == "get" || op == "put" || op == "delete" || op == "open" || op == "list" && r.Name != "" {
			list = append(list, r.Path())
		}
		return nil
	}
	w.primary.Refuse, w.replica.Refuse = note, note
	return &list
}

func TestOnlyTheSelectedNamesAreCopied(t *testing.T) {
	w := newWorld(t)
	w.pair.Concurrency = 1
	w.pair.Prune = replication.PruneAll
	w.pair.Selection = selection(t, "cookbooks/* data_bags/* roles/*", "cookbooks/apt/1.0.* data_bags/users/bob roles/b*")
	w.fill()
	w.replica.Set("/roles/brook", "of the replica")
	w.replica.Set("/environments/theirs", "of the replica")
	touched := w.touched()
	w.pass()
	got := slices.Sorted(maps.Keys(w.replica.Snapshot()))
	want := []string{"/cookbooks/apt/1.1.0", "/cookbooks/nginx/2.0.0", "/data/users", "/data/users/alice", "/environments/theirs", "/roles/brook", "/roles/web"}
	if !slices.Equal(got, want) {
		t.Errorf("replica holds %q, want %q", got, want)
	}
	for _, path := range []string{"/cookbooks/apt/1.0.0", "/data/users/bob", "/roles/base", "/environments/prod"} {
		if slices.Contains(*touched, path) {
			t.Errorf("%s was touched", path)
		}
	}
}

func TestAnExcludedBagIsNotEvenListed(t *testing.T) {
	w := newWorld(t)
	w.pair.Concurrency = 1
	w.pair.Selection = selection(t, "", "data_bags/users")
	w.fill()
	touched := w.touched()
	w.pass()
	w.primary.Set("/data/users/alice", "changed")
	w.primary.Unset("/data/users/bob")
	w.pass()
	w.primary.Unset("/data/users")
	w.pass()
	for _, path := range *touched {
		if strings.HasPrefix(path, "/data/users") {
			t.Errorf("%s was read or written", path)
		}
	}
}

func TestChangesOfExcludedObjectsOnlyMoveThePosition(t *testing.T) {
	w := newWorld(t)
	w.pair.Selection = selection(t, "", "roles/web data_bags/users/bob")
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "changed")
	w.primary.Set("/data/users/bob", "changed")
	w.primary.Calls, w.replica.Calls = 0, 0
	w.pass()
	if w.primary.Calls != 1 || w.replica.Calls != 0 || w.record().Lease.Fence != 1 {
		t.Errorf("%d calls to the primary, %d to the replica, fence %d; want the poll alone", w.primary.Calls, w.replica.Calls, w.record().Lease.Fence)
	}
	if got := w.record().Progress.Position.Seq; got != 11 {
		t.Errorf("position %d, want 11", got)
	}
}

// What was replicated and is excluded later stays on the replica as it is, and
// is replication's no more.
func TestWhatIsExcludedLaterIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.replica.Refuse = func(op string, r object.Ref) error {
		if op == "put" && r.Path() == "/roles/base" {
			return refused(fault.Rejected)
		}
		return nil
	}
	w.pass()
	w.replica.Refuse = nil
	before := w.replica.Snapshot()
	w.pair.Selection = selection(t, "", "roles/* data_bags/users/alice")
	w.primary.Unset("/roles/web")
	w.primary.Set("/data/users/alice", "changed")
	run := w.pass()
	if run.Mode != "compare" || run.Counts.Deleted+run.Counts.Created+run.Counts.Updated != 0 {
		t.Errorf("run %+v, want a compare that writes nothing", run)
	}
	if after := w.replica.Snapshot(); !maps.Equal(before, after) {
		t.Errorf("the replica went from %v to %v", before, after)
	}
	if got := replicated(t, w.state); len(got) != 6 {
		t.Errorf("ledger %v; want the 6 that are selected", got)
	}
	if u := w.unsynced(); len(u) != 0 {
		t.Errorf("unsynced %+v, want the excluded role forgotten", u)
	}
	w.primary.Calls = 0
	w.pass()
	if w.primary.Calls != 1 {
		t.Errorf("%d calls to the primary: the change of the selection was handled again", w.primary.Calls)
	}
}

// A verification under another selection forgets nothing: the selection may change
// back before any pass.
func TestAVerificationUnderAnotherSelectionForgetsNothing(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.pair.Selection = selection(t, "", "roles/web")
	w.replica.Set("/roles/base", "drifted")
	if r, err := w.engine().Verify(context.Background(), replication.VerifyOptions{Repair: true}); err != nil || len(r.Repaired) != 1 {
		t.Fatalf("report %+v, %v; want one repaired", r, err)
	}
	w.pair.Selection = replication.Selection{}
	w.primary.Unset("/roles/web")
	w.pass()
	w.wantEqual()
}

// A repair under another selection may record what doesn't belong to the pair once the
// selection is back: a hold of that must not stay.
func TestAHoldEndsWhenItsObjectsAreNotSelected(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune, w.pair.MaxDelete = replication.PruneAll, replication.Limit{Count: 1}
	w.pair.Selection = selection(t, "", "roles/own*")
	w.fill()
	w.pass()
	w.replica.Set("/roles/own", "of the replica")
	w.replica.Set("/roles/own2", "of the replica")
	w.pair.Selection = replication.Selection{}
	if _, err := w.engine().Verify(context.Background(), replication.VerifyOptions{Repair: true}); err != nil {
		t.Fatal(err)
	}
	w.wantStatus(replication.Held)
	w.pair.Selection = selection(t, "", "roles/own*")
	w.advance(time.Minute)
	w.pass()
	w.wantStatus(replication.Synced)
	if u := w.unsynced(); len(u) != 0 || w.replica.Snapshot()["/roles/own"] == "" {
		t.Errorf("left %+v, replica %v", u, w.replica.Snapshot())
	}
}

func TestNewlySelectedObjectsAreCopiedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.pair.Selection = selection(t, "roles/web", "")
	w.fill()
	w.pass()
	w.pair.Selection = replication.Selection{}
	w.pass()
	w.wantEqual()
	w.pair.Kinds = []object.Kind{object.Role}
	w.primary.Set("/environments/prod", "changed")
	w.pass()
	w.pair.Kinds = nil
	w.pass()
	w.wantEqual()
}

// A compare under way when the selection changes does not go on behind its
// cursor: what is selected again may lie before it.
func TestACompareBegunUnderAnotherSelectionStartsAgain(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window = 1
	w.pair.Selection = selection(t, "", "data_bags/users")
	w.fill()
	if died, _ := w.die(30, false, replication.PassOptions{}); !died {
		t.Fatal("the pass ended before its death")
	}
	w.pair.Selection = replication.Selection{}
	w.settle(2, "after the selection changed")
	w.pair.Selection = selection(t, "", "roles/web")
	w.direct(replication.DesiredChange{Resync: new(w.now())})
	if died, _ := w.die(20, false, replication.PassOptions{}); !died {
		t.Fatal("the pass ended before its death")
	}
	w.primary.Set("/roles/web", "changed")
	w.pair.Selection = replication.Selection{}
	w.settle(2, "after the selection changed back")
}

// Deleting a bag would delete the items that aren't selected.
func TestABagWithExcludedItemsIsNotDeleted(t *testing.T) {
	for _, prune := range []replication.Prune{replication.PruneReplicated, replication.PruneAll} {
		w := newWorld(t)
		w.pair.Prune = prune
		w.pair.Selection = selection(t, "", "data_bags/users/local")
		w.fill()
		w.replica.Set("/data/users/local", "of the replica")
		w.pass()
		w.primary.Unset("/data/users")
		w.pass()
		got := w.replica.Snapshot()
		if got["/data/users/local"] == "" || got["/data/users/alice"] != "" {
			t.Errorf("prune %s: the replica holds %v, want the excluded item alone in its bag", prune, got)
		}
		u := w.unsynced()
		if len(u) != 1 || u[0].Ref.Path() != "/data/users" || !strings.Contains(u[0].Reason, "1 item that is not selected") {
			t.Errorf("prune %s: unsynced %+v, want the bag", prune, u)
		}
	}
}

func TestPreviewAndVerifyKnowTheSelection(t *testing.T) {
	w := newWorld(t)
	w.pair.Selection = selection(t, "roles/* data_bags/*", "roles/web")
	w.fill()
	plan, err := w.engine().Preview(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Steps {
		if !w.pair.Manages(s.Ref) {
			t.Errorf("the plan names %s", s.Ref)
		}
	}
	w.pass()
	w.replica.Set("/roles/web", "another")
	r, err := w.engine().Verify(context.Background(), replication.VerifyOptions{})
	if err != nil || !r.Equal() || len(r.Extras) != 0 || len(r.Kinds) != 3 {
		t.Errorf("report %+v, %v; want equality of bags, items and roles", r, err)
	}
}

// For any patterns and any content of both sides: a pass reads, writes and
// deletes nothing outside the selection, and makes everything inside equal.
func TestAnySelectionIsKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.drawFeed(rt)
		w.pair.MaxDelete = replication.Limit{Percent: 100}
		w.pair.Prune = rapid.SampledFrom([]replication.Prune{replication.PruneReplicated, replication.PruneAll, replication.PruneNone}).Draw(rt, "prune")
		w.tuning.Window = rapid.IntRange(1, 4).Draw(rt, "window")
		paths := []string{"/roles/a", "/roles/ab", "/environments/a", "/data/a", "/data/a/a", "/data/a/b", "/data/b/a", "/data/b/b", "/cookbooks/a/1.0.0", "/cookbooks/a/2.0.0", "/cookbooks/ab/1.0.0"}
		words := []string{"roles/a", "roles/*", "roles/a?", "environments/*", "data_bags/a", "data_bags/a/*", "data_bags/*/b", "data_bags/?", "data_bags/b/a", "cookbooks/a", "cookbooks/a/1.*", "cookbooks/*b", "cookbooks/*/2.0.0"}
		edit := func(round int) {
			for range rapid.IntRange(0, 6).Draw(rt, "edits") {
				org := rapid.SampledFrom([]string{"primary", "primary", "replica"}).Draw(rt, "org")
				side := map[string]interface {
					Set(string, string, ...string)
					Unset(string)
				}{"primary": w.primary, "replica": w.replica}[org]
				path := rapid.SampledFrom(paths).Draw(rt, "path")
				if rapid.IntRange(0, 3).Draw(rt, "unset") == 0 {
					side.Unset(path)
					continue
				}
				side.Set(path, fmt.Sprint(org, round))
			}
		}
		for round := range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			edit(round)
			if round == 0 || rapid.Bool().Draw(rt, "select again") {
				draw := rapid.SliceOfNDistinct(rapid.SampledFrom(words), 0, 3, rapid.ID[string])
				w.pair.Selection = selection(t, strings.Join(draw.Draw(rt, "include"), " "), strings.Join(draw.Draw(rt, "exclude"), " "))
			}
			w.drawScan(rt)
			w.checkedPass(rt)
		}
	})
}

func (w *world) checkedPass(t *rapid.T) {
	managed := func(path string) bool { return w.pair.Manages(mustRef(path)) }
	guard := func(op string, r object.Ref) error {
		if (op == "get" || op == "put" || op == "delete" || op == "open") && !w.pair.Manages(r) {
			t.Errorf("%+v: %s of %s", w.pair.Selection, op, r)
		}
		return nil
	}
	w.primary.Refuse, w.replica.Refuse = guard, guard
	outside := func(snapshot map[string]string) map[string]string {
		maps.DeleteFunc(snapshot, func(path, _ string) bool { return managed(path) })
		return snapshot
	}
	before := outside(w.replica.Snapshot())
	ours := replicated(t, w.state)
	many := 1000
	w.direct(replication.DesiredChange{AllowDeletes: &many, Resync: new(w.now())})
	w.pass()
	if after := outside(w.replica.Snapshot()); !maps.Equal(before, after) {
		t.Fatalf("%+v: outside of it the replica went from %v to %v", w.pair.Selection, before, after)
	}
	stuck := map[string]bool{}
	for _, u := range w.unsynced() {
		if u.Ref.Kind != object.DataBag || w.pair.Prune == replication.PruneNone {
			t.Fatalf("unsynced %+v", u)
		}
		stuck[u.Ref.Path()] = true
	}
	want, got := w.primary.Snapshot(), w.replica.Snapshot()
	for path, print := range want {
		if managed(path) && got[path] != print {
			t.Fatalf("%+v: %s is not as on the primary", w.pair.Selection, path)
		}
	}
	for path := range got {
		_, replicated := ours[mustRef(path)]
		deletes := w.pair.Prune == replication.PruneAll || w.pair.Prune == replication.PruneReplicated && replicated
		if want[path] == "" && managed(path) && deletes && !stuck[path] {
			t.Fatalf("%+v, prune %s: %s is gone from the primary and still there", w.pair.Selection, w.pair.Prune, path)
		}
	}
}
