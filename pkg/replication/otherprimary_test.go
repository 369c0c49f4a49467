package replication_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// Another organization behind the primary's URL is no mass deletion: nothing is
// replicated until that is accepted, or the right one is back.
func TestAnotherOrganizationIsHeldByItsOwnName(t *testing.T) {
	for name, feed := range map[string]bool{"with a feed": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.primary.ID, w.primary.NoFeed = "https://chef/organizations/o#one", !feed
			w.fill()
			w.fillBag("b", 60)
			w.run()
			right := w.primary
			w.primary = newWorld(t).primary
			w.primary.ID, w.primary.NoFeed = "https://chef/organizations/o#two", !feed
			w.primary.Set("/roles/other", "other")
			w.advance(2 * time.Hour)
			w.replica.Writes = 0
			w.wantOutcome(w.run(), replication.OutcomeHeld)
			h := w.hold()
			if !strings.Contains(h.Reason, "the primary has a different organization than before (one, now two)") || h.Primary == "" || w.replica.Writes != 0 {
				t.Fatalf("hold %+v, %d writes", h, w.replica.Writes)
			}
			w.wantStatus(replication.Held)
			w.allow(1000)
			w.wantOutcome(w.run(), replication.OutcomeHeld)
			if r := w.verify(replication.VerifyOptions{Repair: true}); r.Outcome == replication.OutcomeDone || w.replica.Writes != 0 {
				t.Fatalf("%d writes of another organization's, outcome %s", w.replica.Writes, r.Outcome)
			}
			if p, err := w.engine().Preview(context.Background(), true); err != nil || p.Hold == nil || p.Hold.Primary == "" {
				t.Errorf("plan %+v, %v", p, err)
			}
			wrong := w.primary
			w.primary = right
			w.primary.Set("/roles/web", "changed")
			w.wantOutcome(w.run(), replication.OutcomeDone)
			w.wantEqual()
			w.wantStatus(replication.Synced)

			w.primary = wrong
			w.advance(2 * time.Hour)
			w.run()
			w.wantStatus(replication.Held)
			w.direct(replication.DesiredChange{AcceptPrimary: true})
			w.advance(time.Second)
			run := w.run()
			if run.Mode != "compare" || w.replica.Snapshot()["/roles/other"] == "" {
				t.Errorf("%+v after it was accepted, want it compared", run)
			}
			if h := w.hold(); h.Primary != "" || h.Deletes == 0 {
				t.Errorf("hold %+v, want the deletions held", h)
			}
			w.advance(3 * time.Hour)
			w.run()
			w.allow(w.hold().Deletes)
			w.run()
			w.wantEqual()
			w.wantStatus(replication.Synced)
		})
	}
}

// What was approved was approved for the organization before.
func TestAnApprovalIsNotForAnotherOrganization(t *testing.T) {
	w := newWorld(t)
	w.primary.ID = "https://chef/organizations/o#one"
	w.fill()
	w.fillBag("b", 60)
	w.run()
	w.allow(1000)
	w.primary = newWorld(t).primary
	w.primary.ID = "https://chef/organizations/o#two"
	w.primary.Set("/roles/other", "other")
	w.replica.Writes = 0
	w.wantOutcome(w.run(), replication.OutcomeHeld)
	if h := w.hold(); h.Primary == "" || w.replica.Writes != 0 {
		t.Errorf("hold %+v, %d writes", h, w.replica.Writes)
	}
	w.direct(replication.DesiredChange{AcceptPrimary: true})
	w.advance(time.Second)
	w.run()
	if h := w.hold(); h.Primary != "" || h.Deletes != len(w.replica.Snapshot())-1 {
		t.Errorf("hold %+v after it was accepted", h)
	}
}

// A server that shows no GUID may be another one; that is left to the operator.
func TestWithoutAGUIDDeletionsAreHeldAsUsual(t *testing.T) {
	w := mass(t)
	w.primary.ID = "https://new.example.com"
	for _, p := range w.paths("/roles/") {
		w.primary.Unset(p)
	}
	w.advance(2 * time.Hour)
	w.run()
	if h := w.hold(); h.Primary != "" || h.Deletes != 200 {
		t.Errorf("hold %+v", h)
	}
}

// An organization that was deleted and created again under its name may be on its way to be
// filled, so that few objects are missing. Nothing is deleted for it, within no limit.
func TestAnOrganizationThatIsCreatedAgainDeletesNothing(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"by the feed": func(*world) {},
		"by scans":    func(w *world) { w.scanner = replicationtest.NewScanner(w.primary); w.scanner.Scan() },
		"by a full comparison": func(w *world) {
			w.primary.NoFeed, w.pair.CompareEvery = true, time.Minute
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.primary.ID = "https://chef/organizations/o#one"
			w.fill()
			w.fillBag("b", 60)
			prepare(w)
			w.run()
			before := w.replica.Snapshot()
			w.primary.ID = "https://chef/organizations/o#two"
			for i := range 5 {
				w.primary.Unset(fmt.Sprintf("/data/b/i%05d", i))
			}
			if w.scanner != nil {
				w.scanner.Scan()
			}
			w.advance(time.Minute) // less than the time between two checks of the identity
			w.wantOutcome(w.run(), replication.OutcomeHeld)
			w.wantReplica(before)
			if h := w.hold(); h.Primary == "" || h.Deletes != 5 {
				t.Errorf("hold %+v", h)
			}
			w.direct(replication.DesiredChange{AcceptPrimary: true})
			w.advance(time.Second)
			w.run()
			w.wantEqual()
			w.wantStatus(replication.Synced)
		})
	}
}

// Whatever fails before the compare of an accepted primary has begun, the word stays good.
func TestAnAcceptedPrimaryIsComparedThoughThePassFails(t *testing.T) {
	for name, feed := range map[string]bool{"with a feed": true, "without one": false} {
		for _, fails := range []string{"identity", "feed"} {
			t.Run(name+", "+fails, func(t *testing.T) {
				w := newWorld(t)
				w.primary.ID, w.primary.NoFeed = "https://chef/organizations/o#one", !feed
				w.fill()
				w.run()
				w.primary = replicationtest.NewOrg("https://chef/organizations/o#two")
				w.primary.NoFeed = !feed
				w.primary.Set("/roles/other", "other")
				w.advance(20 * time.Minute)
				w.wantOutcome(w.run(), replication.OutcomeHeld)
				w.advance(2 * time.Hour)
				w.direct(replication.DesiredChange{AcceptPrimary: true})
				refuse := func(op string, _ object.Ref) error {
					if op == fails {
						return refused(fault.Unreachable)
					}
					return nil
				}
				w.primary.Refuse, w.replica.Refuse = refuse, refuse
				if run, err := w.engine().Pass(context.Background(), replication.PassOptions{}); err == nil {
					t.Fatalf("%+v, want it to fail", run)
				}
				w.primary.Refuse, w.replica.Refuse = nil, nil
				w.advance(2 * time.Minute)
				w.run()
				if h := w.hold(); h.Primary != "" || w.replica.Snapshot()["/roles/other"] == "" {
					t.Errorf("hold %+v after it was accepted", h)
				}
			})
		}
	}
}

// A primary may show its GUID at times only, as permissions change. It is the same one: what
// others edited on the replica stays by the drift rule, and the GUID stays known.
func TestAPrimaryThatHidesItsGUIDIsTheSame(t *testing.T) {
	const url = "https://chef/organizations/o"
	for name, ids := range map[string][]string{"hidden later": {url + "#1", url}, "shown later": {url, url + "#1"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.primary.ID = ids[0]
			w.fill()
			w.run()
			w.replica.Set("/roles/web", "edited there")
			w.primary.ID = ids[1]
			for _, full := range []bool{false, true} {
				if full { // a compare takes the identity again
					w.pair.ReconcileEvery = time.Minute
				}
				w.advance(2 * time.Hour)
				w.primary.Set("/roles/base", fmt.Sprint("changed ", full))
				if run := w.run(); run.Counts.Updated != 1 || full != (run.Mode == replication.ModeCompare) {
					t.Errorf("%+v, want the changed role alone written", run)
				}
			}
			w.primary.ID = url + "#2"
			w.primary.Unset("/roles/base")
			w.advance(2 * time.Hour)
			w.wantOutcome(w.run(), replication.OutcomeHeld)
			if h := w.hold(); h.Primary == "" {
				t.Errorf("hold %+v, want it for another organization", h)
			}
		})
	}
}

// Who accepts an organization may have a clock that is behind, and accepts that one only.
func TestAPrimaryIsAcceptedByAClockThatIsBehind(t *testing.T) {
	w := newWorld(t)
	w.primary.ID = "https://chef/organizations/o#one"
	w.fill()
	w.run()
	for _, id := range []string{"two", "three"} {
		w.primary.ID = "https://chef/organizations/o#" + id
		w.primary.Unset(w.paths("/roles/")[0])
		w.wantOutcome(w.run(), replication.OutcomeHeld)
		w.wantOutcome(w.run(), replication.OutcomeHeld)
		at := w.now().Add(-5 * time.Minute)
		if err := w.state.ChangeDesired(context.Background(), pairID, replication.DesiredChange{AcceptPrimary: true, At: at}); err != nil {
			t.Fatal(err)
		}
		w.run()
		w.wantEqual()
		w.wantStatus(replication.Synced)
	}
}
