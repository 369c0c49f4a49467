package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/runtimetest"
)

// TestFunctionsWriteTheMetricsOfTheStack: a metric of another name, namespace
// or dimension would be an alarm that never rings.
func TestFunctionsWriteTheMetricsOfTheStack(t *testing.T) {
	t.Parallel()
	r := newTestStack(t, newMemoryServer(t, "primary", cheftest.Options{}), newMemoryServer(t, "eu", cheftest.Options{}))
	r.aws.SetSecret("chef-sync/token", "token")
	r.primaryConfig = "[journal]\ntoken = \"secretsmanager:chef-sync/token\"\n"
	r.mustDeploy()
	cheftest.Fill(r.primary.org)
	scanSource(r)
	r.runPass()
	r.runManager(cloud.TaskManage)
	postMessage(r, "another token", actionMessage{kind: "role", name: "web"})
	for function, want := range cloud.MetricNames() {
		logs := map[string]*runtimetest.Function{cloud.SyncFunction: r.sync, cloud.ManagerFunction: r.manager, cloud.ChangesFunction: r.changes, cloud.WebFunction: r.web}
		if got := metricsIn(t, logs[function].Log()); !slices.Equal(got, want) {
			t.Errorf("%s writes %q, want %q", function, got, want)
		}
	}
}

// metricsIn are the names of the metrics in a log, each once.
func metricsIn(t *testing.T, log runtimetest.Log) []string {
	names := map[string]bool{}
	for _, l := range log {
		var line struct {
			AWS struct {
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name string }
				}
			} `json:"_aws"`
		}
		if !strings.HasPrefix(l, "{") {
			continue
		}
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Fatal(err)
		}
		for _, set := range line.AWS.CloudWatchMetrics {
			if set.Namespace != cloud.MetricNamespace || len(set.Dimensions) != 1 || !slices.Equal(set.Dimensions[0], []string{cloud.MetricDimension}) {
				t.Errorf("metrics of %+v", set)
			}
			for _, m := range set.Metrics {
				names[m.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
