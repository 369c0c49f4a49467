package replication_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// breakOff runs a pass that dies when it reads an object of the primary.
func (w *world) breakOff(at string, o replication.PassOptions) {
	w.t.Helper()
	e := w.engine()
	ctx, die := context.WithCancel(context.Background())
	w.primary.Refuse = func(op string, r object.Ref) error {
		if op == "get" && r.Path() == at {
			die()
			return context.Canceled
		}
		return nil
	}
	if _, err := e.Pass(ctx, o); err == nil {
		w.t.Fatalf("the pass did not die at %s", at)
	}
	w.primary.Refuse = nil
	w.advance(2 * time.Minute)
	if p := w.record().Progress; p.Work == nil || p.Work.After == "" {
		w.t.Fatalf("no work is left: %+v", p)
	}
}

// An object that may have been written waits for its time like any other unsynced
// object, whatever else a pass has to do.
func TestAnUnsyncedObjectWithUnknownResultWaitsForItsTime(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	w.primary.Set("/roles/web", "changed")
	w.replica.Refuse = refuseOne("put", "/roles/web", fault.Transient)
	w.pass()
	w.setClock(w.unsynced()[0].NextTry.Add(-time.Second))
	var tried atomic.Int64
	for _, org := range []*replicationtest.Org{w.primary, w.replica} {
		org.Refuse = func(_ string, r object.Ref) error {
			if r.Path() == "/roles/web" {
				tried.Add(1)
			}
			return nil
		}
	}
	w.primary.Set("/roles/base", "changed")
	w.primary.Set("/roles/new", "new")
	run := w.pass()
	if run.Counts.Updated != 1 || tried.Load() != 0 {
		t.Errorf("%d requests about the object before its time; counts %+v", tried.Load(), run.Counts)
	}
}

// An interrupted first compare begins again if the primary is another server
// by then: what was read before is from the other server.
func TestABrokenOffFirstCompareBeginsAgainOnAnotherPrimary(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window, w.pair.Concurrency = 1, 1
	w.fill()
	w.breakOff("/cookbooks/apt/1.1.0", replication.PassOptions{})
	w.primary.ID = "another"
	w.primary.Set("/roles/web", "as the other has it")
	run := w.pass()
	w.wantEqual()
	if pos := w.record().Progress.Position; pos == nil || pos.Identity != "another" || run.Counts.Observed < 9 {
		t.Errorf("position %+v after %d objects were read, want all of them", pos, run.Counts.Observed)
	}
}

// A compare repairs only the drift that was known when it began: what was found
// since may be before its cursor.
func TestDriftFoundDuringACompareOutlivesIt(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window, w.pair.Concurrency = 1, 1
	w.fill()
	w.pass()
	w.breakOff("/environments/prod", replication.PassOptions{Full: true})
	w.replica.Set("/roles/web", "edited")
	if r := w.verify(replication.VerifyOptions{}); len(r.Drift()) != 1 {
		t.Fatalf("drift %v", r.Drift())
	}
	w.advance(time.Minute)
	if run := w.pass(); run.Mode != "compare" || w.record().Progress.Work != nil {
		t.Fatalf("%+v, want the compare to end", run)
	}
	if d := w.record().Progress.Drift; d == nil || d.Left() != 1 || w.replica.Snapshot()["/roles/web"] == w.primary.Snapshot()["/roles/web"] {
		t.Errorf("drift %+v, want the edited role", d)
	}
	// One that begins now puts it right.
	if _, err := w.engine().Pass(context.Background(), replication.PassOptions{Full: true}); err != nil {
		t.Fatal(err)
	}
	w.wantEqual()
	if d := w.record().Progress.Drift; d != nil {
		t.Errorf("drift %+v after it was repaired", d)
	}
}

// A verification keeps the cursor of an interrupted compare.
func TestAVerificationKeepsTheCursorOfACompare(t *testing.T) {
	for name, repair := range map[string]bool{"report": false, "repair": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tuning.Window, w.pair.Concurrency = 1, 1
			w.fill()
			w.pass()
			w.breakOff("/environments/prod", replication.PassOptions{Full: true})
			before := *w.record().Progress.Work
			w.replica.Set("/roles/web", "edited")
			w.verify(replication.VerifyOptions{Repair: repair})
			st := w.record()
			if after := st.Progress.Work; after == nil || after.After != before.After || !after.Started.Equal(before.Started) || st.Status() != replication.Syncing {
				t.Errorf("work %+v, status %s; want %+v", after, st.Status(), before)
			}
		})
	}
}

// After crashes one object is written at a time until one window is complete,
// not until the end of the compare.
func TestACompareIsAtFullPaceAgainAfterCrashes(t *testing.T) {
	w := newWorld(t)
	w.pair.Concurrency = 1
	for i := range 60 {
		w.primary.Set(fmt.Sprintf("/roles/r%02d", i), "x")
	}
	w.tuning.Window = 20
	for range 2 {
		e := w.engine()
		ctx, die := context.WithCancel(context.Background())
		w.replica.Refuse = func(op string, _ object.Ref) error {
			if op == "put" {
				die()
				return context.Canceled
			}
			return nil
		}
		c := &replicationtest.Crasher{}
		e.State = dying{e.State, ctx}
		_, _ = e.Pass(c.Wrap(ctx, e), replication.PassOptions{})
		w.advance(2 * time.Minute)
	}
	w.replica.Refuse = nil
	e, commits := w.engine(), 0
	e.State = counting{e.State, &commits}
	if _, err := e.Pass(context.Background(), replication.PassOptions{}); err != nil {
		t.Fatal(err)
	}
	w.wantEqual()
	if commits == 0 || commits > 20 {
		t.Errorf("%d commits for 60 objects in windows of 20", commits)
	}
}

// dying is the state of a process that records nothing once its context has ended.
type dying struct {
	replication.State
	life context.Context
}

// Commit implements replication.State.
func (s dying) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	if s.life.Err() != nil {
		return replicationtest.ErrCrashed
	}
	return s.State.Commit(ctx, id, fence, now, u)
}

// counting counts commits.
type counting struct {
	replication.State
	commits *int
}

// Commit implements replication.State.
func (s counting) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	*s.commits++
	return s.State.Commit(ctx, id, fence, now, u)
}

// Wherever a pass dies, a held deletion is neither lost nor made before it is
// approved, nor forgotten once it is.
func TestACrashLosesNoHeldDeletion(t *testing.T) {
	for _, full := range []bool{false, true} {
		for _, approved := range []bool{false, true} {
			t.Run(fmt.Sprintf("full=%v, approved=%v", full, approved), func(t *testing.T) {
				for n := 1; ; n++ {
					w := newWorld(t)
					w.tuning.Window, w.pair.Concurrency, w.pair.MaxDelete = 2, 1, replication.Limit{Count: 2}
					w.fill()
					w.pass()
					w.primary.Unset("/roles/base")
					w.primary.Unset("/data/users")
					w.primary.Unset("/cookbooks/apt/1.0.0")
					w.primary.Set("/roles/new", "new")
					if approved {
						w.run()
						w.allow(5)
					}
					died, where := w.die(n, true, replication.PassOptions{Full: full})
					if !approved && len(w.replica.Snapshot()) < 9 {
						t.Fatalf("died at call %d, %s: deleted without approval", n, where)
					}
					w.run()
					if !approved {
						if h := w.hold(); h.Deletes != 5 || w.replica.Snapshot()["/roles/new"] == "" {
							t.Fatalf("died at call %d, %s: hold %+v", n, where, h)
						}
						w.allow(5)
						w.run()
					}
					w.wantEqual()
					w.wantStatus(replication.Synced)
					if !died {
						break
					}
				}
			})
		}
	}
}

// An object that was gone when a resync began, and is back behind its cursor as it was
// before, was looked at by nobody: the replica may hold something else.
func TestAResyncLooksAtWhatComesBackBehindItsCursor(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window, w.pair.Concurrency = 1, 1
	w.fill()
	w.pass()
	w.replica.Set("/roles/base", "edited")
	w.primary.Unset("/roles/base")
	w.breakOff("/environments/prod", replication.PassOptions{Full: true})
	w.primary.Set("/roles/base", "base")
	w.pass()
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// A hold ends with the compare that finds its objects on the primary again, also with
// one that goes on behind them.
func TestACompareReleasesWhatComesBackBehindItsCursor(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window, w.pair.Concurrency, w.pair.MaxDelete = 1, 1, replication.Limit{Count: 1}
	w.fill()
	w.pass()
	w.primary.Unset("/data/users/alice")
	w.primary.Unset("/data/users/bob")
	w.run()
	w.wantStatus(replication.Held)
	w.breakOff("/environments/prod", replication.PassOptions{Full: true})
	w.primary.Set("/data/users/alice", "again")
	w.primary.Set("/data/users/bob", "again")
	w.wantOutcome(w.run(), replication.OutcomeDone)
	w.wantEqual()
}
