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
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage"
	"chefsync/pkg/store/sqlite"
)

// backend is one machine's, in a folder of the test.
type backend struct {
	state *sqlite.State
	stage *stage.Dir
}

func (b backend) State(context.Context) (replication.State, error)    { return b.state, nil }
func (b backend) Stage(context.Context) (replication.Stage, error)    { return b.stage, nil }
func (b backend) Journals(context.Context) (journal.ScanStore, error) { return b.state.Journals(), nil }

func (b backend) Health(context.Context) (health.Store, error) { return b.state.Health(), nil }
func (b backend) Secrets() map[string]config.Resolver          { return nil }

// clock is moved by the test while servers may still be at a request that was
// broken off.
type clock struct {
	mu   sync.Mutex
	time time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time
}

func (c *clock) later(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time = c.time.Add(d)
}

// world is a primary, a replica and what lies between them, with a clock that the
// test moves. Requests are signed by that clock, so servers follow it.
type world struct {
	t                testing.TB
	primary, replica *cheftest.Server
	org, copy        *cheftest.Org
	env              map[string]string
	dir              string
	clock            *clock
	top, rest        string // lines for [primary], and for the end of the configuration
	noteEvery        time.Duration
	log              *slog.Logger
	stageLimit       int64
}

func newWorld(t testing.TB, o cheftest.Options) *world {
	w := &world{t: t, dir: t.TempDir(), clock: &clock{time: time.Now()}, env: map[string]string{}}
	o.Now = w.clock.now
	w.primary, w.replica = cheftest.Start(t, o), cheftest.Start(t, cheftest.Options{Now: w.clock.now})
	w.org, w.copy = w.primary.AddOrg("acme"), w.replica.AddOrg("acme")
	for name, s := range map[string]*cheftest.Server{"PRIMARY": w.primary, "EU": w.replica} {
		w.env[name] = string(cheftest.PrivatePEM(s.AddUser("sync")))
		s.Org("acme").Associate("sync")
	}
	return w
}

// fleet is a process of its own.
func (w *world) fleet() *assembly.Fleet {
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
	return assembly.New(assembly.Options{Config: c, Backend: backend{s, files}, Now: w.clock.now, NoteEvery: w.noteEvery, Log: w.log})
}

// pass runs one pass of the pair eu/acme.
func (w *world) pass(f *assembly.Fleet) replication.Run {
	w.t.Helper()
	return w.passWith(f, replication.PassOptions{Trigger: "test"})
}

// engine is that of the pair eu/acme.
func (w *world) engine(f *assembly.Fleet) *replication.Engine {
	w.t.Helper()
	e, err := f.Engine(context.Background(), f.Pairs()[0])
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *world) passWith(f *assembly.Fleet, o replication.PassOptions) replication.Run {
	w.t.Helper()
	run, err := w.engine(f).Pass(context.Background(), o)
	if err != nil || run.Outcome != replication.OutcomeDone {
		w.t.Fatalf("pass: %+v, %v", run, err)
	}
	w.clock.later(time.Minute)
	return run
}

func (w *world) scan(f *assembly.Fleet) {
	w.t.Helper()
	if _, err := f.Scan(context.Background(), "acme"); err != nil {
		w.t.Fatalf("scan: %v", err)
	}
}

func (w *world) progress(f *assembly.Fleet) replication.Progress {
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

func (w *world) wantSame(what string) {
	w.t.Helper()
	if d := cmp.Diff(w.org.Snapshot(), w.copy.Snapshot()); d != "" {
		w.t.Fatalf("%s: the replica differs (-primary +replica):\n%s", what, d)
	}
}

// asked counts the requests for updated_since, and all, since the last call.
func (w *world) asked() (feed, all int) {
	for _, r := range w.primary.Requests() {
		if all++; filepath.Base(r.Path) == "updated_since" {
			feed++
		}
	}
	w.primary.ResetRequests()
	return feed, all
}
