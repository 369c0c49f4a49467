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
	fired, request, gigabyteSecond   float64 // a rule of EventBridge, Lambda on arm64
	write, read                      float64 // of a table on demand, per unit
	put, get                         float64 // of S3
	logged                           float64 // a byte
	alarm, secret, dashboard, metric float64 // a month
	nat                              float64 // a gigabyte through a NAT gateway
}

func listPrices() prices {
	return prices{
		fired: 1.00e-6, request: 0.20e-6, gigabyteSecond: 0.0000133334,
		write: 0.625e-6, read: 0.125e-6, put: 5e-6, get: 0.4e-6, logged: 0.53e-9,
		alarm: 0.10, secret: 0.40, dashboard: 3.00, metric: 0.30, nat: 0.045,
	}
}

// usage is the use of AWS by an invocation.
type usage struct {
	reads, writes, puts, gets, secrets int
	transacted                         int // of the writes: parts of transactions, which cost twice
	logged                             int // bytes
}

// countInvocation invokes the function warm and counts.
func (r *testStack) countInvocation(event cloud.SyncEvent) usage {
	r.t.Helper()
	var result runtimetest.Result
	c := r.countUsage(cloud.SyncFunction, func() { _, result = r.invokeSync(event) })
	c.logged = countLogged(result.Log)
	return c
}

// countLogged returns the bytes of events in CloudWatch.
func countLogged(lines []string) (n int) {
	for _, line := range lines {
		if strings.HasPrefix(line, "{") {
			n += len(line) + 26 // what CloudWatch adds to an event
		}
	}
	return n
}

// countUsage counts the calls of a function meanwhile.
func (r *testStack) countUsage(function string, do func()) (c usage) {
	before := len(r.proxies[function].Calls())
	do()
	for _, call := range r.proxies[function].Calls()[before:] {
		switch call.Action {
		case "dynamodb:GetItem", "dynamodb:Query":
			c.reads++
		case "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem":
			c.writes++
			if call.InTransaction {
				c.transacted++
			}
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
	minutesAMonth  = 43_800
	changes        = minutesAMonth / 100 // passes of a pair a month that find something
	pollSeconds    = 0.100               // of a poll, most of it waiting for AWS or the primary
	workSeconds    = 0.500
	gigabytes      = 0.25
	secrets        = 3
	managerSeconds = 0.100  // of a run of the manager that finds nothing due
	recordSeconds  = 0.0005 // more for each pair whose record it reads
	startSeconds   = 0.020  // more for each function that it starts
	recordUnits    = 0.25   // read units of a pair's record of 1 KB, and of that of a source
)

// invocationCost is what one costs. What starts it is paid elsewhere.
func (p prices) invocationCost(c usage, seconds float64) float64 {
	return p.request + seconds*gigabytes*p.gigabyteSecond +
		float64(c.reads)*p.read + float64(c.writes+c.transacted)*p.write + float64(c.puts)*p.put + float64(c.gets)*p.get + float64(c.logged)*p.logged
}

// managerCost returns the cost a month of one more second of each run of the manager.
func (p prices) managerCost(seconds float64) float64 {
	return minutesAMonth * seconds * gigabytes * p.gigabyteSecond
}

// pairCost is what a pair costs a month, in USD, whose source is scanned every minute: its
// record is read by each run of the manager; it is polled once an hour, which is
// recorded, and whenever its source has changed, which costs a read of its record more.
func (p prices) pairCost(empty, change usage) float64 {
	const hours = minutesAMonth / 60
	return minutesAMonth*recordUnits*p.read + p.managerCost(recordSeconds) +
		hours*(p.invocationCost(empty, pollSeconds)+p.write) + changes*(p.invocationCost(change, workSeconds)+p.read)
}

// polledPairCost is what a pair costs a month whose primary serves updated_since, polled
// every minute. A poll without news is recorded once per cloud.RecordEvery.
func (p prices) polledPairCost(empty, change usage) float64 {
	poll := p.invocationCost(empty, pollSeconds) + p.write/cloud.RecordEvery.Minutes() + startSeconds*gigabytes*p.gigabyteSecond
	return minutesAMonth*(recordUnits*p.read+poll) + p.managerCost(recordSeconds) + changes*p.invocationCost(change, workSeconds)
}

// stackCost is what a stack costs a month without a pair.
func (p prices) stackCost(turn usage, alarms int) float64 {
	custom := 0
	for _, names := range cloud.MetricNames() {
		custom += len(names)
	}
	manager := minutesAMonth*(p.fired+p.invocationCost(turn, managerSeconds)) + minutesAMonth/5*600*p.logged
	return manager + float64(alarms)*p.alarm + secrets*p.secret + p.dashboard + float64(custom)*p.metric
}

// countAlarmMetrics is how many metrics the alarms of the stack look at.
func countAlarmMetrics(t *testing.T) int {
	golden, err := os.ReadFile(filepath.Join("..", "..", "infra", "testdata", "stack.golden.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(golden), "MetricName:")
}

// TestTheCosts checks the sums in infra/README.md by counted operations and
// measured scans.
func TestTheCosts(t *testing.T) {
	t.Parallel()
	r := newChangeLogStack(t)
	scanSource(r)
	r.runPass()
	r.runPass()
	empty := r.countInvocation(r.scheduleEvent())
	if want := (usage{reads: 2}); empty != want {
		t.Errorf("an empty poll costs %+v, want %+v", empty, want)
	}
	scanSource(r)
	r.runManager(cloud.TaskDispatch)
	r.sync.Wait()
	turn := r.countUsage(cloud.ManagerFunction, func() { r.dispatchAll() })
	// The records of all pairs and of all scans, and whether there is a newer configuration.
	if want := (usage{reads: 2, gets: 1}); turn != want {
		t.Errorf("a run of the manager without news costs %+v, want %+v", turn, want)
	}
	idle := r.countUsage(cloud.ChangesFunction, func() { scanSource(r) })
	// It takes the lease and frees it, reads its state and the last scan, and its record
	// stands for those after it.
	if want := (usage{reads: 2, writes: 2}); idle != want {
		t.Errorf("an idle scan costs %+v, want %+v", idle, want)
	}
	r.runPass() // nothing is left to compare
	change := r.measureChange("web")
	if change.secrets > 0 || change.puts > 0 || change.gets > 1 {
		t.Errorf("a changed role costs %+v", change)
	}
	t.Logf("turn %+v, empty poll %+v, idle scan %+v, changed role %+v", turn, empty, idle, change)
	p, readme := listPrices(), readmeCosts(t)
	pair := p.pairCost(empty, change)
	stack := p.stackCost(turn, countAlarmMetrics(t))
	if sum := stack + 1000*pair; sum > 20 {
		t.Errorf("a stack of a thousand pairs costs %.2f USD a month without its scans", sum)
	}
	if want := fmt.Sprintf("about %.0f |", stack); !strings.Contains(readme.text, want) {
		t.Errorf("a stack without pairs costs %.2f USD a month; infra/README.md doesn't say %q", stack, want)
	}
	readme.wantRounded(t, "A thousand pairs whose sources are scanned", 1000*pair)
	readme.wantRounded(t, "A thousand pairs of a primary with `updated_since`, polled every minute", 1000*p.polledPairCost(empty, change))
	readme.wantRounded(t, "The stack with a thousand such pairs, without the scans", stack+1000*pair)
	source := map[int]float64{}
	for _, m := range measuredScans() {
		source[m.objects] = p.sourceCost(idle, m)
		readme.wantExact(t, "A source organization of "+formatThousands(m.objects)+" objects, scanned every minute", source[m.objects])
		sent, received := m.sent*minutesAMonth/1e6, m.received*minutesAMonth/1e6 // GB
		t.Logf("%6d objects: %.2f s a scan, %.1f GB sent and %.1f GB received a month; through a NAT gateway %.2f USD",
			m.objects, m.lambdaSeconds(), sent, received, (sent+received)*p.nat)
	}
	for _, c := range []struct{ pairs, sources, objects int }{{1, 1, 28}, {100, 50, 1000}, {1000, 500, 1000}, {20, 10, 10_000}} {
		sum := stack + float64(c.pairs)*pair + float64(c.sources)*source[c.objects]
		row := fmt.Sprintf("| %s | %d | %s | %.0f | %.2f |", formatThousands(c.pairs), c.sources, formatThousands(c.objects), sum, sum/float64(c.pairs))
		if !strings.Contains(readme.text, row) {
			t.Errorf("infra/README.md lacks the row %s", row)
		}
	}
}

// BenchmarkEmptyPoll measures a cold start with its first poll, and warm polls, of
// the deployed program on this machine's architecture.
func BenchmarkEmptyPoll(b *testing.B) {
	r := newTestStack(b, newMemoryServer(b, "primary", withFeed()), newMemoryServer(b, "eu", cheftest.Options{}))
	cheftest.Fill(r.primary.org)
	r.mustDeploy()
	r.runPass()
	for _, cold := range []bool{true, false} {
		b.Run(fmt.Sprintf("cold=%v", cold), func(b *testing.B) {
			r.invokeSync(r.scheduleEvent())
			var cpu, peak float64
			for b.Loop() {
				if cold {
					r.sync.Kill()
				}
				_, result := r.invokeSync(r.scheduleEvent())
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
