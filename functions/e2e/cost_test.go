package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/runtimetest"
)

// prices are list prices of us-east-1 in USD as of November 2026, without the
// free tier: https://aws.amazon.com/pricing, and /pricing below the pages of each
// service. Logs are 0.50 for taking a GB in and 0.03 for keeping it a month. Check
// them before relying on a sum.
type prices struct {
	scheduled, request, gigabyteSecond float64 // Scheduler, Lambda on arm64
	write, read                        float64 // of a table on demand, per unit
	put, get                           float64 // of S3
	logged                             float64 // a byte
	alarm, secret, dashboard, metric   float64 // a month
	nat                                float64 // a gigabyte through a NAT gateway
}

func list() prices {
	return prices{
		scheduled: 1.00e-6, request: 0.20e-6, gigabyteSecond: 0.0000133334,
		write: 0.625e-6, read: 0.125e-6, put: 5e-6, get: 0.4e-6, logged: 0.53e-9,
		alarm: 0.10, secret: 0.40, dashboard: 3.00, metric: 0.30, nat: 0.045,
	}
}

// counted is what an invocation asks of AWS.
type counted struct {
	reads, writes, puts, gets, secrets int
	logged                             int // bytes
}

// count invokes the function warm and counts.
func (r *rig) count(event cloud.SyncEvent) counted {
	r.t.Helper()
	var result runtimetest.Result
	c := r.counting(cloud.SyncFunction, func() { _, result = r.invoke(event) })
	for _, line := range result.Log {
		if strings.HasPrefix(line.Text, "{") { // not what Lambda says, which the stack switches off
			c.logged += len(line.Text) + 26 // what CloudWatch adds to an event
		}
	}
	return c
}

// counting counts the calls of a function meanwhile.
func (r *rig) counting(function string, do func()) (c counted) {
	before := len(r.fronts[function].Seen())
	do()
	for _, call := range r.fronts[function].Seen()[before:] {
		switch call.Action {
		case "dynamodb:GetItem", "dynamodb:Query", "dynamodb:BatchGetItem":
			c.reads++
		case "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem":
			c.writes++
		case "s3:PutObject", "s3:DeleteObject":
			c.puts++
		case "s3:GetObject":
			c.gets++
		default:
			c.secrets++
		}
	}
	return c
}

// The assumptions of the sums that aren't counted.
const (
	pollsAMonth = 43_800 // one a minute
	busy        = 0.01   // of the polls find a change
	pollSeconds = 0.100  // of a poll, most of it waiting for AWS or the primary
	workSeconds = 0.500
	gigabytes   = 0.25
	secrets     = 3
)

// invocation is what one costs that a schedule starts. All writes are taken for parts
// of transactions, which cost twice.
func (p prices) invocation(c counted, seconds float64) float64 {
	return p.scheduled + p.request + seconds*gigabytes*p.gigabyteSecond +
		float64(c.reads)*p.read + 2*float64(c.writes)*p.write + float64(c.puts)*p.put + float64(c.gets)*p.get + float64(c.logged)*p.logged
}

// pair is what a pair costs a month, in USD, that is polled every minute. A record
// stands for the polls of cloud.NoteEvery. The manager reads all pairs, of which an
// item is 1 KB, every five minutes.
func (p prices) pair(empty, change counted) float64 {
	poll := p.invocation(empty, pollSeconds) + p.write/cloud.NoteEvery.Minutes()
	return pollsAMonth*((1-busy)*poll+busy*p.invocation(change, workSeconds)) + pollsAMonth/5*p.read/4
}

// stack is what a stack costs a month without a pair.
func (p prices) stack(alarms int) float64 {
	custom := 0
	for _, names := range cloud.MetricNames() {
		custom += len(names)
	}
	manager := pollsAMonth / 5 * (p.scheduled + p.request + 1*gigabytes*p.gigabyteSecond + 600*p.logged)
	return manager + float64(alarms)*p.alarm + secrets*p.secret + p.dashboard + float64(custom)*p.metric
}

// alarmed is how many metrics the alarms of the stack look at.
func alarmed(t *testing.T) int {
	golden, err := os.ReadFile(filepath.Join("..", "..", "infra", "testdata", "stack.golden.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(golden), "MetricName:")
}

// TestTheCosts are those that infra/README.md says, from counted operations and
// measured scans.
func TestTheCosts(t *testing.T) {
	t.Parallel()
	r := journaled(t)
	scan(r)
	r.pass()
	r.pass()
	empty := r.count(r.event())
	if want := (counted{reads: 2}); empty != want {
		t.Errorf("an empty poll costs %+v, want %+v", empty, want)
	}
	scan(r)
	idle := r.counting(cloud.ChangesFunction, func() { scan(r) })
	// It takes the lease and frees it, reads its memory and the diary, and its record
	// stands for those after it.
	if want := (counted{reads: 2, writes: 2, gets: 1}); idle != want {
		t.Errorf("an idle scan costs %+v, want %+v", idle, want)
	}
	r.primary.org.PutRole("web", `{"description":"one change"}`)
	change := r.changeOf("web")
	if change.secrets > 0 || change.puts > 0 || change.gets > 1 {
		t.Errorf("a changed role costs %+v", change)
	}
	t.Logf("empty poll %+v, idle scan %+v, changed role %+v", empty, idle, change)
	p, readme := list(), readmeCosts(t)
	pair := p.pair(empty, change)
	if pair > 0.10 {
		t.Errorf("a pair costs %.3f USD a month", pair)
	}
	stack := p.stack(alarmed(t))
	if want := fmt.Sprintf("about %.0f |", stack); !strings.Contains(readme.text, want) {
		t.Errorf("a stack without pairs costs %.2f USD a month; infra/README.md doesn't say %q", stack, want)
	}
	readme.want(t, "A pair, polled every minute", pair)
	source := map[int]float64{}
	for _, m := range measuredScans() {
		source[m.objects] = p.source(idle, m)
		readme.want(t, "A source organization of "+thousands(m.objects)+" objects, scanned every minute", source[m.objects])
		sent, received := m.sent*pollsAMonth/1e6, m.received*pollsAMonth/1e6 // GB
		t.Logf("%6d objects: %.2f s a scan, %.1f GB sent and %.1f GB received a month; through a NAT gateway %.2f USD",
			m.objects, m.lambdaSeconds(), sent, received, (sent+received)*p.nat)
	}
	for _, c := range []struct{ pairs, sources, objects int }{{1, 1, 28}, {100, 50, 1000}, {1000, 500, 1000}, {20, 10, 10_000}} {
		sum := stack + float64(c.pairs)*pair + float64(c.sources)*source[c.objects]
		row := fmt.Sprintf("| %s | %d | %s | %.0f | %.2f |", thousands(c.pairs), c.sources, thousands(c.objects), sum, sum/float64(c.pairs))
		if !strings.Contains(readme.text, row) {
			t.Errorf("infra/README.md lacks the row %s", row)
		}
	}
}

// BenchmarkEmptyPoll measures a cold start with its first poll, and warm polls, of
// the deployed program on this machine's architecture.
func BenchmarkEmptyPoll(b *testing.B) {
	r := newRig(b, inMemory(b, "primary", withFeed()), inMemory(b, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	r.pass()
	for _, cold := range []bool{true, false} {
		b.Run(fmt.Sprintf("cold=%v", cold), func(b *testing.B) {
			r.invoke(r.event())
			var cpu, peak float64
			for b.Loop() {
				if cold {
					r.sync.Kill()
				}
				_, result := r.invoke(r.event())
				if result.Cold != cold {
					b.Fatalf("the environment is cold: %v", result.Cold)
				}
				cpu += float64((result.InitCPU + result.CPU).Microseconds()) / 1000
				peak = max(peak, float64(result.PeakRSS)/(1<<20))
			}
			b.ReportMetric(cpu/float64(b.N), "cpu-ms/op")
			b.ReportMetric(peak, "peak-MiB")
		})
	}
}
