package e2e

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/cloud"
)

// answerTime is how long a primary takes to answer, where scans are measured.
const answerTime = 10 * time.Millisecond

// measuredScan is what BenchmarkScan measured.
type measuredScan struct {
	objects        int
	seconds, cpu   float64 // of a scan: its duration, and the time of a processor in it
	sent, received float64 // kB
}

// measuredScans are those of 29 November 2026, on one of two busy AMD EPYC cores.
func measuredScans() []measuredScan {
	return []measuredScan{
		{28, 0.17, 0.014, 10, 15},
		{1000, 0.30, 0.055, 83, 280},
		{10_000, 2.30, 0.470, 590, 2600},
	}
}

// lambdaSeconds is how long the scan takes where a function has the share of a
// processor that its memory gets: a whole one with 1,769 MB.
func (m measuredScan) lambdaSeconds() float64 {
	const share = gigabytes * 1024 / 1769
	return m.seconds - m.cpu + m.cpu/share
}

// sourceCost is what a source organization costs a month that is scanned every minute and
// hardly ever changes.
func (p prices) sourceCost(idle usage, m measuredScan) float64 {
	scan := p.invocationCost(idle, m.lambdaSeconds()) + p.write/cloud.RecordEvery.Minutes() + recordUnits*p.read
	return minutesAMonth*scan + p.managerCost(startSeconds)
}

// costTable is infra/README.md with the rows of its tables of costs.
type costTable struct {
	text string
	rows map[string]string
}

func readmeCosts(t *testing.T) costTable {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "infra", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	c := costTable{text: string(text), rows: map[string]string{}}
	for line := range strings.Lines(c.text) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			c.rows[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	return c
}

func (c costTable) wantExact(t *testing.T, what string, usd float64) {
	t.Helper()
	c.wantText(t, what, fmt.Sprintf("%.2f", usd))
}

// wantRounded checks a sum of a thousand pairs. A pass that takes longer may read the
// table once more, which moves the sum by a tenth of a dollar.
func (c costTable) wantRounded(t *testing.T, what string, usd float64) {
	t.Helper()
	said, err := strconv.ParseFloat(c.rows[what], 64)
	if err != nil || math.Abs(said-usd) > 0.15 {
		t.Errorf("infra/README.md says %q of %q, want %.1f", c.rows[what], what, usd)
	}
}

func (c costTable) wantText(t *testing.T, what, want string) {
	t.Helper()
	if c.rows[what] != want {
		t.Errorf("infra/README.md says %q of %q, want %s", c.rows[what], what, want)
	}
}

func formatThousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// measureChange returns the usage of the pass that a scan starts which finds a changed role.
func (r *testStack) measureChange(role string) usage {
	r.t.Helper()
	r.primary.org.PutRole(role, `{"description":"one change"}`)
	logged := countLogged(r.sync.Log())
	c := r.countUsage(cloud.SyncFunction, func() { scanSource(r) })
	c.logged = countLogged(r.sync.Log()) - logged
	return c
}

// fillTo puts n objects on an organization: 40 % cookbook versions, of which every
// tenth isn't frozen, 48 % items in bags of 100, 10 % roles and 2 % environments.
func fillTo(o *cheftest.Org, n int) {
	for i := range n * 40 / 100 {
		o.PutCookbook(fmt.Sprint("book", i/5), fmt.Sprintf("%d.0.0", i%5), map[string][]byte{
			"recipes/default.rb": fmt.Appendf(nil, "recipe %d", i), "metadata.rb": fmt.Appendf(nil, "metadata %d", i)}, i%10 != 0)
	}
	for i := range n * 48 / 100 {
		o.PutDataBagItem(fmt.Sprint("bag", i/100), fmt.Sprint("item", i), fmt.Sprintf(`{"id":"item%d","groups":["one","two"],"shell":"/bin/sh"}`, i))
	}
	for i := range n * 10 / 100 {
		o.PutRole(fmt.Sprint("role", i), fmt.Sprintf(`{"description":"role %d","run_list":["recipe[book%d]"]}`, i, i))
	}
	for i := range n * 2 / 100 {
		o.PutEnvironment(fmt.Sprint("env", i), `{}`)
	}
}

// traffic counts the requests of a server and their bytes.
type traffic struct{ requests, sent, received atomic.Int64 } // bytes, as the client sees it

// countTraffic puts a proxy in front of a server that counts its traffic.
func countTraffic(t testing.TB, s *chefServer) *traffic {
	total := &traffic{}
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	inside := httputil.NewSingleHostReverseProxy(target)
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		head, err := httputil.DumpRequest(q, false)
		if err != nil {
			t.Error(err)
		}
		total.requests.Add(1)
		total.sent.Add(int64(len(head)) + max(q.ContentLength, 0))
		inside.ServeHTTP(trafficWriter{w, &total.received}, q)
	}))
	t.Cleanup(door.Close)
	s.url = door.URL
	return total
}

type trafficWriter struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

func (m trafficWriter) Write(p []byte) (int, error) {
	m.bytes.Add(int64(len(p)))
	return m.ResponseWriter.Write(p)
}

// BenchmarkScan measures scans that find nothing, by the deployed program, of a primary
// that takes its time to answer: what measuredScans are taken from.
func BenchmarkScan(b *testing.B) {
	for _, n := range []int{28, 1000, 10_000} {
		b.Run(fmt.Sprint("objects=", n), func(b *testing.B) {
			primary := newMemoryServer(b, "primary", cheftest.Options{})
			if n == 28 {
				cheftest.Fill(primary.org)
			} else {
				fillTo(primary.org, n)
			}
			total := countTraffic(b, primary)
			r := newTestStack(b, primary, newMemoryServer(b, "eu", cheftest.Options{}))
			r.mustDeploy()
			for done := false; !done; { // the first scan of many takes several invocations
				answer, err := r.startScan()
				done = err == nil && answer.Error == "" && answer.Changes == 0
			}
			primary.mem.Fault(cheftest.Fault{Delay: answerTime})
			if _, err := r.startScan(); err != nil {
				b.Fatal(err)
			}
			requests, sent, received := total.requests.Load(), total.sent.Load(), total.received.Load()
			var cpu, peak float64
			for b.Loop() {
				result, err := r.changes.Invoke(b.Context(), cloud.ChangesEvent{Source: orgName})
				if err != nil || result.Error != nil || result.Cold {
					b.Fatalf("%v, %v, cold: %v", err, result.Error, result.Cold)
				}
				cpu += float64(result.CPU.Microseconds()) / 1000
				peak = max(peak, float64(result.PeakRSS)/(1<<20))
			}
			runs := float64(b.N)
			b.ReportMetric(cpu/runs, "cpu-ms/op")
			b.ReportMetric(float64(total.requests.Load()-requests)/runs, "requests/op")
			b.ReportMetric(float64(total.sent.Load()-sent)/runs/1000, "sent-kB/op")
			b.ReportMetric(float64(total.received.Load()-received)/runs/1000, "received-kB/op")
			b.ReportMetric(peak, "peak-MiB")
		})
	}
}
