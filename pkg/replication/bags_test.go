package replication_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// countRequests counts the requests to both sides by side and operation.
func (w *world) countRequests() map[string]int {
	n := map[string]int{}
	var mu sync.Mutex
	counter := func(side string) func(string, object.Ref) error {
		return func(op string, _ object.Ref) error {
			mu.Lock()
			defer mu.Unlock()
			n[side+" "+op]++
			return nil
		}
	}
	w.primary.Refuse, w.replica.Refuse = counter("primary"), counter("replica")
	return n
}

func (w *world) fillBag(name string, items int) {
	w.t.Helper()
	for i := range items {
		w.primary.Set(fmt.Sprintf("/data/%s/i%05d", name, i), "x")
	}
}

// A server deletes a bag with whatever it holds, so one request does.
func TestABagIsDeletedWithOneRequest(t *testing.T) {
	for name, full := range map[string]bool{"named by the feed": false, "found by comparing": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair.MaxDelete = replication.Limit{Percent: 100}
			w.fill()
			w.fillBag("big", 300)
			w.pass()
			w.primary.Unset("/data/big")
			n := w.countRequests()
			run, err := w.engine().Pass(context.Background(), replication.PassOptions{Full: full})
			if err != nil || run.Counts.Deleted != 301 {
				t.Fatalf("%d deleted, %v; want the bag and its items", run.Counts.Deleted, err)
			}
			if n["replica delete"] != 1 {
				t.Errorf("%d deletions sent, want 1", n["replica delete"])
			}
			if !full && n["primary get"] != 1 {
				t.Errorf("%d objects asked for, want the bag alone", n["primary get"])
			}
			w.wantEqual()
		})
	}
}

// A bag with an item that must stay is left, and its other items are deleted.
func TestItemsOfABagThatStaysAreDeletedSingly(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.fillBag("big", 3)
	w.pass()
	w.replica.Set("/data/big/own", "own")
	w.primary.Unset("/data/big")
	n := w.countRequests()
	w.pass()
	if n["replica delete"] != 3 {
		t.Errorf("%d deletions sent, want 3", n["replica delete"])
	}
	got := w.replica.Snapshot()
	if len(got) != len(w.primary.Snapshot())+2 || got["/data/big/own"] == "" {
		t.Errorf("the replica holds %v, want the bag with its own item", got)
	}
	if u := w.unsynced(); len(u) != 1 || u[0].Ref.Path() != "/data/big" {
		t.Errorf("unsynced: %+v, want the bag", u)
	}
}

// By the prune rule "all" a bag goes with what others put into it, which the brake counts.
func TestForeignItemsOfADeletedBagAreCounted(t *testing.T) {
	for name, way := range map[string]func(*world){
		"named by the feed":  func(*world) {},
		"found by comparing": func(w *world) { w.pair.ReconcileEvery = time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair.Prune = replication.PruneAll
			w.fill()
			w.primary.Set("/data/shared/ours", "x")
			w.pass()
			for i := range 60 {
				w.replica.Set(fmt.Sprintf("/data/shared/i%05d", i), "x")
			}
			w.primary.Unset("/data/shared")
			way(w)
			w.wantOutcome(w.run(), replication.OutcomeHeld)
			if h := w.hold(); h.Deletes != 62 {
				t.Errorf("hold %+v, want the bag and 61 items", h)
			}
			w.allow(62)
			if run := w.run(); run.Counts.Deleted != 62 {
				t.Errorf("%+v, want the bag and 61 items deleted", run.Counts)
			}
			w.wantEqual()
		})
	}
}

func TestABagWhoseItemsCanNotBeListedIsKept(t *testing.T) {
	w := newWorld(t)
	w.pair.Prune = replication.PruneAll
	w.fill()
	w.primary.Set("/data/shared/ours", "x")
	w.pass()
	w.primary.Unset("/data/shared")
	w.primary.Unset("/roles/web")
	w.replica.Refuse = refuseOne("list", "/data/shared/", fault.Denied)
	w.run()
	got := w.replica.Snapshot()
	if u := w.unsynced(); got["/data/shared"] == "" || got["/roles/web"] != "" || len(u) != 1 || u[0].Ref.Path() != "/data/shared" {
		t.Errorf("replica %v, unsynced %+v; want the bag there and unsynced, and the role deleted", got, u)
	}
	w.replica.Refuse = nil
	w.advance(24 * time.Hour)
	w.run()
	w.wantEqual()
}
