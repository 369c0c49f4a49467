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

func (r *testStack) runManager(task string) {
	r.t.Helper()
	result, err := r.manager.Invoke(context.Background(), cloud.ManagerEvent{Task: task})
	if err != nil || result.Error != nil {
		r.t.Fatalf("manager: %v, %v", err, result.Error)
	}
}

func (r *testStack) changeDesired(d replication.DesiredChange) {
	r.t.Helper()
	state, err := r.backend.State(context.Background())
	if err == nil {
		d.At = time.Now()
		err = state.ChangeDesired(context.Background(), r.pairID(), d)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestAnInvalidConfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	r.runPass()
	for name, broken := range map[string]string{
		"no TOML":         "[primary",
		"an unknown key":  r.configText() + "sauce = 1\n",
		"a key in a file": strings.Replace(r.configText(), "secretsmanager:chef-sync/eu", "file:/etc/eu.pem", 1),
	} {
		status, reason := r.sendResourceEvent("Update", broken)
		if status != "FAILED" || !strings.Contains(reason, "chef-sync.toml") {
			t.Errorf("%s: %s, %q", name, status, reason)
		}
	}
	r.sync.Kill()
	r.runPass() // by the configuration that was
}

// TestAReasonFitsIntoTheResponseToCloudFormation, however much is wrong.
func TestAReasonFitsIntoTheResponseToCloudFormation(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	var many, long strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "sauce-%d = \"<&>\"\n", i)
	}
	fmt.Fprintf(&long, "%s = 1\n", strings.Repeat("sauce", 2000))
	for name, c := range map[string]struct{ text, last string }{"many problems": {many.String(), "and more"}, "a long one": {long.String(), "…"}} {
		status, reason := r.sendResourceEvent("Update", r.configText()+c.text)
		if status != "FAILED" || !strings.HasPrefix(reason, "chef-sync.toml:") || !strings.HasSuffix(reason, c.last) {
			t.Errorf("%s: %s, %q", name, status, reason)
		}
	}
}

// A stack from the released template has parameters instead of [aws]: what the file says
// there would have no effect.
func TestAConfigurationIsCheckedAgainstTheReleasedTemplate(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", cheftest.Options{}), newMemoryServer(t, "eu", cheftest.Options{}))
	parameters := map[string]string{cloud.TimeoutProperty: "600", cloud.AlarmAgeProperty: "3600"}
	for name, c := range map[string]struct {
		text, want string
	}{
		"memory":          {r.configText() + "[aws]\nmemory = 512\n", "deploy with the parameter Memory"},
		"another secret":  {strings.Replace(r.configText(), "chef-sync/primary", "prod/primary", 1), "name it chef-sync/primary"},
		"a long interval": {r.configText() + "interval = \"90m\"\n", "the alarm on the age of the last success (1h) would fire"},
	} {
		status, reason := r.sendResourceEventWith("Update", c.text, parameters)
		if status != "FAILED" || !strings.Contains(reason, c.want) {
			t.Errorf("%s: %s, %q; want %q", name, status, reason, c.want)
		}
	}
	for name, text := range map[string]string{"as it is": r.configText(), "with a higher AlarmAge": r.configText() + "interval = \"90m\"\n"} {
		if status, reason := r.sendResourceEventWith("Update", text, map[string]string{cloud.TimeoutProperty: "600", cloud.AlarmAgeProperty: "7200"}); status != "SUCCESS" {
			t.Errorf("%s: %s, %s", name, status, reason)
		}
	}
}

func TestTheManagerLogsFindingsAndStartsVerifications(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.organizationConfig = "verify_every = \"1h\""
	r.mustDeploy()
	r.runManager(cloud.TaskManage)
	if log := r.manager.Log().String(); !strings.Contains(log, "never had a pass") || !strings.Contains(log, `"pair":"eu/acme"`) {
		t.Errorf("the log of a pair that nobody works on:\n%s", log)
	}
	r.runPass()
	r.runManager(cloud.TaskManage)
	r.sync.Wait()
	if st := r.pairRecord(); st.Progress.LastVerified.IsZero() {
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

// TestALongVerificationContinuesInTheNextRun of the manager:
// after the first hundred objects the primary is slow.
func TestALongVerificationContinuesInTheNextRun(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
	for i := range 200 {
		r.primary.org.PutRole(fmt.Sprintf("role-%03d", i), `{}`)
	}
	r.organizationConfig = "verify_every = \"1h\""
	r.mustDeploy()
	r.runPass()
	r.primary.mem.Fault(cheftest.Fault{Path: "/search/*", Status: 404}) // it reads objects one by one
	slow := r.primary.mem.Fault(cheftest.Fault{Method: "GET", Path: "/roles/role-1*", Delay: 2 * time.Second})
	r.sync.Timeout = 16 * time.Second
	r.runManager(cloud.TaskManage)
	r.sync.Wait()
	p := r.pairRecord().Progress
	if p.Checking == nil || p.Checking.After < "/roles/role-099" || !p.LastCheck.IsZero() {
		t.Fatalf("after the first run: %+v, verified %s", p.Checking, p.LastVerified)
	}
	began := p.Checking.Started
	slow.Remove()
	r.primary.mem.ResetRequests()
	r.runManager(cloud.TaskManage)
	r.sync.Wait()
	if p := r.pairRecord().Progress; p.Checking != nil || !p.LastVerified.Equal(began) {
		t.Errorf("after the second run: %+v, verified %s", p.Checking, p.LastVerified)
	}
	if n := len(r.primary.mem.Requests()); n > 110 {
		t.Errorf("the second run sent %d requests to the primary, want only those of the objects that were left", n)
	}
}

// TestFilesAreCheckedInPortions: the objects first, then a portion of the files.
func TestFilesAreCheckedInPortions(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.organizationConfig = "drift = \"repair\""
	r.mustDeploy()
	r.runPass()
	r.replica.org.LoseContent(cheftest.MD5([]byte("# shared by many\n")))
	for _, want := range []bool{false, true} {
		r.runManager(cloud.TaskManage)
		r.sync.Wait()
		if f := r.pairRecord().Progress.Files; (f != nil && f.After == "" && f.Left() == 0) != want {
			t.Errorf("files %+v, want them checked: %v", f, want)
		}
	}
	if torn := r.replica.org.DamagedCookbooks(); len(torn) > 0 {
		t.Errorf("torn: %v", torn)
	}
	r.replica.mem.ResetRequests()
	r.runManager(cloud.TaskManage)
	r.sync.Wait()
	if n := len(r.replica.mem.Requests()); n > 3 {
		t.Errorf("%d requests to the replica in a run with nothing due", n)
	}
}

// TestTheManagerRecordsItsHeartbeat: one record for all environments.
func TestTheManagerRecordsItsHeartbeat(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	store, err := r.backend.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var seen time.Time
	for _, task := range []string{cloud.TaskManage, cloud.TaskDispatch} { // the first run of an environment assesses the pairs
		began := time.Now()
		r.runManager(task)
		r.manager.Kill() // the next run has a new environment
		all, err := store.Processes(t.Context())
		if err != nil || len(all) != 1 || all[0].Role != health.RoleManager || all[0].Pairs != 1 {
			t.Fatalf("%+v, %v; want one record of the manager", all, err)
		}
		if at := all[0].Seen; at.Before(began.Add(-time.Second)) || !at.After(seen) {
			t.Errorf("last run %s, after %s, begun at %s", at, seen, began)
		}
		seen = all[0].Seen
	}
}
