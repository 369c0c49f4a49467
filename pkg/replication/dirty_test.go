package replication_test

import (
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// copyWithStaleFeed copies everything. The feed shows no later change, such as a forced
// overwrite of a frozen cookbook version that was not pushed.
func (w *world) copyWithStaleFeed() {
	w.t.Helper()
	w.fill()
	w.scanner = replicationtest.NewScanner(w.primary)
	w.scanner.Scan()
	w.pass()
}

// change makes a difference of each sort that no pass has applied.
func (w *world) change() {
	w.primary.Set("/cookbooks/apt/1.0.0", "forced over the frozen one", "other content")
	w.primary.Set("/roles/new", "new")
	w.primary.Set("/roles/own", "the primary's")
	w.replica.Set("/roles/own", "of the replica")
	w.primary.Unset("/data/users/bob")
}

func TestAPassAppliesWhatAVerificationFound(t *testing.T) {
	w := newWorld(t)
	w.copyWithStaleFeed()
	w.change()
	if run := w.pass(); run.Mode != "" {
		t.Fatalf("%+v; want a poll that finds nothing", run)
	}
	r := w.verify(replication.VerifyOptions{})
	w.wantDifferences(r.Differences, map[string]string{"/cookbooks/apt/1.0.0": "M pending", "/roles/new": "A pending", "/roles/own": "M pending", "/data/users/bob": "D pending"})
	w.wantStatus(replication.Syncing)
	if p := w.record().Progress; p.Pending != 4 || len(p.Dirty) != 4 {
		t.Errorf("pending %d, dirty %v; want all 4", p.Pending, p.Dirty)
	}
	plan, err := w.engine().Preview(t.Context(), false)
	if err != nil || plan.Writes() != 4 {
		t.Errorf("plan %+v, %v; want 4 writes", plan.Steps, err)
	}
	if run := w.pass(); run.Counts.Created+run.Counts.Updated+run.Counts.Deleted != 4 || run.Counts.Observed > 5 {
		t.Errorf("%+v; want the 4 objects written, and no others read", run.Counts)
	}
	w.wantEqual()
	w.wantStatus(replication.Synced)
	if p := w.record().Progress; p.Pending != 0 || len(p.Dirty) != 0 {
		t.Errorf("pending %d, dirty %v after the pass", p.Pending, p.Dirty)
	}
	if run := w.pass(); run.Mode != "" {
		t.Errorf("a further pass worked again: %+v", run)
	}
}

func TestWhatAVerificationFoundSurvivesAPassThatFails(t *testing.T) {
	w := newWorld(t)
	w.copyWithStaleFeed()
	w.change()
	w.verify(replication.VerifyOptions{})
	w.primary.Refuse = func(string, object.Ref) error { return refused(fault.Unreachable) }
	if _, err := w.engine().Pass(t.Context(), replication.PassOptions{Trigger: "test"}); err == nil {
		t.Fatal("a pass without the primary succeeded")
	}
	w.primary.Refuse = nil
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
}

// Drift is left to the drift rule: marking it would repair it.
func TestDriftIsNotMarked(t *testing.T) {
	w := newWorld(t)
	w.copyWithStaleFeed()
	w.replica.Set("/roles/web", "edited there")
	w.replica.Unset("/roles/base")
	w.verify(replication.VerifyOptions{})
	if p := w.record().Progress; p.Pending != 0 || len(p.Dirty) != 0 || p.Status != replication.Synced {
		t.Errorf("status %s, pending %d, dirty %v; want nothing to be done", p.Status, p.Pending, p.Dirty)
	}
	w.pass()
	if w.replica.Snapshot()["/roles/web"] == w.primary.Snapshot()["/roles/web"] {
		t.Error("a pass repaired what is only to be reported")
	}
}

// A record has no room for thousands of names: their kinds stand for them.
func TestManyDifferencesAreMarkedByTheirKind(t *testing.T) {
	w := newWorld(t)
	w.copyWithStaleFeed()
	for i := range 50 {
		w.primary.Set(fmt.Sprintf("/roles/r%d", i), "new")
	}
	w.primary.Set("/data/users/carol", "new")
	w.verify(replication.VerifyOptions{})
	if p := w.record().Progress; p.Pending != 51 || len(p.Dirty) != 2 {
		t.Errorf("pending %d, dirty %v; want 51 by two listings", p.Pending, p.Dirty)
	}
	w.pass()
	w.wantEqual()
}

func TestNamedObjectsAreComparedOnBothSides(t *testing.T) {
	w := newWorld(t)
	w.copyWithStaleFeed()
	w.replica.Set("/roles/web", "edited there")
	w.replica.Unset("/roles/base")
	w.replica.Set("/data/users/alice", "edited there")
	w.replica.Set("/environments/prod", "edited there")
	w.primary.Set("/cookbooks/apt/1.0.0", "forced")
	asked := w.now()
	w.direct(replication.DesiredChange{ResyncObjectsAt: &asked, ResyncObjects: []object.Ref{mustRef("/roles/web"), mustRef("/roles/base"), mustRef("/data/users"), mustRef("/cookbooks/apt/1.0.0")}})
	if run := w.pass(); run.Mode != "changes" || run.Counts.Created != 1 || run.Counts.Updated != 3 {
		t.Errorf("%s %+v; want the named objects repaired", run.Mode, run.Counts)
	}
	if w.replica.Snapshot()["/environments/prod"] == w.primary.Snapshot()["/environments/prod"] {
		t.Error("an object that nobody named was repaired")
	}
	w.primary.Set("/environments/prod", "edited there")
	w.wantEqual()
	if at := w.record().Progress.ObjectsAt; !at.Equal(asked) {
		t.Errorf("resynced at %s, want %s", at, asked)
	}
	if run := w.pass(); run.Mode != "" {
		t.Errorf("it was done again: %+v", run)
	}
}

// A full comparison does what was asked for the named objects, also one that nobody asked
// for.
func TestAFullComparisonAnswersForNamedObjects(t *testing.T) {
	for name, resync := range map[string]bool{"asked for": true, "many changes": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.copyWithStaleFeed()
			w.replica.Set("/roles/web", "edited there")
			asked := w.now()
			d := replication.DesiredChange{ResyncObjectsAt: &asked, ResyncObjects: []object.Ref{mustRef("/roles/web")}}
			if resync {
				d.Resync = &asked
			}
			w.direct(d)
			if !resync {
				w.tuning.Backlog = 1
				w.primary.Set("/roles/a", "a")
				w.primary.Set("/roles/b", "b")
				w.scanner.Scan()
			}
			if run := w.pass(); run.Mode != "compare" {
				t.Fatalf("%+v, want a compare", run)
			}
			if at := w.record().Progress.ObjectsAt; !at.Equal(asked) {
				t.Errorf("answered %s, want %s", at, asked)
			}
			w.wantEqual()
		})
	}
}

// What lies before the cursor of a compare that goes on is looked at again.
func TestACompareThatGoesOnLooksAtWhatWasMarked(t *testing.T) {
	w := newWorld(t)
	w.copyWithStaleFeed()
	w.tuning.Window = 1
	w.direct(replication.DesiredChange{Resync: new(w.now())})
	writes := 0
	w.primary.Refuse = func(op string, ref object.Ref) error {
		if op == "get" && ref.Kind == object.Environment { // the last of all
			writes++
			return refused(fault.Unreachable)
		}
		if op == "list" && writes > 0 {
			return refused(fault.Unreachable)
		}
		return nil
	}
	if _, err := w.engine().Pass(t.Context(), replication.PassOptions{Trigger: "test"}); err == nil || w.record().Progress.Work == nil || w.record().Progress.Work.After == "" {
		t.Fatalf("work %+v, %v; want a compare that was broken off behind its cursor", w.record().Progress.Work, err)
	}
	w.primary.Refuse = nil
	asked := w.now().Add(time.Second)
	w.advance(time.Hour)
	w.change()
	w.verify(replication.VerifyOptions{})
	w.direct(replication.DesiredChange{ResyncObjectsAt: &asked, ResyncObjects: []object.Ref{mustRef("/roles/web")}})
	if run := w.pass(); run.Mode != "compare" {
		t.Fatalf("%+v, want the compare to go on", run)
	}
	if p := w.record().Progress; len(p.Dirty) != 0 || p.ObjectsAt.Equal(asked) {
		t.Errorf("dirty %v, objects compared as of %s; want what was marked done, and what was named since left to a pass", p.Dirty, p.ObjectsAt)
	}
	w.wantEqual()
}
