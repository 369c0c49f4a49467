package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// meter counts what one pass asks of servers, state and stage. The engine is the
// same for all passes, as in a daemon or a warm function.
type meter struct {
	*rig
	engine *replication.Engine
	state  *countedState
	stage  *countedStage
}

// countedState counts what a pass asks of the state.
type countedState struct {
	replication.State
	calls atomic.Int64
}

func (s *countedState) Pair(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	s.calls.Add(1)
	return s.State.Pair(ctx, id)
}

func (s *countedState) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time, ttl time.Duration) (replication.PairState, error) {
	s.calls.Add(1)
	return s.State.Acquire(ctx, id, owner, now, ttl)
}

func (s *countedState) Release(ctx context.Context, id replication.PairID, fence int64) error {
	s.calls.Add(1)
	return s.State.Release(ctx, id, fence)
}

func (s *countedState) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	s.calls.Add(1)
	return s.State.Commit(ctx, id, fence, now, u)
}

func (s *countedState) SaveProgress(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	s.calls.Add(1)
	return s.State.SaveProgress(ctx, id, fence, now, p)
}

func (s *countedState) Entries(ctx context.Context, id replication.PairID) (replication.Entries, error) {
	s.calls.Add(1)
	return s.State.Entries(ctx, id)
}

type countedStage struct {
	replication.Stage
	calls atomic.Int64
}

func (s *countedStage) Open(ctx context.Context, k replication.StageKey) (io.ReadCloser, int64, error) {
	s.calls.Add(1)
	return s.Stage.Open(ctx, k)
}

func (s *countedStage) Put(ctx context.Context, k replication.StageKey, r io.Reader, n int64) error {
	s.calls.Add(1)
	return s.Stage.Put(ctx, k, r, n)
}

func newMeter(b *testing.B) *meter {
	r := pairOfServers(b)
	e := r.engine()
	m := &meter{rig: r, engine: e, state: &countedState{State: e.State}, stage: &countedStage{Stage: e.Stage}}
	e.State, e.Stage = m.state, m.stage
	m.run(b)
	return m
}

func (m *meter) run(b *testing.B) replication.Run {
	run, err := m.engine.Pass(context.Background(), replication.PassOptions{})
	if err != nil || run.Outcome != replication.OutcomeDone {
		b.Fatalf("%s, %v", run.Outcome, err)
	}
	return run
}

// measure runs passes, each after an edit, and reports what each needed.
func (m *meter) measure(b *testing.B, edit func(i int)) {
	m.state.calls.Store(0)
	m.stage.calls.Store(0)
	var primary, replica, bytes float64
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		edit(i)
		m.primary.mem.ResetRequests()
		m.replica.mem.ResetRequests()
		b.StartTimer()
		m.run(b)
		b.StopTimer()
		primary += float64(len(m.primary.mem.Requests()))
		for _, r := range m.replica.mem.Requests() {
			replica++
			bytes += float64(r.BytesIn)
		}
		b.StartTimer()
	}
	n := float64(b.N)
	b.ReportMetric(primary/n, "primary-reqs/op")
	b.ReportMetric(replica/n, "replica-reqs/op")
	b.ReportMetric(float64(m.state.calls.Load())/n, "state-ops/op")
	b.ReportMetric(float64(m.stage.calls.Load())/n, "stage-ops/op")
	b.ReportMetric(bytes/n, "sent-B/op")
}

func BenchmarkEmptyPoll(b *testing.B) {
	m := newMeter(b)
	m.measure(b, func(int) {})
}

func BenchmarkOneChangedRole(b *testing.B) {
	m := newMeter(b)
	m.measure(b, func(i int) { m.primary.org.PutRole("web", fmt.Sprintf(`{"description":"%d"}`, i)) })
}

// A cookbook version with two new files among six.
func BenchmarkOneChangedCookbook(b *testing.B) {
	m := newMeter(b)
	m.measure(b, func(i int) {
		files := map[string][]byte{"recipes/a.rb": fmt.Appendf(nil, "a %d", i), "recipes/b.rb": fmt.Appendf(nil, "b %d", i)}
		for n := range 4 {
			files[fmt.Sprintf("files/same%d", n)] = fmt.Appendf(nil, "the same %d", n)
		}
		m.primary.org.PutCookbook("changing", "1.0.0", files, false)
	})
}

// many fills an organization with n objects: four in five are items and roles,
// the rest cookbook versions of three files and environments.
func many(o *cheftest.Org, n int) {
	for i := range n {
		switch i % 10 {
		case 0:
			o.PutCookbook(fmt.Sprintf("book%d", i/40), fmt.Sprintf("1.%d.0", i), map[string][]byte{
				"metadata.rb": fmt.Appendf(nil, "version '1.%d.0'", i), "recipes/default.rb": fmt.Appendf(nil, "# %d", i), "LICENSE": []byte("shared"),
			}, i%20 == 0)
		case 1:
			o.PutEnvironment(fmt.Sprintf("env%d", i), `{"default_attributes":{"a":{"b":[1,2,3]}}}`)
		case 2, 3, 4:
			o.PutRole(fmt.Sprintf("role%d", i), `{"run_list":["recipe[apache2]","recipe[nginx::default]"],"default_attributes":{"a":{"b":"c"}}}`)
		default:
			o.PutDataBagItem(fmt.Sprintf("bag%d", i%7), fmt.Sprintf("item%d", i), `{"a":{"b":"c","n":123456},"list":[1,2,3,4,5,6,7,8]}`)
		}
	}
}

const bootstrapObjects = 1000

// BenchmarkBootstrap copies 1,000 objects into an empty organization.
func BenchmarkBootstrap(b *testing.B) {
	primary := inMemory(b, "primary", cheftest.Options{UpdatedSince: true})
	many(primary.org, bootstrapObjects)
	created := 0
	for b.Loop() {
		b.StopTimer()
		r := newRig(b, primary, inMemory(b, "replica", cheftest.Options{}))
		e := r.engine()
		b.StartTimer()
		run, err := e.Pass(context.Background(), replication.PassOptions{})
		if err != nil {
			b.Fatal(err)
		}
		created = run.Counts.Created
	}
	b.ReportMetric(float64(created)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// BenchmarkBootstrapFloor sends the requests that such a copy can't do without,
// with the same number in flight, and does nothing else: what signing, sending
// and the servers themselves need.
func BenchmarkBootstrapFloor(b *testing.B) {
	primary := inMemory(b, "primary", cheftest.Options{UpdatedSince: true})
	many(primary.org, bootstrapObjects)
	paths := make([]string, 0, bootstrapObjects)
	for p := range primary.org.Snapshot() {
		paths = append(paths, p)
	}
	from := primary.client(b)
	for b.Loop() {
		b.StopTimer()
		replica := inMemory(b, "replica", cheftest.Options{})
		to := replica.client(b)
		b.StartTimer()
		var wg sync.WaitGroup
		queue := make(chan string)
		for range 10 {
			wg.Go(func() {
				for p := range queue {
					copyRaw(b, from, to, p)
				}
			})
		}
		for _, p := range paths {
			queue <- p
		}
		close(queue)
		wg.Wait()
	}
	b.ReportMetric(float64(len(paths))*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// copyRaw reads an object and sends what its kind needs: one write for JSON; for
// a cookbook a sandbox, its files, the commit and the manifest.
func copyRaw(b *testing.B, from, to *chef.Org, path string) {
	ctx := context.Background()
	a, err := from.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		b.Error(err)
		return
	}
	ref, err := object.ParseRef(path)
	if err != nil {
		b.Error(err)
		return
	}
	if ref.Kind == object.Cookbook {
		copyRawCookbook(b, from, to, path, a.Body)
		return
	}
	method, target, body := http.MethodPost, path[:len(path)-len(ref.Name)-1], a.Body
	switch ref.Kind {
	case object.DataBag:
		body = []byte(`{"name":"` + ref.Name + `"}`)
	case object.DataBagItem:
		_, _ = to.Do(ctx, http.MethodPost, "/data", []byte(`{"name":"`+ref.Name+`"}`)) // the bag may be there
		target = "/data/" + ref.Name
	}
	if _, err := to.Do(ctx, method, target, body); err != nil && chef.KindOf(err) != chef.KindExists {
		b.Error(err)
	}
}

func copyRawCookbook(b *testing.B, from, to *chef.Org, path string, body []byte) {
	ctx := context.Background()
	files, err := chef.ManifestFiles(body)
	if err != nil {
		b.Error(err)
		return
	}
	urls, sums := map[string]string{}, []string{}
	for _, f := range files {
		urls[f.Checksum] = f.URL
		sums = append(sums, f.Checksum)
	}
	box, err := to.CreateSandbox(ctx, sums)
	if err != nil {
		b.Error(err)
		return
	}
	for _, up := range box.Uploads {
		rc, size, err := from.Client().OpenFile(ctx, urls[up.Checksum])
		if err != nil {
			b.Error(err)
			return
		}
		if err := to.Client().UploadFile(ctx, up.URL, up.Checksum, func() (io.ReadCloser, int64, error) { return rc, size, nil }); err != nil {
			b.Error(err)
		}
	}
	if err := to.CommitSandbox(ctx, box.ID); err != nil {
		b.Error(err)
		return
	}
	clean, _, err := chef.WritableManifest(body, 2, false)
	if err == nil {
		_, err = to.Do(ctx, http.MethodPut, path+"?force=true", clean)
	}
	if err != nil {
		b.Error(err)
	}
}

// childVariable makes the test binary run one pass of a configuration and end,
// so that its memory can be measured apart from the servers'.
const childVariable = "CHEFSYNC_E2E_PASS"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		os.Exit(child(path))
	}
	os.Exit(m.Run())
}

func child(path string) int {
	ctx := context.Background()
	a, err := app.Open(ctx, app.Options{ConfigPath: path, Env: func(string) (string, bool) { return "", false }, Now: time.Now,
		Log: app.LogOptions{Stderr: io.Discard}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer a.Close()
	e, err := a.Engine(ctx, a.Pairs()[0])
	if err == nil {
		_, err = e.Pass(ctx, replication.PassOptions{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if peak, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Print(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(peak), "kB")))
		}
	}
	return 0
}

// BenchmarkMemory measures the peak memory of a process that does a first pass,
// with the servers in another process.
func BenchmarkMemory(b *testing.B) {
	for name, fill := range map[string]func(*cheftest.Org){
		"10000 objects": func(o *cheftest.Org) { many(o, 10_000) },
		"one 100 MiB file": func(o *cheftest.Org) {
			o.PutCookbook("big", "1.0.0", map[string][]byte{"files/big": make([]byte, 100<<20)}, false)
		},
	} {
		b.Run(name, func(b *testing.B) {
			primary := inMemory(b, "primary", cheftest.Options{UpdatedSince: true})
			fill(primary.org)
			var peak int64
			for b.Loop() {
				r := newRig(b, primary, inMemory(b, "replica", cheftest.Options{}))
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), childVariable+"="+r.config())
				cmd.Stderr = os.Stderr
				out, err := cmd.Output()
				if err != nil {
					b.Fatal(err)
				}
				// The process tells by itself: the system's account of a child
				// includes what its parent held.
				kib, err := strconv.ParseInt(string(out), 10, 64)
				if err != nil {
					b.Skip("SKIPPED: this system tells no peak memory of a process")
				}
				peak = max(peak, kib<<10)
				if r.replica.org.Snapshot() == nil || len(r.replica.org.DamagedCookbooks()) > 0 {
					b.Fatal("the replica isn't whole")
				}
			}
			b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
		})
	}
}
