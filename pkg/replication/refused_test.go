package replication_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// mayNotCreate refuses creates of a kind, as a container without the permission.
func mayNotCreate(w *world, kind object.Kind) (asked *int) {
	asked = new(int)
	there := w.replica.Snapshot()
	w.replica.Refuse = func(op string, ref object.Ref) error {
		if _, update := there[ref.Path()]; op != "put" || ref.Kind != kind || update {
			return nil
		}
		*asked++
		return &fault.Error{Op: "create in", Object: object.Ref{Kind: kind}, Server: "eu", Class: fault.Denied, Hint: "prepare-org",
			Err: fmt.Errorf("user sync may not create roles: %w", replication.ErrMayNotCreate)}
	}
	return asked
}

// A kind that is refused as a whole is one message of the pair, not one an object.
func TestARefusedKindBlocksThePairAndNotEachObject(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window = 10
	w.fill()
	for i := range 200 {
		w.primary.Set(fmt.Sprintf("/roles/r%03d", i), "x")
	}
	w.primary.Set("/environments/zoo", "comes after the roles")
	asked := mayNotCreate(w, object.Role)
	run, err := w.engine().Pass(t.Context(), replication.PassOptions{})
	if !errors.Is(err, replication.ErrMayNotCreate) || run.Outcome != replication.OutcomeFailed {
		t.Fatalf("outcome %s, error %v", run.Outcome, err)
	}
	w.wantStatus(replication.Blocked)
	p := w.record().Progress
	if len(w.unsynced()) != 0 || p.LastError == nil || p.LastError.Hint != "prepare-org" || p.Pending != 202 {
		t.Fatalf("%d unsynced objects, %d pending, error %+v", len(w.unsynced()), p.Pending, p.LastError)
	}
	if *asked > 20 { // those of one window may be under way
		t.Errorf("%d creates were tried", *asked)
	}
	if left := len(w.primary.Snapshot()) - len(w.replica.Snapshot()); left != 202 {
		t.Errorf("%d objects are missing on the replica, want the 202 roles alone", left)
	}

	// While it goes on, it costs little: neither is the primary read again, nor each role tried.
	for range 6 {
		*asked, w.primary.Calls = 0, 0
		w.advance(time.Hour)
		if _, err := w.engine().Pass(t.Context(), replication.PassOptions{}); !errors.Is(err, replication.ErrMayNotCreate) {
			t.Fatal(err)
		}
		if *asked > 10 || w.primary.Calls > 30 {
			t.Errorf("%d creates and %d requests to the primary in a pass that is refused again", *asked, w.primary.Calls)
		}
	}
	w.wantStatus(replication.Blocked)
	if u := w.unsynced(); len(u) != 0 {
		t.Fatalf("unsynced: %+v", u)
	}

	w.replica.Refuse = nil
	w.advance(time.Hour)
	w.pass()
	w.wantStatus(replication.Synced)
	w.wantEqual()
}

func TestChangesOfOtherKindsGoOnWhileAKindIsRefused(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	mayNotCreate(w, object.Role)
	w.primary.Set("/roles/new", "new")
	w.primary.Set("/roles/web", "updated") // updates are permitted
	w.primary.Set("/environments/new", "new")
	seq := w.record().Progress.Position.Seq
	for i := range 3 {
		_, err := w.engine().Pass(t.Context(), replication.PassOptions{})
		if !errors.Is(err, replication.ErrMayNotCreate) {
			t.Fatal(err)
		}
		w.advance(time.Hour)
		w.primary.Set("/environments/new", fmt.Sprint(i))
	}
	p := w.record().Progress
	if p.Status != replication.Blocked || p.Position.Seq != seq || p.Unsynced != 0 || p.Pending != 1 {
		t.Fatalf("%+v, want a blocked pair at its position", p)
	}
	var left []string
	there := w.replica.Snapshot()
	for path, content := range w.primary.Snapshot() {
		if there[path] != content {
			left = append(left, path)
		}
	}
	if got := strings.Join(left, " "); !strings.Contains(got, "/roles/new") || strings.Contains(got, "/roles/web") {
		t.Errorf("not replicated: %s", got)
	}
	w.replica.Refuse = nil
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// An item makes its bag: where bags are refused, the items of those that are there
// go on.
func TestItemsOfBagsThatAreThereGoOn(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	asked := 0
	w.replica.Refuse = func(op string, ref object.Ref) error {
		if op == "put" && ref.Name == "fresh" {
			asked++
			return &fault.Error{Op: "create in", Object: object.Ref{Kind: object.DataBag}, Class: fault.Denied, Err: replication.ErrMayNotCreate}
		}
		return nil
	}
	for i := range 50 {
		w.primary.Set(fmt.Sprintf("/data/fresh/i%d", i), "x")
	}
	w.primary.Set("/data/users/carol", "carol")
	_, err := w.engine().Pass(t.Context(), replication.PassOptions{})
	if !errors.Is(err, replication.ErrMayNotCreate) || w.replica.Snapshot()["/data/users/carol"] == "" || asked != 1 {
		t.Fatalf("error %v, %d requests for the bag and its items, on the replica: %v", err, asked, w.replica.Snapshot())
	}
	w.replica.Refuse = nil
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
}

// A server that goes away at a write is no death of the process: the object doesn't become
// unsynced for it, however often it happens.
func TestAServerThatGoesAwayAtAWriteIsNoCrash(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "new")
	w.primary.Set("/roles/fresh", "new")
	w.replica.Refuse = func(string, object.Ref) error { return refused(fault.Unreachable) }
	for range 8 {
		if _, err := w.engine().Pass(t.Context(), replication.PassOptions{}); err == nil {
			t.Fatal("no error")
		}
		w.advance(time.Hour)
	}
	if u, p := w.unsynced(), w.record().Progress; len(u) > 0 || p.Work != nil && p.Work.Crashes > 0 {
		t.Errorf("unsynced %+v, work %+v", u, p.Work)
	}
	w.replica.Refuse = nil
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}
