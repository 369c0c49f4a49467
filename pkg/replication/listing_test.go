package replication_test

import (
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// A bag that is equal itself says nothing of items that could not be listed: they
// are looked at once they can be, however often that failed, on both sides.
func TestItemsThatCouldNotBeListedAreLookedAtLater(t *testing.T) {
	for _, side := range []string{"primary", "replica"} {
		for _, drift := range []bool{false, true} {
			w := newWorld(t)
			w.fill()
			w.pass()
			if drift {
				w.replica.Set("/data/users/alice", "drifted")
			} else {
				w.primary.Set("/data/users/alice", "changed")
			}
			org := w.primary
			if side == "replica" {
				org = w.replica
			}
			org.Refuse = refuseOne("list", "/data/users/", fault.Rejected)
			w.direct(replication.DesiredChange{Resync: new(w.now())})
			w.pass()
			w.advance(time.Hour)
			if side == "primary" {
				w.pass() // the retry fails too
			}
			if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/data/users/" {
				t.Errorf("%s, drift %v: unsynced %+v, want the bag", side, drift, u)
			}
			w.wantStatus(replication.Retrying)
			org.Refuse = nil
			w.advance(12 * time.Hour)
			w.pass()
			w.wantEqual()
			w.wantStatus(replication.Synced)
		}
	}
}
