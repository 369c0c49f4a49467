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

// serverRecords are the records of the primary and the replica.
func (r *testStack) serverRecords() (primary, replica health.Server) {
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

// probeServers lets the manager have the servers probed.
func (r *testStack) probeServers() {
	r.runManager(cloud.TaskManage)
	r.sync.Wait()
}

// recordDown records that a server is down since a time.
func (r *testStack) recordDown(name string, since time.Time) {
	r.t.Helper()
	store, err := r.backend.Health(context.Background())
	if err == nil {
		err = store.SaveServer(context.Background(), health.Server{Name: name, CheckedAt: time.Now(), DownSince: since, Error: "unavailable (503)"})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// goodPassAge is what the manager wrote last of the oldest good pass.
func (r *testStack) goodPassAge() float64 {
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

// TestTheManagerStartsProbes: with nothing to do, no pass touches the replica.
func TestTheManagerStartsProbes(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
	r.mustDeploy()
	r.probeServers()
	if p, e := r.serverRecords(); p.UpAt.IsZero() || p.Down() || e.UpAt.IsZero() || e.Down() {
		t.Fatalf("primary %+v, replica %+v; want both up", p, e)
	}
	r.runPass()
	r.replica.mem.SetMaintenance(true)
	r.sync.Kill() // an environment that hasn't heard from the server
	r.runPass()
	r.probeServers()
	p, e := r.serverRecords()
	if p.Down() || !e.Down() || !strings.Contains(e.Error, "503") || e.UpAt.IsZero() {
		t.Fatalf("primary %+v, replica %+v; want the replica down", p, e)
	}
	r.recordDown("eu", e.UpAt.Add(-3*time.Hour))
	r.runManager(cloud.TaskManage)
	if age := r.goodPassAge(); age < 3*3600 || age > 4*3600 {
		t.Errorf("the age for the alarm is %v s, want the time since the replica is down", age)
	}
	r.sync.Wait()
	stop := true
	r.changeDesired(replication.DesiredChange{Stop: &stop})
	r.runManager(cloud.TaskManage)
	if age := r.goodPassAge(); age > 600 {
		t.Errorf("the age is %v s though the only pair of the replica is stopped", age)
	}
	stop = false
	r.changeDesired(replication.DesiredChange{Stop: &stop})
	log := r.manager.Log().String()
	if !strings.Contains(log, "a server is unreachable") || !strings.Contains(log, `"server":"eu"`) {
		t.Errorf("the manager's log:\n%s", log)
	}
	r.replica.mem.SetMaintenance(false)
	r.sync.Kill()
	r.probeServers()
	if _, e := r.serverRecords(); e.Down() {
		t.Errorf("replica %+v, want it up again", e)
	}
}

// TestAManualPassProbesServersAtOnce: the environment of the function is warm and
// has found the replica to be down.
func TestAManualPassProbesServersAtOnce(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
	r.mustDeploy()
	r.primary.org.PutRole("web", `{}`)
	r.replica.mem.SetMaintenance(true)
	if result, _ := r.invokeSync(r.scheduleEvent()); result.Error == "" {
		t.Fatal("a pass to a server in maintenance worked")
	}
	r.replica.mem.SetMaintenance(false)
	event := r.scheduleEvent()
	event.Trigger = cloud.TriggerManual
	if result, _ := r.invokeSync(event); result.Error != "" {
		t.Errorf("a manual pass: %s", result.Error)
	}
	r.wantEqual()
}
