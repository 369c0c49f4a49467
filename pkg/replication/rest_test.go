package replication_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// Where nothing but compares is done, they alone can find that an unsynced object
// is gone from both sides.
func TestACompareDropsTheRecordOfWhatIsGoneFromBothSides(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneAll
	w.pair.ReconcileEvery = time.Minute
	w.fill()
	w.replica.Set("/roles/own", "of the replica")
	w.replica.Lose = func(op string, _ object.Ref) error {
		if op == "delete" {
			return refused(fault.Transient)
		}
		return nil
	}
	w.pass()
	w.replica.Lose = nil
	w.wantEqual()
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/roles/own" {
		t.Fatalf("unsynced %+v, want the role whose deletion had no answer", u)
	}
	w.advance(time.Hour)
	if run := w.pass(); run.Mode != "compare" {
		t.Fatalf("run %+v, want a compare", run)
	}
	w.wantStatus(replication.Synced)
}

// With prune = "all" more can be deleted than replication ever put there.
func TestALimitByCountDoesNotShrinkWithTheReplica(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneAll
	w.pair.MaxDelete = replication.Limit{Count: 2}
	w.primary.Set("/roles/web", "web")
	w.replica.Set("/roles/own", "of the replica")
	w.replica.Set("/roles/another", "of the replica")
	w.wantOutcome(w.pass(), replication.OutcomeDone)
	w.wantEqual()
}

// A bag that comes back while a pass deletes it takes the items along that the
// pass saw again: they are written once more, however the deletion ended.
func TestABagThatComesBackWhileItIsDeletedIsWhole(t *testing.T) {
	lost := func(op string, _ object.Ref) error {
		if op == "delete" {
			return refused(fault.Transient)
		}
		return nil
	}
	for name, c := range map[string]struct {
		lose func(string, object.Ref) error
		dies bool
	}{"deleted": {}, "without an answer": {lose: lost}, "dies": {dies: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair.Concurrency = 1
			w.fill()
			w.pass()
			w.primary.Unset("/data/users")
			e := w.engine()
			e.Source = &late{Source: w.primary, then: func() { // after the bag was read, and before its items
				w.primary.Set("/data/users/alice", "alice")
				w.primary.Set("/data/users/bob", "bob")
			}}
			ctx, die := context.WithCancel(context.Background())
			defer die()
			w.replica.Lose = c.lose
			if c.dies {
				w.replica.Lose = func(op string, _ object.Ref) error {
					die()
					return replicationtest.ErrCrashed
				}
			}
			if _, err := e.Pass(ctx, replication.PassOptions{}); (err != nil) != c.dies {
				t.Fatalf("pass: %v", err)
			}
			if len(w.replica.Snapshot()) != 6 {
				t.Fatalf("the replica holds %v, want the bag deleted", w.replica.Snapshot())
			}
			w.replica.Lose = nil
			w.advance(2 * time.Minute)
			w.pass()
			w.wantEqual()
			w.wantStatus(replication.Synced)
		})
	}
}

// An item makes its bag on the replica. Whatever the pass saw or did of the bag
// itself, it goes with the bag of the primary.
func TestABagThatItsItemMadeIsDeletedWithTheOther(t *testing.T) {
	for name, pass := range map[string]func(w *world, e *replication.Engine, die func()) (dies bool){
		"the bag itself was refused": func(w *world, _ *replication.Engine, _ func()) bool {
			w.primary.Set("/data/new/i", "i")
			w.replica.Refuse = refuseOne("put", "/data/new", fault.Rejected)
			return false
		},
		"the pass died at the item": func(w *world, _ *replication.Engine, die func()) bool {
			w.primary.Set("/data/new/i", "i")
			w.replica.Refuse = refuseOne("put", "/data/new", fault.Rejected)
			w.replica.Lose = func(op string, ref object.Ref) error {
				if ref.Path() == "/data/new/i" {
					die()
					return replicationtest.ErrCrashed
				}
				return nil
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair.Concurrency = 1
			w.fill()
			w.pass()
			e := w.engine()
			ctx, die := context.WithCancel(context.Background())
			defer die()
			dies := pass(w, e, die)
			if _, err := e.Pass(ctx, replication.PassOptions{}); (err != nil) != dies {
				t.Fatalf("pass: %v", err)
			}
			if _, made := w.replica.Snapshot()["/data/new"]; !made {
				t.Fatalf("the replica holds %v, want the bag made by its item", w.replica.Snapshot())
			}
			w.replica.Refuse, w.replica.Lose = nil, nil
			w.primary.Unset("/data/new")
			w.advance(2 * time.Hour)
			w.pass()
			w.wantEqual()
		})
	}
}

// A verification counts what the record holds, not what it looked at: the selection
// may change back before any pass, and what is unsynced must be tried again.
func TestAVerificationUnderAnotherSelectionHidesNoUnsyncedObject(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.replica.Refuse = refuseOne("put", "/roles/web", fault.Rejected)
	w.pass()
	w.replica.Refuse = nil
	w.pair.Selection = selection(t, "", "roles/web")
	w.verify(replication.VerifyOptions{})
	if p := w.record().Progress; p.Unsynced != 1 || p.NextRetry.IsZero() {
		t.Errorf("%d unsynced objects, next try %s; want the role counted", p.Unsynced, p.NextRetry)
	}
	w.pair.Selection = replication.Selection{}
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// A kind that could not be listed is behind the cursor of its compare. When the
// compare goes on and the listing works again, its objects still have to be read.
func TestACompareThatGoesOnKeepsTheListingThatFailed(t *testing.T) {
	w := newWorld(t)
	w.tuning.Window = 1
	w.fill()
	w.primary.Refuse = refuseOne("list", "/roles", fault.Rejected)
	w.dieAt("put", "/environments/", passOnce)
	w.primary.Refuse = nil
	if run := w.pass(); run.Mode != "compare" || len(w.unsynced()) != 1 {
		t.Fatalf("run %+v, unsynced %+v; want the compare ended and the roles' listing kept", run, w.unsynced())
	}
	w.advance(time.Hour)
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// The record of a listing is all that names what could not be listed. It
// stays until that has been looked at, also where the pass that does so dies.
func TestARetryThatDiesKeepsWhatItWasAbout(t *testing.T) {
	for listing, last := range map[string]string{"/roles": "/roles/web", "/data/users/": "/data/users/bob"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after=%v", listing[1:], after), func(t *testing.T) {
				for n := 1; ; n++ {
					w := newWorld(t)
					w.tuning.Window = 1
					w.fill()
					w.primary.Refuse = refuseOne("list", listing, fault.Rejected)
					w.pass()
					w.primary.Refuse = nil
					if len(w.unsynced()) != 1 || w.replica.Snapshot()[last] != "" {
						t.Fatalf("unsynced %+v, want %s", w.unsynced(), listing)
					}
					w.advance(time.Hour)
					died, where := w.die(n, after, replication.PassOptions{})
					if !died {
						break
					}
					w.settle(2, "died at "+where)
					w.wantStatus(replication.Synced)
				}
			})
		}
	}
}

// An object that kills the process holds up no other that was running with it, also
// where no row of the feed names them: a repair's, or those behind a compare's cursor.
func TestObjectsWrittenBesideOneThatKillsAreDone(t *testing.T) {
	for name, begin := range map[string]func(context.Context, *replication.Engine){"repair": repairOnce, "compare": compareOnce} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair.Concurrency = 1
			w.fill()
			w.pass()
			for _, path := range []string{"/roles/base", "/roles/web", "/environments/prod"} {
				w.replica.Set(path, "edited")
			}
			w.dieAt("put", "/roles/base", begin)
			for range 7 {
				w.dieAt("put", "/roles/base", passOnce)
			}
			if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/roles/base" {
				t.Errorf("unsynced %+v, want the role that kills", u)
			}
			want, got := w.primary.Snapshot(), w.replica.Snapshot()
			for path, print := range want {
				if got[path] != print && path != "/roles/base" {
					t.Errorf("%s is still as it was edited on the replica", path)
				}
			}
		})
	}
}
