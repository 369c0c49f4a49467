package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

func (r *rig) manage(task string) {
	r.t.Helper()
	result, err := r.manager.Invoke(context.Background(), cloud.ManagerEvent{Task: task})
	if err != nil || result.Error != nil {
		r.t.Fatalf("manager: %v, %v", err, result.Error)
	}
}

func (r *rig) direct(d replication.DesiredChange) {
	r.t.Helper()
	state, err := r.backend.State(context.Background())
	if err == nil {
		d.At = time.Now()
		err = state.ChangeDesired(context.Background(), r.pair(), d)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestABrokenConfigurationIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	r.pass()
	for name, broken := range map[string]string{
		"no TOML":         "[primary",
		"an unknown key":  r.config() + "sauce = 1\n",
		"a key in a file": strings.Replace(r.config(), "secretsmanager:chef-sync/eu", "file:/etc/eu.pem", 1),
	} {
		status, reason := r.cloudFormation("Update", broken)
		if status != "FAILED" || !strings.Contains(reason, "chef-sync.toml") {
			t.Errorf("%s: %s, %q", name, status, reason)
		}
	}
	r.sync.Kill()
	r.pass() // by the configuration that was
}

func TestTheManagerSaysWhatIsWrongAndStartsVerifications(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", withFeed()), inMemory(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.organization = "verify_every = \"1h\""
	r.mustDeploy()
	r.manage(cloud.TaskManage)
	if log := r.manager.Log().String(); !strings.Contains(log, "never worked on") || !strings.Contains(log, `"pair":"eu/acme"`) {
		t.Errorf("the log of a pair that nobody works on:\n%s", log)
	}
	r.pass()
	r.manage(cloud.TaskManage)
	r.sync.Wait()
	if st := r.record(); st.Progress.LastVerified.IsZero() {
		t.Error("no verification was made")
	}
	var metric struct{ Synced, Pairs, OldestSuccessAge float64 }
	lines := r.manager.Log()
	for _, l := range slices.Backward(lines) {
		if strings.Contains(l, `"_aws"`) {
			if err := json.Unmarshal([]byte(l), &metric); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if metric.Synced != 1 || metric.Pairs != 1 || metric.OldestSuccessAge > 600 {
		t.Errorf("metrics %+v", metric)
	}
}

// TestAVerificationThatDoesNotFitTheFunctionGoesOnInTheNextTurn of the manager:
// after the first hundred objects the primary is slow.
func TestAVerificationThatDoesNotFitTheFunctionGoesOnInTheNextTurn(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", withFeed()), inMemory(t, "eu", cheftest.Options{}))
	for i := range 200 {
		r.primary.org.PutRole(fmt.Sprintf("role-%03d", i), `{}`)
	}
	r.organization = "verify_every = \"1h\""
	r.mustDeploy()
	r.pass()
	r.primary.mem.Fault(cheftest.Fault{Path: "/search/*", Status: 404}) // it reads objects one by one
	slow := r.primary.mem.Fault(cheftest.Fault{Method: "GET", Path: "/roles/role-1*", Delay: 2 * time.Second})
	r.sync.Timeout = 16 * time.Second
	r.manage(cloud.TaskManage)
	r.sync.Wait()
	p := r.record().Progress
	if p.Checking == nil || p.Checking.After < "/roles/role-099" || !p.LastCheck.IsZero() {
		t.Fatalf("after the first turn: %+v, verified %s", p.Checking, p.LastVerified)
	}
	began := p.Checking.Started
	slow.Remove()
	r.primary.mem.ResetRequests()
	r.manage(cloud.TaskManage)
	r.sync.Wait()
	if p := r.record().Progress; p.Checking != nil || !p.LastVerified.Equal(began) {
		t.Errorf("after the second turn: %+v, verified %s", p.Checking, p.LastVerified)
	}
	if n := len(r.primary.mem.Requests()); n > 110 {
		t.Errorf("the second turn made %d requests to the primary, want only those of the objects that were left", n)
	}
}

// TestTheFunctionChecksFilesInItsTurns: the objects first, then a portion of the files.
func TestTheFunctionChecksFilesInItsTurns(t *testing.T) {
	t.Parallel()
	r := newRig(t, inMemory(t, "primary", withFeed()), inMemory(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.organization = "drift = \"repair\""
	r.mustDeploy()
	r.pass()
	r.replica.org.LoseContent(cheftest.MD5([]byte("# shared by many\n")))
	for _, want := range []bool{false, true} {
		r.manage(cloud.TaskManage)
		r.sync.Wait()
		if f := r.record().Progress.Files; (f != nil && f.After == "" && f.Left() == 0) != want {
			t.Errorf("files %+v, want them checked: %v", f, want)
		}
	}
	if torn := r.replica.org.DamagedCookbooks(); len(torn) > 0 {
		t.Errorf("torn: %v", torn)
	}
	r.replica.mem.ResetRequests()
	r.manage(cloud.TaskManage)
	r.sync.Wait()
	if n := len(r.replica.mem.Requests()); n > 3 {
		t.Errorf("%d requests to the replica in a turn with nothing due", n)
	}
}

// TestTheManagerRecordsItsTurns: one record, whichever environment had the turn.
func TestTheManagerRecordsItsTurns(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	store, err := r.backend.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var seen time.Time
	for _, task := range []string{cloud.TaskManage, cloud.TaskDispatch} { // an environment's first turn assesses the pairs
		began := time.Now()
		r.manage(task)
		r.manager.Kill() // the next turn has a new environment
		all, err := store.Processes(t.Context())
		if err != nil || len(all) != 1 || all[0].Role != health.RoleManager || all[0].Pairs != 1 {
			t.Fatalf("%+v, %v; want one record of the manager", all, err)
		}
		if at := all[0].Seen; at.Before(began.Add(-time.Second)) || !at.After(seen) {
			t.Errorf("last turn %s, after %s, begun at %s", at, seen, began)
		}
		seen = all[0].Seen
	}
}
