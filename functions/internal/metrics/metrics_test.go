package metrics_test

import (
	"strings"
	"testing"
	"time"

	"chefsync/functions/internal/metrics"
)

func TestALineIsOneSetOfMetricsOfTheStack(t *testing.T) {
	var out strings.Builder
	w := metrics.Writer{Out: &out, Stack: "chef-sync"}
	at := time.UnixMilli(1_795_000_000_123)
	if err := w.Write(at, map[string]metrics.Value{"Pairs": {Number: 3, Unit: metrics.Count}, "OldestSuccessAge": {Number: 61.5, Unit: metrics.Seconds}}); err != nil {
		t.Fatal(err)
	}
	const want = `{"OldestSuccessAge":61.5,"Pairs":3,"Stack":"chef-sync","_aws":{"CloudWatchMetrics":[{"Dimensions":[["Stack"]],` +
		`"Metrics":[{"Name":"OldestSuccessAge","Unit":"Seconds"},{"Name":"Pairs","Unit":"Count"}],"Namespace":"ChefSync"}],"Timestamp":1795000000123}}` + "\n"
	if out.String() != want {
		t.Errorf("wrote\n%swant\n%s", out.String(), want)
	}
}

func TestNoMetricsWriteNoLine(t *testing.T) {
	var out strings.Builder
	w := metrics.Writer{Out: &out}
	if err := w.Write(time.Now(), nil); err != nil || out.Len() > 0 {
		t.Errorf("wrote %q, %v", out.String(), err)
	}
}
