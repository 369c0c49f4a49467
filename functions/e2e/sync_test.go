package e2e

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/cloudtest"
	"chefsync/pkg/replication"
)

func withFeed() cheftest.Options { return cheftest.Options{UpdatedSince: true} }

// newDeployedStack is a test stack between in-memory servers whose primary is filled.
func newDeployedStack(t testing.TB) *testStack {
	t.Helper()
	r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	return r
}

// TestAnEmptyPollIsCheap: what a poll that finds nothing costs in a warm
// environment, in calls to AWS and requests to the primary.
func TestAnEmptyPollIsCheap(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	r.runPass()
	r.runPass()
	r.aws.ResetCalls()
	before := len(r.primary.mem.Requests())
	_, result := r.invokeSync(r.scheduleEvent())
	// A poll without news is recorded once per cloud.RecordEvery.
	want := []cloudtest.Call{{Action: "dynamodb:GetItem", Resource: r.stack.Table}}
	if seen := r.aws.Calls(); !slices.Equal(seen, want) {
		t.Errorf("calls to AWS %v, want %v", seen, want)
	}
	if n := len(r.primary.mem.Requests()) - before; n != 1 {
		t.Errorf("%d requests to the primary", n)
	}
	for _, line := range result.Log {
		if strings.HasPrefix(line, "{") {
			t.Errorf("it logs %s", line)
		}
	}
}

// TestTheDoctorReportsASilentServer, as one behind a firewall, instead of
// waiting for it until the function is ended.
func TestTheDoctorReportsASilentServer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	r := newTestStack(t, newMemoryServer(t, "primary", withFeed()), newMemoryServer(t, "eu", cheftest.Options{}))
	r.replica.url = "http://" + silent.Addr().String()
	r.mustDeploy()
	result, err := r.sync.InvokeWithin(t.Context(), cloud.SyncEvent{Pair: r.pairID(), Task: cloud.TaskDoctor}, 7*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var answer cloud.SyncResult
	if err := result.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, c := range answer.Checks {
		found = append(found, c.Name+" "+c.Status)
	}
	if want := []string{"primary ok", "replica eu failed", "table ok"}; !slices.Equal(found, want) || !strings.Contains(answer.Checks[1].Hint, "firewalls") {
		t.Errorf("%+v", answer.Checks)
	}
}

func TestFailuresAreResultsUnlessTheTableFails(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	r.runPass()
	r.primary.mem.Fault(cheftest.Fault{Status: 401, Times: 1000})
	if answer, _ := r.invokeSync(r.scheduleEvent()); answer.Error == "" || answer.Run.Outcome != replication.OutcomeFailed {
		t.Errorf("a refusal: %+v", answer)
	}
	if st := r.pairRecord(); st.Status() != replication.Blocked {
		t.Errorf("status %s", st.Status())
	}
	r.primary.mem.ClearFaults()
	r.aws.Refuse("GetItem", "AccessDeniedException")
	result, err := r.sync.Invoke(t.Context(), r.scheduleEvent())
	if err != nil || result.Error == nil || !strings.Contains(result.Error.Message, r.stack.Table) {
		t.Errorf("a table that can't be read: %v, %v", err, result.Error)
	}
	r.aws.Refuse("GetItem", "")
	r.invokeSync(cloud.SyncEvent{Pair: r.pairID()}) // of an operator: doesn't wait
	if st := r.pairRecord(); st.Status() != replication.Synced {
		t.Errorf("status %s after all is well", st.Status())
	}
}

// TestARotatedKeyIsReadAgain: a key that was replaced is refused once.
func TestARotatedKeyIsReadAgain(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	r.runPass()
	r.aws.SetSecret("chef-sync/primary", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")
	r.sync.Kill() // a fresh environment reads the broken key
	if answer, _ := r.invokeSync(cloud.SyncEvent{Pair: r.pairID()}); !strings.Contains(answer.Error, "primary") {
		t.Errorf("a broken key: %+v", answer)
	}
	r.aws.SetSecret("chef-sync/primary", r.primary.key)
	if answer, _ := r.invokeSync(cloud.SyncEvent{Pair: r.pairID()}); answer.Error != "" {
		t.Errorf("the key that was put back: %+v", answer)
	}
}

func TestNoSecretsAndValuesAreLogged(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	r.primary.org.PutDataBagItem("secrets", "api", `{"token":"swordfish"}`)
	r.runPass()
	r.aws.SetSecret("chef-sync/eu", "not a key: swordfish")
	r.sync.Kill()
	r.invokeSync(cloud.SyncEvent{Pair: r.pairID()})
	log := r.sync.Log().String() + r.manager.Log().String()
	if !strings.Contains(log, "no private key found") {
		t.Error("the log doesn't say what is wrong with the key")
	}
	secrets := []string{"swordfish", "PRIVATE KEY", "encrypted_data"}
	for line := range strings.Lines(r.primary.key) {
		secrets = append(secrets, strings.TrimSpace(line))
	}
	for _, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("the log contains %q", secret)
		}
	}
}

// TestTheDoctorChecksRightsOnTheReplica: what it may write counts, not
// that it may read.
func TestTheDoctorChecksRightsOnTheReplica(t *testing.T) {
	t.Parallel()
	r := newDeployedStack(t)
	rights := func() cloud.Check {
		answer, _ := r.invokeSync(cloud.SyncEvent{Pair: r.pairID(), Task: cloud.TaskDoctor})
		for _, c := range answer.Checks {
			if c.Name == "rights on replica eu" {
				return c
			}
		}
		t.Fatalf("no such check: %+v", answer)
		return cloud.Check{}
	}
	if c := rights(); c.Status != cloud.CheckOK || !strings.Contains(c.Detail, "may create in organization") {
		t.Errorf("%+v", c)
	}
	r.replica.org.SetACE("containers/environments", "create", "admins")
	if c := rights(); c.Status != cloud.CheckFailed || !strings.Contains(c.Detail, "creating is refused (403) in environments") || !strings.Contains(c.Hint, "prepare-org acme --side replica --replica eu") {
		t.Errorf("%+v", c)
	}
}
