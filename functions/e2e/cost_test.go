package e2e

import (
	"fmt"
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
}

func list() prices {
	return prices{
		scheduled: 1.00e-6, request: 0.20e-6, gigabyteSecond: 0.0000133334,
		write: 0.625e-6, read: 0.125e-6, put: 5e-6, get: 0.4e-6, logged: 0.53e-9,
		alarm: 0.10, secret: 0.40, dashboard: 3.00, metric: 0.30,
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

// The assumptions of the sum that aren't counted.
const (
	pollsAMonth = 43_800 // one a minute
	busy        = 0.01   // of the polls find a change
	pollSeconds = 0.100  // of a poll, most of it waiting for the primary
	workSeconds = 0.500
	gigabytes   = 0.25
	alarms      = 9 // metrics that alarms look at
	secrets     = 3
)

// monthly is what n pairs cost a month, in USD. All writes of a change are taken
// for parts of transactions, which cost twice; a record stands for the polls of
// cloud.NoteEvery.
func (p prices) monthly(n int, empty, change counted) float64 {
	invocation := func(c counted, seconds float64) float64 {
		return p.scheduled + p.request + seconds*gigabytes*p.gigabyteSecond +
			float64(c.reads)*p.read + 2*float64(c.writes)*p.write + float64(c.puts)*p.put + float64(c.gets)*p.get + float64(c.logged)*p.logged
	}
	poll := invocation(empty, pollSeconds) + p.write/cloud.NoteEvery.Minutes()
	pairs := float64(n) * pollsAMonth * ((1-busy)*poll + busy*invocation(change, workSeconds))
	// The manager reads all pairs, of which an item is 1 KB, every five minutes.
	manager := pollsAMonth / 5 * (p.scheduled + p.request + 1*gigabytes*p.gigabyteSecond + float64(n)/4*p.read + 600*p.logged)
	custom := 0
	for _, names := range cloud.MetricNames() {
		custom += len(names)
	}
	return pairs + manager + alarms*p.alarm + secrets*p.secret + p.dashboard + float64(custom)*p.metric
}

// TestTheCostOfAPairStaysBelowTenCents: design.md §12, from counted operations.
func TestTheCostOfAPairStaysBelowTenCents(t *testing.T) {
	t.Parallel()
	r := deployed(t)
	r.pass()
	r.pass()
	empty := r.count(r.event())
	if want := (counted{reads: 1}); empty != want {
		t.Errorf("an empty poll costs %+v, want %+v", empty, want)
	}
	r.primary.org.PutRole("web", `{"description":"one change"}`)
	change := r.count(r.event())
	if change.secrets > 0 || change.puts > 0 || change.gets > 0 {
		t.Errorf("a changed role costs %+v", change)
	}
	t.Logf("empty poll %+v, changed role %+v", empty, change)
	p := list()
	for _, n := range []int{1, 100, 1000} {
		sum := p.monthly(n, empty, change)
		t.Logf("%5d pairs: %8.2f USD a month, %.3f for each", n, sum, sum/float64(n))
	}
	if each := p.monthly(1000, empty, change) / 1000; each > 0.10 {
		t.Errorf("a pair costs %.3f USD a month at 1,000 pairs", each)
	}
}

// TestWhatAScanThatFoundNothingCosts: it takes the lease and frees it, reads its
// memory and the diary, and its record stands for those after it.
func TestWhatAScanThatFoundNothingCosts(t *testing.T) {
	t.Parallel()
	r := journaled(t)
	scan(r)
	scan(r)
	idle := r.counting(cloud.ChangesFunction, func() { scan(r) })
	if want := (counted{reads: 2, writes: 2, gets: 1}); idle != want {
		t.Errorf("an idle scan costs %+v, want %+v", idle, want)
	}
	p := list()
	scanned := p.scheduled + p.request + workSeconds*gigabytes*p.gigabyteSecond +
		float64(idle.reads)*p.read + float64(idle.writes)*p.write + float64(idle.gets)*p.get + p.write/cloud.NoteEvery.Minutes()
	t.Logf("a source scanned every minute: %.2f USD a month", pollsAMonth*scanned)
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
