package assembly_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/assembly"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/health"
)

// checkServer records whether the replica answers, and returns the record.
func (w *fixture) checkServer(f *assembly.Fleet) health.Server {
	w.t.Helper()
	servers := f.ServersOf(f.Pairs())
	if len(servers) != 2 || servers[0].Name != "primary" || servers[1].Name != "eu" {
		w.t.Fatalf("servers %+v", servers)
	}
	seen, err := f.CheckServers(context.Background(), servers[1:])
	if err != nil {
		w.t.Fatal(err)
	}
	store, err := f.Health(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	records, err := store.Servers(context.Background())
	if err != nil || len(records) != 1 || records[0].Name != seen[0].Name || records[0].Down() != seen[0].Down() {
		w.t.Fatalf("records %+v, %v", records, err)
	}
	w.clock.advance(time.Minute)
	return records[0]
}

func TestARecentlyUsedServerIsNotChecked(t *testing.T) {
	w := newFixture(t, cheftest.Options{UpdatedSince: true})
	f := w.newFleet()
	now := w.clock.currentTime()
	w.runPass(f)
	before := len(w.replica.Requests())
	r := w.checkServer(f)
	if n := len(w.replica.Requests()) - before; before == 0 || n != 0 {
		t.Errorf("%d requests of the pass, then %d of the check; want some and none", before, n)
	}
	if r.Name != "eu" || r.Down() || r.Error != "" || r.Latency <= 0 || r.UpAt.Before(now) {
		t.Errorf("record %+v", r)
	}
}

func TestAnIdleServerIsCheckedOnce(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	r := w.checkServer(w.newFleet())
	requests := w.replica.Requests()
	if len(requests) != 1 || !strings.HasSuffix(requests[0].Path, "/environments/_default") || requests[0].Actor != "sync" {
		t.Errorf("requests %+v, want one that is signed", requests)
	}
	if r.Down() || r.UpAt.IsZero() {
		t.Errorf("record %+v", r)
	}
}

func TestCheckServersRecordsTheStartOfADowntime(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	f := w.newFleet()
	up := w.checkServer(f)
	f = w.newFleet() // the next process
	w.replica.SetMaintenance(true)
	first := w.checkServer(f)
	second := w.checkServer(f)
	if !first.Down() || !first.UpAt.Equal(up.UpAt) || !strings.Contains(first.Error, "unavailable (503)") || first.Hint == "" {
		t.Errorf("record %+v, want it down, and up at %s before", first, up.UpAt)
	}
	if !second.DownSince.Equal(first.DownSince) || !second.CheckedAt.After(first.CheckedAt) {
		t.Errorf("then %+v, want it down since %s", second, first.DownSince)
	}
	w.replica.SetMaintenance(false)
	f.ProbeNow()
	if r := w.checkServer(f); r.Down() || r.Error != "" || r.Hint != "" || !r.UpAt.After(up.UpAt) {
		t.Errorf("afterwards %+v", r)
	}
}

// A server that refuses every request counts as down; one that refuses an object, or
// doesn't have the organization, is up: its pairs report that.
func TestAServerThatRefusesTheKeyIsDown(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	f := w.newFleet()
	w.replica.AddUser("sync") // with another key
	if r := w.checkServer(f); !r.Down() || !strings.Contains(r.Error, "wrong key") || r.Hint == "" {
		t.Errorf("with a wrong key: %+v", r)
	}
	key := w.replica.AddUser("sync")
	w.env["EU"] = string(cheftest.PrivatePEM(key))
	if r := w.checkServer(f); r.Down() {
		t.Errorf("with a key that was replaced: %+v", r)
	}
	w.replica.DeleteOrg("acme")
	if r := w.checkServer(w.newFleet()); r.Down() {
		t.Errorf("without the organization: %+v", r)
	}
	delete(w.env, "EU")
	if r := w.checkServer(w.newFleet()); !r.Down() || r.Error == "" || r.Hint == "" {
		t.Errorf("without a key: %+v", r)
	}
}

// All pairs of a server share its breaker, also after its key was read again.
func TestTheBreakerOfAServerOutlivesItsClient(t *testing.T) {
	w := newFixture(t, cheftest.Options{})
	f := w.newFleet()
	server := f.Pairs()[0].Replica
	before, err := f.Client(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	f.DropClients()
	after, err := f.Client(t.Context(), server)
	if err != nil || after == before || after.Breaker() != before.Breaker() {
		t.Errorf("clients %p and %p with breakers %p and %p, %v", before, after, before.Breaker(), after.Breaker(), err)
	}
	if primary, err := f.Client(t.Context(), f.Primary); err != nil || primary.Breaker() == after.Breaker() {
		t.Errorf("the primary shares the replica's breaker, %v", err)
	}
}
