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

// Objects that are to be created make up for those that are deleted only once the
// replica has them.
func TestADeletionIsHeldIfTheCreationBesideItFails(t *testing.T) {
	for way, prepare := range map[string]func(*world){
		"by the feed":          func(*world) {},
		"by a full comparison": func(w *world) { w.primary.NoFeed, w.pair.CompareEvery = true, time.Minute },
	} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			w.fillBag("many", 300)
			for _, name := range []string{"a", "b", "c"} {
				w.primary.Set("/roles/"+name, "x")
			}
			w.pass()
			w.wantEqual()
			prepare(w)
			for _, name := range []string{"a", "b", "c"} {
				w.primary.Unset("/roles/" + name)
				w.primary.Set("/roles/new-"+name, "x")
			}
			w.replica.Refuse = func(op string, ref object.Ref) error {
				if op != "put" || ref.Kind != object.Role {
					return nil
				}
				return &fault.Error{Op: "write", Object: ref, Class: fault.Rejected, Err: errors.New("the server refuses it")}
			}
			w.advance(2 * time.Minute)
			w.run()
			if got := w.roles(); got != 3 {
				t.Errorf("%d roles are left of 3, while none could be created", got)
			}
			w.wantStatus(replication.Held)
			if h := w.hold(); h.Deletes != 3 || !strings.Contains(h.Reason, "all 3 roles") {
				t.Errorf("hold %+v", h)
			}

			w.replica.Refuse = nil
			w.allow(3)
			w.advance(26 * time.Hour) // the creations are due again
			w.run()
			w.allow(3)
			w.run()
			w.wantEqual()
			w.wantStatus(replication.Synced)
		})
	}
}

// An object that is deleted, created again and deleted again is one object, however often that
// happens within the hour, and whether its deletion is made or waits for approval.
func TestObjectsThatComeAndGoAreNotHeld(t *testing.T) {
	for way, prepare := range map[string]func(*world){
		"by the feed":          func(*world) {},
		"by a full comparison": func(w *world) { w.primary.NoFeed, w.pair.CompareEvery = true, time.Minute },
	} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			prepare(w)
			w.fillBag("jobs", 100)
			w.fillBag("scratch", 4)
			w.pair.MaxDelete = replication.Limit{Count: 10}
			w.run()
			for range 6 {
				w.primary.Unset("/data/scratch")
				for i := range 3 {
					w.primary.Unset(fmt.Sprintf("/data/jobs/i%05d", i))
				}
				w.wantOutcome(w.run(), replication.OutcomeDone)
				w.wantEqual()
				w.fillBag("scratch", 4)
				for i := range 3 {
					w.primary.Set(fmt.Sprintf("/data/jobs/i%05d", i), "again")
				}
				w.wantOutcome(w.run(), replication.OutcomeDone)
				w.wantEqual()
			}
			for i := range 10 { // 7 of these have not been deleted yet
				w.primary.Unset(fmt.Sprintf("/data/jobs/i%05d", i))
			}
			w.wantOutcome(w.run(), replication.OutcomeHeld)
			if h := w.hold(); h.Deletes != 10 || !strings.Contains(h.Reason, "15 of 106 objects") {
				t.Errorf("hold %+v", h)
			}
			w.primary.Unset("/data/scratch")
			w.run()
			if h := w.hold(); h.Deletes != 15 || !strings.Contains(h.Reason, "15 of 106 objects") {
				t.Errorf("hold %+v", h)
			}
		})
	}
}
