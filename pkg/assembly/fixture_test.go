package assembly_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/assembly"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/config"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage"
	"chefsync/pkg/store/sqlite"
)

// backend is the backend of one machine, in a folder of the test.
type backend struct {
	state *sqlite.State
	stage *stage.Dir
}

func (b backend) State(context.Context) (replication.State, error) { return b.state, nil }
func (b backend) Stage(context.Context) (replication.Stage, error) { return b.stage, nil }
func (b backend) ChangeLogs(context.Context) (changelog.ScanStore, error) {
	return b.state.ChangeLogs(), nil
}

func (b backend) Health(context.Context) (health.Store, error) { return b.state.Health(), nil }
func (b backend) Secrets() map[string]config.Resolver          { return nil }

// testClock is a clock that tests advance, also while servers handle requests.
type testClock struct {
	mu   sync.Mutex
	time time.Time
}

func (c *testClock) currentTime() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time = c.time.Add(d)
}

// fixture is a primary, a replica and the files of a fleet, with one clock for servers
// and fleets: requests are signed with its time.
type fixture struct {
	t                testing.TB
	primary, replica *cheftest.Server
	org, copy        *cheftest.Org
	env              map[string]string
	dir              string
	clock            *testClock
	top, rest        string // lines for [primary], and for the end of the configuration
	recordEvery      time.Duration
	log              *slog.Logger
	stageLimit       int64
}

func newFixture(t testing.TB, o cheftest.Options) *fixture {
	w := &fixture{t: t, dir: t.TempDir(), clock: &testClock{time: time.Now()}, env: map[string]string{}}
	o.Now = w.clock.currentTime
	w.primary, w.replica = cheftest.Start(t, o), cheftest.Start(t, cheftest.Options{Now: w.clock.currentTime})
	w.org, w.copy = w.primary.AddOrg("acme"), w.replica.AddOrg("acme")
	for name, s := range map[string]*cheftest.Server{"PRIMARY": w.primary, "EU": w.replica} {
		w.env[name] = string(cheftest.PrivatePEM(s.AddUser("sync")))
		s.Org("acme").Associate("sync")
	}
	return w
}

// newFleet returns a fleet, as another process would.
func (w *fixture) newFleet() *assembly.Fleet {
	w.t.Helper()
	text := fmt.Sprintf(`[primary]
url = %q
user = "sync"
key = "env:PRIMARY"
%s
[[replica]]
name = "eu"
url = %q
user = "sync"
key = "env:EU"
[[organization]]
source = "acme"
max_delete = "100%%"
%s`, w.primary.URL, w.top, w.replica.URL, w.rest)
	c, err := config.Loader{Env: func(k string) (string, bool) { v, ok := w.env[k]; return v, ok }}.Parse("chef-sync.toml", []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := sqlite.OpenState(context.Background(), filepath.Join(w.dir, "state.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() })
	files, err := stage.OpenDir(filepath.Join(w.dir, "stage"), stage.Options{Limit: w.stageLimit})
	if err != nil {
		w.t.Fatal(err)
	}
	return assembly.New(assembly.Options{Config: c, Backend: backend{s, files}, Now: w.clock.currentTime, RecordEvery: w.recordEvery, Log: w.log})
}

// runPass runs one pass of the pair eu/acme.
func (w *fixture) runPass(f *assembly.Fleet) replication.Run {
	w.t.Helper()
	return w.runPassWith(f, replication.PassOptions{Trigger: "test"})
}

// newEngine returns the engine of the pair eu/acme.
func (w *fixture) newEngine(f *assembly.Fleet) *replication.Engine {
	w.t.Helper()
	e, err := f.Engine(context.Background(), f.Pairs()[0])
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *fixture) runPassWith(f *assembly.Fleet, o replication.PassOptions) replication.Run {
	w.t.Helper()
	run, err := w.newEngine(f).Pass(context.Background(), o)
	if err != nil || run.Outcome != replication.OutcomeDone {
		w.t.Fatalf("pass: %+v, %v", run, err)
	}
	w.clock.advance(time.Minute)
	return run
}

func (w *fixture) runScan(f *assembly.Fleet) {
	w.t.Helper()
	if _, err := f.Scan(context.Background(), "acme"); err != nil {
		w.t.Fatalf("scan: %v", err)
	}
}

func (w *fixture) readProgress(f *assembly.Fleet) replication.Progress {
	w.t.Helper()
	s, err := f.State(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	st, err := s.Pair(context.Background(), f.Pairs()[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return st.Progress
}

func (w *fixture) wantEqual(what string) {
	w.t.Helper()
	if d := cmp.Diff(w.org.Snapshot(), w.copy.Snapshot()); d != "" {
		w.t.Fatalf("%s: the replica differs (-primary +replica):\n%s", what, d)
	}
}

// takeRequests counts the requests for updated_since, and all, since the last call.
func (w *fixture) takeRequests() (feed, all int) {
	for _, r := range w.primary.Requests() {
		if all++; filepath.Base(r.Path) == "updated_since" {
			feed++
		}
	}
	w.primary.ResetRequests()
	return feed, all
}
