package replication_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// mass is a world with 200 roles and some other objects, all replicated.
func mass(t *testing.T) *world {
	w := newWorld(t)
	w.fill()
	for i := range 198 {
		w.primary.Set(fmt.Sprintf("/roles/r%03d", i), "x")
	}
	w.fillBag("many", 300)
	w.pass()
	w.wantEqual()
	return w
}

func (w *world) roles() (n int) {
	for p := range w.replica.Snapshot() {
		if strings.HasPrefix(p, "/roles/") {
			n++
		}
	}
	return n
}

// run runs one pass, whatever its outcome.
func (w *world) run() replication.Run {
	w.t.Helper()
	run, err := w.engine().Pass(context.Background(), replication.PassOptions{Trigger: replication.TriggerSchedule})
	if err != nil {
		w.t.Fatal(err)
	}
	w.advance(time.Minute)
	return run
}

func (w *world) allow(n int) {
	w.direct(replication.DesiredChange{AllowDeletes: &n})
	w.advance(time.Second)
}

func (w *world) hold() replication.Hold {
	w.t.Helper()
	if h := w.record().Progress.Hold; h != nil {
		return *h
	}
	w.t.Fatalf("nothing is held: %+v", w.record().Progress)
	return replication.Hold{}
}

// Whichever way the deletions come, and however many a pass sees of them, at most
// the share of an hour is deleted.
func TestAMassDeletionIsHeldWhicheverWayItComes(t *testing.T) {
	for way, prepare := range map[string]func(*world){
		"by the feed":          func(*world) {},
		"by a full comparison": func(w *world) { w.primary.NoFeed, w.pair.CompareEvery = true, time.Minute },
		"by a resync":          func(w *world) { w.pair.ReconcileEvery = time.Second },
		"by many rows at once": func(w *world) { w.tuning.Backlog = 1 },
	} {
		for name, step := range map[string]int{"at once": 200, "drop by drop": 3} {
			t.Run(way+", "+name, func(t *testing.T) {
				w := mass(t)
				prepare(w)
				paths := w.paths("/roles/")
				for len(paths) > 0 {
					n := min(step, len(paths))
					for _, p := range paths[:n] {
						w.primary.Unset(p)
					}
					paths = paths[n:]
					w.advance(-50 * time.Second) // passes within an hour
					w.run()
				}
				if got := w.roles(); got < 100 || step == 200 && got != 200 {
					t.Errorf("%d of 200 roles are left", got)
				}
				w.wantStatus(replication.Held)
				if h := w.hold(); h.Deletes != w.roles() || !strings.Contains(h.Reason, "roles") || len(h.Sample) != 10 {
					t.Errorf("%d roles are left, hold %+v", w.roles(), h)
				}
				left := w.roles()
				for range 5 { // nothing trickles out as time passes
					w.advance(26 * time.Hour)
					w.run()
				}
				if got := w.roles(); got != left {
					t.Errorf("%d roles are left days later, were %d", got, left)
				}
				w.allow(w.hold().Deletes)
				w.run()
				w.wantEqual()
				w.wantStatus(replication.Synced)
			})
		}
	}
}

func (w *world) paths(prefix string) (paths []string) {
	for p := range w.primary.Snapshot() {
		if strings.HasPrefix(p, prefix) {
			paths = append(paths, p)
		}
	}
	return paths
}

func TestAllElseGoesOnWhileDeletionsAreHeld(t *testing.T) {
	w := mass(t)
	for _, p := range w.paths("/roles/r0") {
		w.primary.Unset(p)
	}
	for _, p := range w.paths("/roles/r1") {
		w.primary.Unset(p)
	}
	w.primary.Set("/roles/web", "changed")
	run := w.run()
	w.wantOutcome(run, replication.OutcomeHeld)
	if run.Counts.Updated != 1 || run.Counts.Deleted != 0 || run.Counts.Held != 198 {
		t.Errorf("counts %+v, want the update made and 198 deletions held", run.Counts)
	}
	before := w.record().Progress
	w.primary.Set("/roles/new", "new")
	w.primary.Set("/data/users/carol", "carol")
	w.primary.Unset("/data/users/bob") // joins what is held: together they are too many
	n := w.countRequests()
	run = w.run()
	w.wantOutcome(run, replication.OutcomeHeld)
	if run.Counts.Created != 2 || run.Counts.Held != 1 || n["primary get"] > 4 {
		t.Errorf("counts %+v, requests %v; want 2 creations, and what is held left alone", run.Counts, n)
	}
	p := w.record().Progress
	if p.Position.Seq <= before.Position.Seq || !p.LastSuccess.After(before.LastSuccess) || p.Unsynced != 0 || p.Hold.Deletes != 199 || !p.Hold.At.Equal(before.Hold.At) {
		t.Errorf("progress %+v, hold %+v", p, p.Hold)
	}
	clear(n)
	w.wantOutcome(w.run(), replication.OutcomeHeld)
	if n["primary get"]+n["replica list"]+n["replica get"] != 0 {
		t.Errorf("an idle poll of a held pair sent %v", n)
	}
}

// The hold ends without an operator when the primary has the objects again.
func TestAHoldEndsWhenTheObjectsAreBack(t *testing.T) {
	for name, full := range map[string]bool{"by the feed": false, "by a full comparison": true} {
		t.Run(name, func(t *testing.T) {
			w := mass(t)
			paths := w.paths("/roles/")
			for _, p := range paths {
				w.primary.Unset(p)
			}
			w.run()
			w.wantStatus(replication.Held)
			for i, p := range paths {
				if i == len(paths)/2 {
					w.run()
					if h := w.hold(); h.Deletes != len(paths)-i || w.roles() != 200 {
						t.Errorf("hold %+v with %d of %d roles back", h, i, len(paths))
					}
				}
				w.primary.Set(p, "again")
			}
			if full {
				w.primary.Restart()
				w.primary.Set("/roles/base", "again")
			}
			w.wantOutcome(w.run(), replication.OutcomeDone)
			w.wantEqual()
			w.wantStatus(replication.Synced)
			if u := w.unsynced(); len(u) != 0 || w.record().Progress.Hold != nil {
				t.Errorf("left: %v", u)
			}
		})
	}
}

// Somebody may have changed the replica while deletions were held: what comes back
// as it was is looked for there.
func TestWhatComesBackIsLookedForOnTheReplica(t *testing.T) {
	for name, full := range map[string]bool{"by the feed": false, "by a full comparison": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair.MaxDelete = replication.Limit{Count: 1}
			w.fill()
			w.pass()
			w.primary.Unset("/roles/web")
			w.primary.Unset("/roles/base")
			w.primary.Unset("/data/users")
			w.run()
			w.wantStatus(replication.Held)
			w.replica.Unset("/roles/web")
			w.replica.Set("/roles/base", "edited")
			w.replica.Unset("/data/users/bob")
			w.replica.Set("/data/users/alice", "edited")
			if full {
				w.pair.ReconcileEvery = time.Second
			}
			w.fill()
			w.run()
			w.wantEqual()
			w.wantStatus(replication.Synced)
		})
	}
}

// A bag stands for its items: one record, and no request for each item.
func TestABigBagIsHeldAsOne(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.fillBag("big", 12000)
	w.pass()
	w.primary.Unset("/data/big")
	n := w.countRequests()
	w.wantOutcome(w.run(), replication.OutcomeHeld)
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/data/big" || u[0].Class != fault.DeletionHeld || u[0].Items != 12000 {
		t.Fatalf("records %+v, want the bag with 12,000 items", u)
	}
	if h := w.hold(); h.Deletes != 12001 || h.Records != 1 || !strings.Contains(h.Reason, "12000 of 12002 data bag items") {
		t.Errorf("hold %+v", h)
	}
	clear(n)
	w.primary.Set("/roles/new", "new")
	w.run()
	if n["primary get"] > 2 {
		t.Errorf("requests %v in the next pass", n)
	}
	clear(n)
	w.allow(12001)
	w.wantOutcome(w.run(), replication.OutcomeDone)
	if n["replica delete"] != 1 || n["primary get"] > 20 {
		t.Errorf("requests %v, want one deletion", n)
	}
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// A bag that comes back without its items takes them out of the hold with it, not
// out of the approval.
func TestItemsOfAHeldBagStayHeldWhenTheBagIsBack(t *testing.T) {
	for name, compare := range map[string]bool{"by the feed": false, "by a full comparison": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair.MaxDelete = replication.Limit{Count: 3}
			w.fill()
			w.fillBag("b", 3)
			w.pass()
			w.primary.Unset("/data/b")
			w.run()
			if h := w.hold(); h.Deletes != 4 || h.Records != 1 {
				t.Fatalf("hold %+v", h)
			}
			w.primary.Set("/data/b/i00000", "x")
			w.advance(2 * time.Hour) // the two that are left are within the limit by now
			if compare {
				w.pair.ReconcileEvery = time.Hour
			}
			w.run()
			if h := w.hold(); h.Deletes != 2 || h.Records != 2 {
				t.Errorf("hold %+v, want the two items that aren't back", h)
			}
			w.primary.Set("/data/b/i00001", "x")
			w.primary.Set("/data/b/i00002", "x")
			w.run()
			w.wantEqual()
			w.wantStatus(replication.Synced)
		})
	}
}

// An approval is valid for the number that the CLI printed, once, and for an hour.
func TestAnApprovalIsForItsNumberOnceAndForAnHour(t *testing.T) {
	empty := func(w *world) {
		for _, p := range w.paths("/") {
			w.primary.Unset(p)
		}
	}
	for name, full := range map[string]bool{"by the feed": false, "by a full comparison": true} {
		t.Run(name, func(t *testing.T) {
			w := mass(t)
			w.primary.NoFeed = full
			w.pair.CompareEvery = time.Second
			w.run()
			w.allow(1000) // last week's
			w.advance(7 * 24 * time.Hour)
			empty(w)
			w.run()
			w.wantStatus(replication.Held)
			n := w.hold().Deletes
			if n != 508 || w.roles() != 200 {
				t.Fatalf("hold %+v", w.hold())
			}
			w.allow(n - 1)
			w.run()
			if h := w.hold(); w.roles() != 200 || !strings.Contains(h.Reason, "the approval was for 507") {
				t.Fatalf("approved one too few, and %d of 200 roles are left; hold %+v", w.roles(), h)
			}
			w.allow(n)
			w.run()
			w.wantEqual()
			w.wantStatus(replication.Synced)
			w.fill()
			w.run()
			empty(w)
			w.run()
			w.wantStatus(replication.Held) // the approval was for once
		})
	}
}

// An approval begins a new hour: the next ordinary deletion isn't held by it.
func TestAfterAnApprovalOrdinaryDeletionsGoOn(t *testing.T) {
	w := mass(t)
	for _, p := range w.paths("/data/many/i") {
		w.primary.Unset(p)
	}
	w.run()
	w.allow(w.hold().Deletes)
	w.run()
	w.wantEqual()
	w.primary.Unset("/roles/r001")
	w.run()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// With 0 approved, what is held is decided again: by other limits, say.
func TestApprovingNothingLooksAgain(t *testing.T) {
	w := mass(t)
	for _, p := range w.paths("/roles/") {
		w.primary.Unset(p)
	}
	w.run()
	w.allow(0)
	w.run()
	w.wantStatus(replication.Held)
	w.pair.MaxDelete = replication.Limit{Percent: 100}
	w.run()
	w.wantStatus(replication.Held)
	w.allow(0)
	w.run()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// Ordinary work in a small organization is never held.
func TestOrdinaryWorkInASmallOrganizationIsNotHeld(t *testing.T) {
	w := newWorld(t)
	w.fill()
	for b := range 4 {
		w.fillBag(fmt.Sprintf("b%d", b), 20)
	}
	for i := range 60 {
		w.primary.Set(fmt.Sprintf("/cookbooks/c%02d/1.0.0", i), "x")
	}
	w.pass()
	w.primary.Unset("/data/b0")
	w.primary.Unset("/data/b1")
	w.primary.Unset("/roles/web")
	w.wantOutcome(w.run(), replication.OutcomeDone)
	w.wantEqual()
}

// With prune = "all", what is on the replica counts, not an empty ledger.
func TestTheShareIsOfWhatIsOnTheReplica(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneAll
	w.fill()
	for i := range 400 {
		w.replica.Set(fmt.Sprintf("/cookbooks/own%d/1.0.0", i), "own")
		if i >= 60 {
			w.primary.Set(fmt.Sprintf("/cookbooks/own%d/1.0.0", i), "own")
		}
	}
	w.wantOutcome(w.run(), replication.OutcomeDone)
	w.wantEqual()

	w = newWorld(t)
	w.pair.Prune = replication.PruneAll
	w.fill()
	for i := range 60 {
		w.replica.Set(fmt.Sprintf("/cookbooks/own%d/1.0.0", i), "own")
	}
	w.run()
	if h := w.hold(); h.Deletes != 60 || h.Reason != "60 of 60 cookbooks would be deleted within an hour" {
		t.Errorf("hold %+v", h)
	}
	w.allow(60)
	w.run()
	w.wantEqual()
}

// What somebody deleted on the replica, and the primary doesn't have, isn't there to make
// the last object of the organization look like one of several.
func TestTheLastObjectOnTheReplicaIsHeld(t *testing.T) {
	w := newWorld(t)
	w.pair.MaxDelete = replication.Limit{Count: 1}
	w.primary.Set("/roles/a", "1")
	w.primary.Set("/roles/b", "1")
	w.pass()
	w.replica.Unset("/roles/a")
	w.primary.Unset("/roles/a")
	w.primary.Unset("/roles/b")
	run, err := w.engine().Pass(context.Background(), replication.PassOptions{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	w.wantOutcome(run, replication.OutcomeHeld)
	if w.replica.Snapshot()["/roles/b"] == "" {
		t.Error("the organization was emptied without approval")
	}
}

// What is held isn't decided again because a compare comes by it.
func TestACompareReleasesNothing(t *testing.T) {
	w := mass(t)
	for _, p := range w.paths("/roles/") {
		w.primary.Unset(p)
	}
	w.run()
	w.pair.MaxDelete = replication.Limit{Percent: 100}
	if _, err := w.engine().Pass(context.Background(), replication.PassOptions{Full: true}); err != nil {
		t.Fatal(err)
	}
	if h := w.hold(); w.roles() != 200 || h.Deletes != 200 {
		t.Errorf("%d of 200 roles are left, hold %+v", w.roles(), h)
	}
}

// An object that is on the primary again and that the replica refuses is an unsynced
// object like any other.
func TestAHeldObjectThatComesBackMayFail(t *testing.T) {
	w := mass(t)
	for _, p := range w.paths("/roles/") {
		w.primary.Unset(p)
	}
	w.run()
	w.primary.Set("/roles/web", "changed")
	w.replica.Refuse = refuseOne("put", "/roles/web", fault.Rejected)
	w.run()
	if p := w.record().Progress; p.Unsynced != 1 || p.Hold.Deletes != 199 {
		t.Errorf("%d unsynced, hold %+v", p.Unsynced, p.Hold)
	}
	w.replica.Refuse = nil
	w.advance(time.Hour)
	w.run()
	if p := w.record().Progress; p.Unsynced != 0 || w.replica.Snapshot()["/roles/web"] != w.primary.Snapshot()["/roles/web"] {
		t.Errorf("%d unsynced after the replica took it", p.Unsynced)
	}
}

// A bag whose deletion was held comes back while its items can't be listed: that is
// recorded, although the bag itself is equal.
func TestAHeldBagThatComesBackWithoutItsItemsIsListed(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.pass()
	for path := range w.primary.Snapshot() {
		w.primary.Unset(path)
	}
	w.pass()
	w.wantStatus(replication.Held)
	w.fill()
	w.primary.Set("/data/users/alice", "changed")
	w.primary.Refuse = refuseOne("list", "/data/users/", fault.Rejected)
	e := w.engine()
	if run, err := e.Pass(t.Context(), replication.PassOptions{Full: true}); err != nil || run.Left != 1 {
		t.Errorf("%+v, %v; want the bag left", run, err)
	}
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/data/users/" || u[0].Class != fault.Rejected {
		t.Errorf("unsynced %+v, want the bag whose items could not be listed", u)
	}
	w.primary.Refuse = nil
	w.advance(24 * time.Hour)
	w.pass()
	w.wantEqual()
	w.wantStatus(replication.Synced)
}
