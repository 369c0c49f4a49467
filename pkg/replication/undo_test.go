package replication_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// undo stops the pair and undoes a run.
func (w *world) undo(run string) (replication.Run, error) {
	w.t.Helper()
	w.direct(replication.NewUndoRequest(run, w.now()))
	undone, err := w.engine().Undo(context.Background(), run, replication.PassOptions{Trigger: replication.TriggerManual})
	w.advance(time.Minute)
	return undone, err
}

// mustUndo undoes a run and wants all of it to succeed.
func (w *world) mustUndo(run string) replication.Run {
	w.t.Helper()
	undone, err := w.undo(run)
	if err != nil || undone.Outcome != replication.OutcomeDone {
		w.t.Fatalf("undo: %+v, %v", undone, err)
	}
	return undone
}

func (w *world) start() { w.direct(replication.DesiredChange{Stop: new(false)}) }

// wantReplica wants the replica to be as it was, with all files.
func (w *world) wantReplica(was map[string]string) {
	w.t.Helper()
	wantOrg(w.t, w.replica, was)
}

func wantOrg(t rapid.TB, o *replicationtest.Org, was map[string]string) {
	t.Helper()
	if d := cmp.Diff(was, o.Snapshot()); d != "" {
		t.Fatalf("the replica isn't as it was (-was +is):\n%s", d)
	}
	if torn := o.Broken(); len(torn) > 0 {
		t.Fatalf("torn cookbook versions on the replica: %v", torn)
	}
}

// TestNewObjectsAreNotReadOneByOne: one listing tells that the replica has none of them, so
// that an undo deletes them.
func TestNewObjectsAreNotReadOneByOne(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	was := w.replica.Snapshot()
	for i := range 30 {
		w.primary.Set(fmt.Sprintf("/data/users/new%02d", i), "new")
	}
	n := w.countRequests()
	run := w.pass()
	if run.Mode != replication.ModeChanges || run.Counts.Created != 30 || n["replica get"] > 2 || n["replica list"] > 2 {
		t.Errorf("%s: %+v with %v; want 30 items created without a read of each", run.Mode, run.Counts, n)
	}
	w.mustUndo(run.ID)
	w.wantReplica(was)
}

// TestUndoOfAnObjectThatKilledPasses: the record of the crashes, which the undo takes up, is
// no failure of the undo.
func TestUndoOfAnObjectThatKilledPasses(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	was := w.replica.Snapshot()
	w.primary.Set("/roles/new", "new")
	for range 4 {
		w.dieAt("put", "/roles/new", passOnce)
	}
	runs, err := w.state.Runs(t.Context(), pairID, 4)
	if err != nil {
		t.Fatal(err)
	}
	if run := w.mustUndo(runs[3].ID); run.Left != 0 {
		t.Errorf("%+v, want nothing left", run)
	}
	w.wantReplica(was)
}

func TestUndoRestoresWhatARunReplaced(t *testing.T) {
	w := newWorld(t)
	w.replica.Trusting = true // content that no cookbook version needs is gone from it
	w.pair.MaxDelete = replication.Limit{Percent: 100}
	w.fill()
	w.pass()
	was := w.replica.Snapshot()
	w.primary.Set("/roles/web", "broken")
	w.primary.Set("/roles/new", "new")
	w.primary.Set("/roles/gone", "new, and deleted on the replica since")
	w.primary.Set("/cookbooks/apt/1.1.0", "broken", "other recipe")
	w.primary.Unset("/cookbooks/nginx/2.0.0")
	w.primary.Unset("/data/users")
	run := w.pass()
	w.wantEqual()
	w.replica.Unset("/roles/gone")
	broken := w.replica.Snapshot()
	w.stage = w.stage.Without(w.pair.Space)

	plan, err := w.engine().PreviewUndo(context.Background(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, s := range plan.Steps {
		steps = append(steps, string(s.Action)+" "+s.Ref.Path()+": "+s.Reason)
	}
	want := []string{"create /data/users: deleted since", "update /cookbooks/apt/1.1.0: changed since", "create /cookbooks/nginx/2.0.0: deleted since",
		"create /data/users/alice: deleted since", "create /data/users/bob: deleted since", "update /roles/web: changed since", "delete /roles/new: created since", "skip /roles/gone: as it was"}
	slices.Sort(steps)
	slices.Sort(want)
	if d := cmp.Diff(want, steps); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
	w.wantReplica(broken) // a plan changes nothing

	undone := w.mustUndo(run.ID)
	w.wantReplica(was)
	if c := undone.Counts; c.Created != 4 || c.Updated != 2 || c.Deleted != 1 || undone.Mode != replication.ModeUndo {
		t.Errorf("the run of the undo: %+v", undone)
	}
	if st := w.record(); st.Status() != replication.Stopped || !strings.Contains(st.Desired.Reason, run.ID) {
		t.Errorf("status %s, reason %q; want a stopped pair that names the run", st.Status(), st.Desired.Reason)
	}
	w.wantOutcome(w.pass(), replication.OutcomeStopped)
	w.wantReplica(was)

	w.start()
	w.pass()
	w.wantEqual()
}

// Large objects are staged, and many make several records.
func TestUndoRestoresLargeAndManyObjects(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window = 1000
	fill := func(text string) {
		for i := range 500 {
			w.primary.Set(fmt.Sprintf("/roles/role-%03d", i), strings.Repeat(text, 1+i*6))
		}
		w.primary.Set("/environments/large", strings.Repeat(text, 500_000))
	}
	fill("a")
	w.pass()
	was, staged := w.replica.Snapshot(), w.stage.Puts
	fill("b")
	run := w.pass()
	parts, err := w.state.Backups(context.Background(), pairID, run.ID)
	if err != nil || len(parts) < 5 {
		t.Fatalf("%d parts, %v; want several", len(parts), err)
	}
	for _, part := range parts {
		size := 0
		for _, b := range part.Objects {
			size += len(b.Content)
		}
		if len(part.Objects) > 200 || size > 100<<10 {
			t.Errorf("a part has %d objects of %d bytes", len(part.Objects), size)
		}
	}
	if n := w.stage.Puts - staged; n == 0 || n > 100 {
		t.Errorf("%d objects were staged, want the large ones", n)
	}
	w.mustUndo(run.ID)
	w.wantReplica(was)
}

func TestUndoGoesBackBehindLaterRuns(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	was := w.replica.Snapshot()
	w.primary.Set("/roles/web", "first")
	first := w.pass()
	between := w.replica.Snapshot()
	w.primary.Set("/roles/web", "second")
	w.primary.Set("/roles/base", "second")
	second := w.pass()
	later := w.replica.Snapshot()
	w.mustUndo(first.ID)
	w.wantReplica(was)
	// The undo can be undone too: runs of undo are runs like others.
	runs, err := w.state.Runs(context.Background(), pairID, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.mustUndo(runs[0].ID)
	w.wantReplica(later)
	w.mustUndo(second.ID)
	w.wantReplica(between)
}

func TestUndoOfARepairRestoresTheEdit(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.replica.Set("/roles/web", "edited on the replica")
	w.replica.Unset("/roles/base")
	was := w.replica.Snapshot()
	report, err := w.engine().Verify(context.Background(), replication.VerifyOptions{Trigger: "test", Repair: true})
	if err != nil || len(report.Repaired) != 2 {
		t.Fatalf("repair: %+v, %v", report, err)
	}
	w.mustUndo(report.Run)
	w.wantReplica(was)
}

// A pass ends soon after its pair is stopped; an undo is for a pair that is.
func TestUndoGoesOnThoughThePairIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fill()
		w.pass()
		was := w.replica.Snapshot()
		for _, role := range []string{"a", "b", "web", "base"} {
			w.primary.Set("/roles/"+role, "changed")
		}
		run := w.pass()
		w.replica.Delay, w.pair.Concurrency = 20*time.Second, 1
		w.direct(replication.NewUndoRequest(run.ID, w.now()))
		e := w.engine()
		began := time.Now()
		e.Now = func() time.Time { return w.now().Add(time.Since(began)) }
		undone, err := e.Undo(t.Context(), run.ID, replication.PassOptions{})
		if err != nil || undone.Outcome != replication.OutcomeDone {
			t.Fatalf("undo: %+v, %v", undone, err)
		}
		w.wantReplica(was)
	})
}

// What others did on the replica since stays, except the objects that are restored.
func TestUndoLeavesWhatTheRunsDidNotTouch(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "broken")
	w.primary.Set("/data/new/item", "new")
	run := w.pass()
	w.replica.Set("/roles/own", "the replica's own")
	w.replica.Set("/data/new/own", "the replica's own")
	undone, err := w.undo(run.ID)
	if err != nil || undone.Outcome != replication.OutcomePartial || undone.Left != 1 {
		t.Fatalf("undo: %+v, %v; want the bag with another item to be left", undone, err)
	}
	got := w.replica.Snapshot()
	if got["/roles/own"] == "" || got["/data/new/own"] == "" || got["/data/new/item"] != "" {
		t.Errorf("the replica has %v", got)
	}
}

// What an unfinished compare wrote lies behind its cursor: when it goes on after an undo, it
// looks at that again. More objects than a record can name are named by their kind.
func TestACompareThatGoesOnAfterAnUndoLooksAgain(t *testing.T) {
	for _, roles := range []int{3, 50} {
		w := newWorld(t)
		w.tuning.Window = 1
		w.pair.MaxDelete = replication.Limit{Percent: 100}
		fill := func(text string) {
			for i := range roles {
				w.primary.Set(fmt.Sprintf("/roles/r%02d", i), text)
			}
			w.primary.Set("/environments/prod", text)
		}
		fill("before")
		w.pass()
		was := w.replica.Snapshot()
		fill("after")
		w.primary.Set("/roles/new", "after")
		w.replica.Refuse = func(op string, r object.Ref) error {
			if (op == "put" || op == "list") && w.replica.Writes > 2*roles+1 {
				return refused(fault.Unreachable)
			}
			return nil
		}
		run, err := w.engine().Pass(t.Context(), replication.PassOptions{Full: true})
		if work := w.record().Progress.Work; err == nil || work == nil || work.After == "" {
			t.Fatalf("work %+v, %v; want a compare that was broken off behind its cursor", work, err)
		}
		w.replica.Refuse = nil
		w.advance(time.Hour)
		w.mustUndo(run.ID)
		w.wantReplica(was)
		w.start()
		if run := w.pass(); run.Mode != replication.ModeCompare {
			t.Errorf("%d roles: mode %s, want the compare to go on", roles, run.Mode)
		}
		w.wantEqual()
		w.wantStatus(replication.Synced)
	}
}

// The limit is for what the primary causes.
func TestWhatAnUndoDeletesDoesNotCountAgainstTheLimit(t *testing.T) {
	w := newWorld(t)
	w.pair.MaxDelete = replication.Limit{Count: 2}
	w.fill()
	w.pass()
	w.primary.Set("/roles/first", "new")
	w.primary.Set("/roles/second", "new")
	run, was := w.pass(), len(w.replica.Snapshot())
	w.direct(replication.NewUndoRequest(run.ID, w.now()))
	w.tuning.Window = 1
	w.dieAt("delete", "/roles/first", func(ctx context.Context, e *replication.Engine) {
		_, _ = e.Undo(ctx, run.ID, replication.PassOptions{})
	})
	w.mustUndo(run.ID)
	if n := len(w.replica.Snapshot()); n != was-2 {
		t.Fatalf("%d of %d objects are left, want both roles deleted", n, was)
	}
	w.start()
	w.pass()
	w.primary.Unset("/roles/first")
	w.primary.Unset("/roles/second")
	w.wantOutcome(w.pass(), replication.OutcomeDone)
	w.wantEqual()
}

func TestWhatCanNotBeUndoneIsRefused(t *testing.T) {
	w := newWorld(t)
	w.fill()
	first := w.pass()
	w.pair.NoUndo = true
	w.primary.Set("/roles/web", "2")
	silent := w.pass()
	w.pair.NoUndo = false
	w.primary.Set("/roles/web", "3")
	last := w.pass()
	report, err := w.engine().Verify(context.Background(), replication.VerifyOptions{Trigger: "test"})
	if err != nil {
		t.Fatal(err)
	}
	before := w.replica.Snapshot()
	for run, want := range map[string]string{
		first.ID: "kept nothing of what it replaced", silent.ID: "it kept nothing", report.Run: "it wrote nothing", "20200101T000000.000Z-1": "no such run",
	} {
		if _, err := w.undo(run); err == nil || !strings.Contains(err.Error(), want) || fault.HintOf(err) == "" {
			t.Errorf("undo of %s: %v; want %q and a hint", run, err, want)
		}
	}
	w.start()
	if _, err := w.engine().Undo(context.Background(), last.ID, replication.PassOptions{}); err == nil || !strings.Contains(err.Error(), "isn't stopped") {
		t.Errorf("undo of a pair that isn't stopped: %v", err)
	}
	w.advance(replication.BackupAge)
	if _, err := w.undo(last.ID); err == nil || !strings.Contains(err.Error(), "older than 7 days") {
		t.Errorf("undo after a week: %v", err)
	}
	w.wantReplica(before)
}

// What can't be kept doesn't keep a change from being replicated, and an undo says what it
// could not restore.
func TestAChangeIsReplicatedThoughItCanNotBeKept(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "changed")
	w.primary.Set("/roles/base", "changed")
	w.replica.Refuse = func(op string, r object.Ref) error {
		if op == "get" && r.Name == "web" {
			return refused(fault.Forbidden)
		}
		return nil
	}
	run := w.pass()
	w.replica.Refuse = nil
	w.wantEqual()
	undone, err := w.undo(run.ID)
	if err != nil || undone.Outcome != replication.OutcomePartial || undone.Left != 1 || undone.Counts.Updated != 1 {
		t.Fatalf("undo: %+v, %v; want one object to be restored", undone, err)
	}
	if u := w.unsynced(); len(u) != 1 || u[0].Ref != mustRef("/roles/web") || !strings.Contains(u[0].Reason, "not kept") {
		t.Errorf("unsynced: %+v", u)
	}
	w.start()
	w.pass()
	w.wantEqual()
	if u := w.unsynced(); len(u) != 0 {
		t.Errorf("after the next pass, unsynced: %+v", u)
	}
}
