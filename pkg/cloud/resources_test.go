package cloud_test

import (
	"encoding/json"
	"strings"
	"testing"

	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"

	"github.com/google/go-cmp/cmp"
)

// stackOutputs returns outputs of a stack, each with its own name in the value.
func stackOutputs() map[string]string {
	outputs := map[string]string{"CDKMetadata": "ignored"}
	for _, name := range cloud.OutputNames() {
		outputs[name] = "value of " + name
	}
	return outputs
}

func TestEnvironmentAndOutputsAgree(t *testing.T) {
	r, err := cloud.FromOutputs("chef-sync", "eu-central-1", stackOutputs())
	if err != nil {
		t.Fatal(err)
	}
	vars := r.Environment()
	if len(vars) != len(cloud.OutputNames())+2 {
		t.Errorf("%d variables for %d outputs, stack and region", len(vars), len(cloud.OutputNames()))
	}
	if vars["CHEF_SYNC_SYNC_FUNCTION"] != "value of SyncFunction" {
		t.Errorf("variables %v", vars)
	}
	back, err := cloud.FromEnvironment(func(name string) (string, bool) { v, ok := vars[name]; return v, ok })
	if err != nil || cmp.Diff(r, back) != "" {
		t.Errorf("%v; resources (-outputs +environment):\n%s", err, cmp.Diff(r, back))
	}
}

func TestAStackOfAnotherKindIsRefused(t *testing.T) {
	if _, err := cloud.FromOutputs("billing", "eu-central-1", map[string]string{"Queue": "q"}); err == nil || !strings.Contains(err.Error(), "billing") {
		t.Errorf("error %v", err)
	}
}

func TestAMissingVariableIsNamed(t *testing.T) {
	vars := map[string]string{"CHEF_SYNC_STACK": "s", "CHEF_SYNC_TABLE": "t"}
	_, err := cloud.FromEnvironment(func(name string) (string, bool) { v, ok := vars[name]; return v, ok })
	if err == nil || !strings.Contains(err.Error(), "CHEF_SYNC_BUCKET") {
		t.Errorf("error %v", err)
	}
}

// Rules contain events as text, and functions receive events of older versions.
func TestEventsKeepTheirJSON(t *testing.T) {
	for _, c := range []struct {
		event any
		want  string
	}{
		{cloud.SyncEvent{Pair: replication.PairID{Replica: "eu", Org: "acme"}, Trigger: cloud.TriggerSchedule}, `{"pair":"eu/acme","trigger":"schedule"}`},
		{cloud.SyncEvent{Pair: replication.PairID{Replica: "eu", Org: "acme"}, Task: cloud.TaskVerify}, `{"pair":"eu/acme","task":"verify"}`},
		{cloud.ManagerEvent{Task: cloud.TaskManage}, `{"task":"manage"}`},
		{cloud.ManagerEvent{Task: cloud.TaskDispatch}, `{"task":"dispatch"}`},
		{cloud.ChangesEvent{Source: "acme", Trigger: cloud.TriggerSchedule}, `{"source":"acme","trigger":"schedule"}`},
	} {
		if got, err := json.Marshal(c.event); err != nil || string(got) != c.want {
			t.Errorf("%#v is %s, %v; want %s", c.event, got, err, c.want)
		}
	}
}
