package replication_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

func repairing() replication.VerifyOptions { return replication.VerifyOptions{Repair: true} }

// drifted makes a pair in sync whose replica was then changed by hand.
func drifted(w *world) {
	w.fill()
	w.pass()
	w.replica.Set("/roles/web", "edited")
	w.replica.Set("/cookbooks/apt/1.1.0", "edited", "another recipe")
	w.replica.Unset("/environments/prod")
	w.replica.Unset("/data/users")
	w.replica.Set("/roles/own", "own")
	w.replica.Writes = 0
}

func TestARepairUndoesWhatOthersChangedAndNamesIt(t *testing.T) {
	w := newWorld(t)
	drifted(w)
	before := w.record().Progress
	r := w.verify(repairing())
	w.wantDifferences(r.Repaired, map[string]string{
		"/roles/web": "M changed", "/cookbooks/apt/1.1.0": "M changed", "/environments/prod": "A missing",
		"/data/users": "A missing", "/data/users/alice": "A missing", "/data/users/bob": "A missing",
	})
	if !r.Equal() || r.Outcome != replication.OutcomeDone || len(r.Extras) != 1 {
		t.Errorf("report %+v; want it equal except for the replica's own role", r)
	}
	w.replica.Unset("/roles/own")
	w.wantEqual()
	if w.replica.Writes != 6 {
		t.Errorf("%d writes, want the 6 that differed", w.replica.Writes)
	}
	run, p := w.lastRun(), w.record().Progress
	if run.Mode != "repair" || run.Counts.Created != 4 || run.Counts.Updated != 2 || run.Counts.Drift != 6 || run.Outcome != replication.OutcomeDone {
		t.Errorf("run %+v", run)
	}
	if d := p.Drift; d == nil || d.Changed != 2 || d.Missing != 4 || d.Repaired != 6 || d.Left() != 0 {
		t.Errorf("recorded drift %+v", d)
	}
	if p.Work != nil || !p.LastSuccess.Equal(before.LastSuccess) || !p.NextRun.Equal(before.NextRun) || p.Position.Seq != before.Position.Seq || !p.Since.Equal(before.Since) {
		t.Errorf("progress %+v, was %+v: a verification is no pass", p, before)
	}
	w.wantStatus(replication.Synced)
	if !p.LastVerified.IsZero() {
		t.Error("called verified, though it wasn't equal when it was read")
	}
	w.wantOutcome(w.pass(), replication.OutcomeDone)
	if r := w.verify(repairing()); !r.Equal() || len(r.Repaired) > 0 || w.record().Progress.Drift != nil || w.record().Progress.LastVerified.IsZero() {
		t.Errorf("the next one: %+v", r)
	}
}

// What the primary changed meanwhile belongs to the next pass, with its place in
// the feed.
func TestARepairLeavesToPassesWhatIsTheirs(t *testing.T) {
	w := newWorld(t)
	drifted(w)
	w.primary.Set("/roles/new", "new")
	w.primary.Set("/cookbooks/nginx/2.0.0", "changed", "f")
	w.primary.Unset("/roles/base")
	r := w.verify(repairing())
	w.wantDifferences(r.Differences, map[string]string{"/roles/new": "A pending", "/cookbooks/nginx/2.0.0": "M pending", "/roles/base": "D pending"})
	if len(r.Repaired) != 6 || r.Outcome != replication.OutcomeDiffers {
		t.Errorf("outcome %s, repaired %v", r.Outcome, r.Repaired)
	}
	if run := w.pass(); run.Counts.Created != 1 || run.Counts.Updated != 1 || run.Counts.Deleted != 1 {
		t.Errorf("the pass did %+v", run.Counts)
	}
	w.replica.Unset("/roles/own")
	w.wantEqual()
}

func TestThePruneRuleDecidesWhatARepairDeletes(t *testing.T) {
	for prune, c := range map[replication.Prune]struct {
		kept   bool
		extras int // named, and left alone
	}{replication.PruneReplicated: {true, 1}, replication.PruneNone: {true, 2}, replication.PruneAll: {false, 0}} {
		t.Run(string(prune), func(t *testing.T) {
			w := newWorld(t)
			w.pair.Prune = prune
			w.fill()
			w.pass()
			w.replica.Set("/roles/own", "own")
			w.primary.Unset("/roles/base") // for the next pass to delete, or nobody
			r := w.verify(repairing())
			_, kept := w.replica.Snapshot()["/roles/own"]
			_, base := w.replica.Snapshot()["/roles/base"]
			if kept != c.kept || !base || len(r.Extras) != c.extras {
				t.Errorf("own role kept: %v, the one gone from the primary: %v, extras %v", kept, base, r.Extras)
			}
			if !c.kept {
				w.wantDifferences(r.Repaired, map[string]string{"/roles/own": "D extra"})
			}
		})
	}
}

// An object that turns up on the primary before it would be deleted is written.
func TestAnAdditionThatThePrimaryGetsTooIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneAll
	w.fill()
	w.pass()
	w.replica.Set("/roles/own", "own")
	e := w.engine()
	e.State = &interloper{State: w.state, work: func() { w.primary.Set("/roles/own", "of the primary now") }}
	r, err := e.Verify(context.Background(), repairing())
	if err != nil || len(r.Differences) != 0 {
		t.Fatalf("report %+v, %v", r, err)
	}
	w.wantDifferences(r.Repaired, map[string]string{"/roles/own": "D extra"}) // the replica has the primary's
	w.wantEqual()
}

// Many additions at once may be intended; the operator decides.
func TestAMassOfAdditionsIsHeldUntilTheOperatorApproves(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneAll
	w.fill()
	w.pass()
	for i := range 30 {
		w.replica.Set(fmt.Sprintf("/roles/own%d", i), "own")
	}
	w.replica.Set("/roles/web", "edited")
	w.replica.Writes = 0
	r := w.verify(repairing())
	if r.Outcome != replication.OutcomeHeld || r.Hold == nil || r.Hold.Deletes != 30 || len(r.Repaired) != 1 || w.replica.Writes != 1 {
		t.Fatalf("outcome %s, hold %+v, %d writes; want the deletions held and the edited role repaired", r.Outcome, r.Hold, w.replica.Writes)
	}
	w.wantStatus(replication.Held)
	st := w.record()
	if h := st.Progress.Hold; h == nil || st.Progress.LastCheck.IsZero() || st.Progress.Drift.Left() != 30 || w.lastRun().Outcome != replication.OutcomeHeld {
		t.Errorf("recorded %+v, run %+v", st.Progress, w.lastRun())
	}
	w.wantOutcome(w.pass(), replication.OutcomeHeld)
	if r := w.verify(repairing()); r.Outcome != replication.OutcomeHeld || w.replica.Writes != 1 {
		t.Errorf("a repair of a held pair: %s, %d writes", r.Outcome, w.replica.Writes)
	}
	many := 30
	w.direct(replication.DesiredChange{AllowDeletes: &many})
	w.advance(time.Second)
	if r := w.verify(repairing()); r.Outcome != replication.OutcomePartial {
		t.Errorf("a repair before the pass that the approval is for: %s", r.Outcome)
	}
	w.wantOutcome(w.pass(), replication.OutcomeDone)
	w.wantEqual()
	w.wantStatus(replication.Synced)
	// The word was for once.
	for i := range 30 {
		w.replica.Set(fmt.Sprintf("/roles/own%d", i), "own")
	}
	if r := w.verify(repairing()); r.Outcome != replication.OutcomeHeld {
		t.Errorf("the second time: %s", r.Outcome)
	}
}

// Held deletions don't keep a verification from repairing the rest.
func TestAHeldPairIsRepaired(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.primary.Set(fmt.Sprintf("/roles/r%02d", i), "x")
	}
	w.pass()
	for i := range 21 {
		w.primary.Unset(fmt.Sprintf("/roles/r%02d", i))
	}
	_, _ = w.engine().Pass(context.Background(), replication.PassOptions{})
	w.wantStatus(replication.Held)
	w.replica.Set("/roles/r39", "edited")
	w.replica.Writes = 0
	if r := w.verify(repairing()); r.Outcome != replication.OutcomeDiffers || len(r.Repaired) != 1 || len(r.Differences) != 21 || w.replica.Writes != 1 {
		t.Errorf("outcome %s, %d repaired, %d differences; want the edited role repaired, and the held deletions listed", r.Outcome, len(r.Repaired), len(r.Differences))
	}
	w.wantStatus(replication.Held)
}

func TestAStoppedPairIsNotRepaired(t *testing.T) {
	w := newWorld(t)
	drifted(w)
	yes := true
	w.direct(replication.DesiredChange{Stop: &yes})
	r := w.verify(repairing())
	if r.Outcome != replication.OutcomeStopped || w.replica.Writes != 0 || len(r.Drift()) != 6 {
		t.Errorf("outcome %s after %d writes, drift %v", r.Outcome, w.replica.Writes, r.Drift())
	}
	if p := w.record().Progress; p.Drift.Left() != 6 || !p.LastCheck.IsZero() {
		t.Errorf("recorded %+v", p)
	}
}

// A repair must not lose the record of what a pass may have written when it died.
func TestARepairWaitsForWorkThatAPassLeft(t *testing.T) {
	w := newWorld(t)
	drifted(w)
	w.primary.Set("/roles/base", "changed")
	for n := 1; w.record().Progress.Work == nil; n++ {
		w.die(n, true, replication.PassOptions{})
	}
	writes, work := w.replica.Writes, w.record().Progress.Work
	r := w.verify(repairing())
	if r.Outcome != replication.OutcomePartial || w.replica.Writes != writes {
		t.Errorf("outcome %s, %d writes", r.Outcome, w.replica.Writes-writes)
	}
	if now := w.record().Progress.Work; now == nil || len(now.Intent) != len(work.Intent) || now.Crashes != work.Crashes {
		t.Errorf("work %+v, was %+v", now, work)
	}
	w.pass()
	w.verify(repairing())
	w.replica.Unset("/roles/own")
	w.wantEqual()
}

// A repair that dies at any call leaves nothing that the next pass and the next
// verification don't repair.
func TestACrashDuringARepairConverges(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, prune := range []replication.Prune{replication.PruneReplicated, replication.PruneAll} {
			t.Run(fmt.Sprintf("%s/after=%v", prune, after), func(t *testing.T) {
				points := 0
				for n := 1; ; n++ {
					w := newWorld(t)
					w.tuning.Window, w.pair.Prune = 2, prune
					drifted(w)
					w.primary.Set("/roles/base", "changed, not applied yet")
					e := w.engine()
					c := &replicationtest.Crasher{At: n, After: after}
					_, _ = e.Verify(c.Wrap(context.Background(), e), repairing())
					if c.Calls() < n {
						break
					}
					points++
					w.advance(2 * time.Minute) // the lease of the dead process ends
					w.primary.Set("/roles/web", "changed meanwhile")
					w.pass()
					if r := w.verify(repairing()); !r.Equal() {
						t.Fatalf("died at call %d, %s: left %v", n, c.Where, r.Differences)
					}
					w.replica.Unset("/roles/own") // gone already where prune = "all"
					w.wantEqual()
					w.wantStatus(replication.Synced)
				}
				if points < 60 {
					t.Errorf("only %d points were tried", points)
				}
				t.Logf("%d points", points)
			})
		}
	}
}

// A deletion that was never confirmed says nothing about who put the object there:
// the prune rule may be another one when the next pass looks.
func TestADeletionThatDiesMakesNothingOurs(t *testing.T) {
	for name, work := range map[string]func(context.Context, *replication.Engine){"a repair": repairOnce, "a compare": compareOnce} {
		for _, full := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, then full=%v", name, full), func(t *testing.T) {
				w := newWorld(t)
				w.fill()
				w.pass()
				w.replica.Set("/roles/own", "own")
				w.primary.Unset("/roles/base") // ours, and in the same window of a compare
				w.pair.Prune = replication.PruneAll
				w.dieAt("delete", "/roles/own", work)
				if g := w.record().Progress; g.Work == nil || len(g.Work.Intent) == 0 {
					t.Fatalf("work %+v; want word of the deletion", g.Work)
				}
				w.pair.Prune = replication.PruneReplicated
				w.die(8, true, replication.PassOptions{Full: full}) // once more, when the compare has begun
				for range 2 {
					if _, err := w.engine().Pass(context.Background(), replication.PassOptions{Full: full}); err != nil {
						t.Fatal(err)
					}
					w.advance(time.Hour)
				}
				if w.replica.Snapshot()["/roles/own"] == "" {
					t.Error("a role was deleted that replication never put there")
				}
				if replicated(t, w.state)[mustRef("/roles/own")] != "" {
					t.Error("the ledger holds the replica's own role")
				}
				w.replica.Unset("/roles/own")
				w.wantEqual()
			})
		}
	}
}

func TestAnObjectThatCannotBeRepairedHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	drifted(w)
	w.replica.Refuse = refuseOne("put", "/roles/web", fault.Rejected)
	r := w.verify(repairing())
	w.wantDifferences(r.Differences, map[string]string{"/roles/web": "M changed"})
	if len(r.Repaired) != 5 || len(w.unsynced()) != 1 {
		t.Errorf("repaired %v, unsynced %v", r.Repaired, w.unsynced())
	}
	w.wantStatus(replication.Retrying)
	w.replica.Refuse = nil
	w.advance(time.Hour)
	w.pass()
	w.replica.Unset("/roles/own")
	w.wantEqual()
}

// What was written and can't be read back is not called repaired.
func TestARepairThatCannotBeReadBackIsNotNamedAsOne(t *testing.T) {
	w := newWorld(t)
	drifted(w)
	w.replica.Refuse = func(op string, ref object.Ref) error {
		if op == "put" && ref.Path() == "/roles/web" {
			w.replica.Refuse = refuseOne("get", "/roles/web", fault.Rejected)
		}
		return nil
	}
	w.pair.Concurrency = 1
	r := w.verify(repairing())
	if len(r.Unreadable) != 1 || r.Unreadable[0].Ref.Path() != "/roles/web" || r.Outcome != replication.OutcomeDiffers {
		t.Errorf("outcome %s, unreadable %v; want the role", r.Outcome, r.Unreadable)
	}
	for _, d := range r.Repaired {
		if d.Ref.Path() == "/roles/web" {
			t.Errorf("repaired %v, though the replica doesn't show the role", r.Repaired)
		}
	}
	if len(r.Repaired) != 5 {
		t.Errorf("repaired %v, want the other 5", r.Repaired)
	}
}

// A server that fails in the middle is the passes' trouble to count.
func TestAServerThatFailsDuringARepairChangesNothingForPasses(t *testing.T) {
	w := newWorld(t)
	drifted(w)
	before := w.record().Progress
	down := func(string, object.Ref) error { return refused(fault.Unreachable) }
	w.replica.Refuse = func(op string, ref object.Ref) error {
		if op == "put" {
			w.replica.Refuse = down
		}
		return nil
	}
	w.pair.Concurrency = 1
	r, err := w.engine().Verify(context.Background(), repairing())
	if err == nil || r.Outcome != replication.OutcomeFailed || w.lastRun().Error == nil {
		t.Fatalf("outcome %s, %v, run %+v", r.Outcome, err, w.lastRun())
	}
	p := w.record().Progress
	if p.Failures != 0 || !p.NextRun.Equal(before.NextRun) || !p.LastCheck.IsZero() {
		t.Errorf("progress %+v", p)
	}
	w.replica.Refuse = nil
	w.advance(time.Minute)
	w.pass()
	w.verify(repairing())
	w.replica.Unset("/roles/own")
	w.wantEqual()
}

// The state accepts no write from a process that lost its lease.
func TestARepairThatLosesItsLeaseStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 100, time.Second)
		if _, err := w.live().Pass(context.Background(), replication.PassOptions{}); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			w.replica.Unset(fmt.Sprintf("/roles/r%03d", i))
		}
		w.replica.Writes = 0
		done := make(chan error)
		go func() {
			_, err := w.live().Verify(context.Background(), repairing())
			done <- err
		}()
		time.Sleep(12 * time.Second)
		if _, err := w.state.Acquire(context.Background(), pairID, "thief", time.Now().Add(time.Hour), time.Minute); err != nil {
			t.Fatal(err)
		}
		before := w.record().Progress
		if err := <-done; !errors.Is(err, replication.ErrFenced) {
			t.Errorf("the repair ended with %v, want it fenced", err)
		}
		if after := w.record(); after.Progress.Drift != nil || len(after.Progress.Work.Intent) != len(before.Work.Intent) || after.Lease.Owner != "thief" {
			t.Errorf("the fenced process wrote to the state: %+v", after)
		}
		if w.replica.Writes > 20 {
			t.Errorf("%d writes after the lease was gone", w.replica.Writes)
		}
	})
}

// A stop, a drain and a deadline end a repair between two objects, with its work
// saved; the next one does the rest.
func TestARepairEndsWhenItIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		outcome replication.Outcome
		end     func(w *world, o *replication.VerifyOptions)
	}{
		"stop": {replication.OutcomeStopped, func(w *world, _ *replication.VerifyOptions) {
			yes := true
			time.AfterFunc(10*time.Second, func() {
				_ = w.state.ChangeDesired(context.Background(), pairID, replication.DesiredChange{Stop: &yes, At: time.Now()})
			})
		}},
		"drain": {replication.OutcomePartial, func(_ *world, o *replication.VerifyOptions) {
			drain := make(chan struct{})
			time.AfterFunc(10*time.Second, func() { close(drain) })
			o.Drain = drain
		}},
		"deadline": {replication.OutcomePartial, func(_ *world, o *replication.VerifyOptions) {
			o.Deadline = time.Now().Add(25 * time.Second) // 10 of it are the margin
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := slow(t, 50, time.Second)
				if _, err := w.live().Pass(context.Background(), replication.PassOptions{}); err != nil {
					t.Fatal(err)
				}
				for i := range 50 {
					w.replica.Set(fmt.Sprintf("/roles/r%03d", i), "edited")
				}
				w.replica.Writes = 0
				o := repairing()
				c.end(w, &o)
				r, err := w.live().Verify(context.Background(), o)
				if err != nil || r.Outcome != c.outcome || w.replica.Writes == 0 || w.replica.Writes > 20 {
					t.Fatalf("outcome %s after %d writes, %v; want %s", r.Outcome, w.replica.Writes, err, c.outcome)
				}
				p := w.record().Progress
				if p.Work != nil || !p.LastCheck.IsZero() || p.Drift.Left() != 50-p.Drift.Repaired || p.Drift.Repaired == 0 {
					t.Errorf("progress %+v, drift %+v", p, p.Drift)
				}
				no := false
				_ = w.state.ChangeDesired(context.Background(), pairID, replication.DesiredChange{Stop: &no, At: time.Now()})
				if r, err := w.live().Verify(context.Background(), repairing()); err != nil || !r.Equal() {
					t.Fatalf("the next one: %+v, %v", r, err)
				}
				w.wantEqual()
			})
		})
	}
}
