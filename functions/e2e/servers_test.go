package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// servers are the records of the primary and the replica.
func (r *rig) servers() (primary, replica health.Server) {
	r.t.Helper()
	store, err := r.backend.Health(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	records, err := store.Servers(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range records {
		switch s.Name {
		case "primary":
			primary = s
		case "eu":
			replica = s
		}
	}
	return primary, replica
}

// probe lets the manager have the servers probed.
func (r *rig) probe() {
	r.manage(cloud.TaskManage)
	r.sync.Wait()
}

// fail records that a server is down since a time.
func (r *rig) fail(name string, since time.Time) {
	r.t.Helper()
	store, err := r.backend.Health(context.Background())
	if err == nil {
		err = store.SaveServer(context.Background(), health.Server{Name: name, CheckedAt: time.Now(), DownSince: since, Error: "unavailable (503)"})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// age is what the manager wrote last of the oldest good pass.
func (r *rig) age() float64 {
	r.t.Helper()
	var metric struct{ OldestGoodPassAge float64 }
	for _, l := range r.manager.Log() {
		if strings.Contains(l, `"_aws"`) {
			if err := json.Unmarshal([]byte(l), &metric); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return metric.OldestGoodPassAge
}

// TestTheManagerHasTheServersProbed: with nothing to do, no pass touches the replica.
func TestTheManagerHasTheServersProbed(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", withFeed()), inMemory(t, "eu", cheftest.Options{}))
	r.mustDeploy()
	r.probe()
	if p, e := r.servers(); p.UpAt.IsZero() || p.Down() || e.UpAt.IsZero() || e.Down() {
		t.Fatalf("primary %+v, replica %+v; want both up", p, e)
	}
	r.pass()
	r.replica.mem.SetMaintenance(true)
	r.sync.Kill() // an environment that hasn't heard from the server
	r.pass()
	r.probe()
	p, e := r.servers()
	if p.Down() || !e.Down() || !strings.Contains(e.Error, "503") || e.UpAt.IsZero() {
		t.Fatalf("primary %+v, replica %+v; want the replica down", p, e)
	}
	r.fail("eu", e.UpAt.Add(-3*time.Hour))
	r.manage(cloud.TaskManage)
	if age := r.age(); age < 3*3600 || age > 4*3600 {
		t.Errorf("the age that the alarm looks at is %v s, want that since which the replica is down", age)
	}
	r.sync.Wait()
	stop := true
	r.direct(replication.DesiredChange{Stop: &stop})
	r.manage(cloud.TaskManage)
	if age := r.age(); age > 600 {
		t.Errorf("the age is %v s though the only pair of the replica is stopped", age)
	}
	stop = false
	r.direct(replication.DesiredChange{Stop: &stop})
	log := r.manager.Log().String()
	if !strings.Contains(log, "a server is unreachable") || !strings.Contains(log, `"server":"eu"`) {
		t.Errorf("the manager's log:\n%s", log)
	}
	r.replica.mem.SetMaintenance(false)
	r.sync.Kill()
	r.probe()
	if _, e := r.servers(); e.Down() {
		t.Errorf("replica %+v, want it up again", e)
	}
}

// TestAPersonNeedNotWaitForTheNextProbe: the environment of the function is warm and
// has found the replica to be down.
func TestAPersonNeedNotWaitForTheNextProbe(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", withFeed()), inMemory(t, "eu", cheftest.Options{}))
	r.mustDeploy()
	r.primary.org.PutRole("web", `{}`)
	r.replica.mem.SetMaintenance(true)
	if result, _ := r.invoke(r.event()); result.Error == "" {
		t.Fatal("a pass to a server in maintenance worked")
	}
	r.replica.mem.SetMaintenance(false)
	event := r.event()
	event.Trigger = cloud.TriggerManual
	if result, _ := r.invoke(event); result.Error != "" {
		t.Errorf("a pass of a person: %s", result.Error)
	}
	r.wantEqual()
}
