package e2e

import (
	"context"
	"crypto/rsa"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/cli/internal/app"
	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/replication"
)

// server is one Chef Server of a rig, in memory or real.
type server struct {
	name, url, user string
	key             *rsa.PrivateKey
	orgless         bool
	mem             *cheftest.Server // nil for a real one
	real            *goiarditest.Server
	org             *cheftest.Org
}

const orgName = "acme"

// inMemory starts a server with one organization, a reader or writer, and a
// feed if wanted.
func inMemory(t testing.TB, name string, o cheftest.Options) *server {
	srv := cheftest.Start(t, o)
	s := &server{name: name, url: srv.URL, user: "replicator", mem: srv, orgless: o.Orgless}
	if o.Orgless {
		s.org = srv.Org("")
		s.user, s.key = srv.Superuser()
		return s
	}
	s.org = srv.AddOrg(orgName)
	s.key = srv.AddUser(s.user)
	s.org.Associate(s.user)
	return s
}

// goiardi starts a real server.
func goiardi(t testing.TB, name string) *server {
	g := goiarditest.Start(t)
	return &server{name: name, real: g, url: g.URL, user: goiarditest.AdminUser, key: g.AdminKey, orgless: true}
}

// rig is a primary, a replica, and the program between them with its files in a
// folder.
type rig struct {
	t                testing.TB
	primary, replica *server
	dir              string
	compareEvery     string
	extra            string // lines for the [[organization]] of the configuration
	changeLog        string // lines for [journal]
	skew             time.Duration
}

func newRig(t testing.TB, primary, replica *server) *rig {
	return &rig{t: t, primary: primary, replica: replica, dir: t.TempDir(), compareEvery: "1s", extra: `max_delete = "50%"`}
}

func (r *rig) write(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// config writes the configuration file.
func (r *rig) config() string {
	var b strings.Builder
	section := func(head string, s *server) {
		key := r.write(s.name+".pem", string(cheftest.PrivatePEM(s.key)))
		fmt.Fprintf(&b, "%s\nurl = %q\nuser = %q\nkey = %q\norganizations = %v\n", head, s.url, s.user, "file:"+key, !s.orgless)
	}
	section("[primary]", r.primary)
	section("[[replica]]\nname = \"eu\"", r.replica)
	source, destination := orgName, orgName
	if r.primary.orgless {
		source = "default"
	}
	if r.replica.orgless {
		destination = "default"
	}
	fmt.Fprintf(&b, "[[organization]]\nsource = %q\ndestination = %q\ninterval = \"1s\"\ncompare_every = %q\n%s\n[journal]\n%s\n", source, destination, r.compareEvery, r.extra, r.changeLog)
	fmt.Fprintf(&b, "[state]\npath = %q\n[stage]\npath = %q\n", filepath.Join(r.dir, "state.db"), filepath.Join(r.dir, "stage"))
	return r.write("chef-sync.toml", b.String())
}

// open starts the program: a process of its own as far as leases are concerned.
func (r *rig) open() (*app.App, app.Pair) {
	r.t.Helper()
	a, err := app.Open(context.Background(), app.Options{
		ConfigPath: r.config(), Env: func(string) (string, bool) { return "", false },
		Now: func() time.Time { return time.Now().Add(r.skew) }, Log: app.LogOptions{Stderr: io.Discard},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = a.Close() })
	return a, a.Pairs()[0]
}

// later lets compare_every pass.
func (r *rig) later() { r.skew += 2 * time.Second }

func (r *rig) engine() *replication.Engine {
	r.t.Helper()
	a, pair := r.open()
	e, err := a.Engine(context.Background(), pair)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// pass runs one pass as a new process.
func (r *rig) pass() (replication.Run, error) {
	r.t.Helper()
	return r.engine().Pass(context.Background(), replication.PassOptions{Trigger: "test"})
}

// full runs a full comparison.
func (r *rig) full() (replication.Run, error) {
	r.t.Helper()
	return r.engine().Pass(context.Background(), replication.PassOptions{Trigger: "test", Full: true})
}

func (r *rig) mustPass() replication.Run {
	r.t.Helper()
	run, err := r.pass()
	if err != nil || run.Outcome != replication.OutcomeDone {
		r.t.Fatalf("pass: %s, %v", run.Outcome, err)
	}
	return run
}

func (r *rig) record() (replication.PairState, []replication.Unsynced) {
	r.t.Helper()
	e := r.engine()
	st, err := e.State.Pair(context.Background(), e.Pair.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	entries, err := e.State.Entries(context.Background(), e.Pair.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return st, entries.Unsynced()
}

func (r *rig) wantInSync() {
	r.t.Helper()
	if st, u := r.record(); len(u) > 0 || st.Status() != replication.Synced {
		r.t.Fatalf("status %s with unsynced objects %+v", st.Status(), u)
	}
	report, err := r.engine().Verify(context.Background(), replication.VerifyOptions{})
	if err != nil || !report.Equal() || len(report.Extras) > 0 {
		r.t.Fatalf("verify: %+v, %v", report, err)
	}
	if r.primary.mem != nil && r.replica.mem != nil {
		wantSame(r.t, r.primary.org, r.replica.org)
	}
}

// wantSame compares two in-memory organizations by their own account, which
// shares no code with the engine's idea of equality.
func wantSame(t testing.TB, a, b *cheftest.Org) {
	t.Helper()
	if d := cmp.Diff(a.Snapshot(), b.Snapshot()); d != "" {
		t.Fatalf("organizations differ (-primary +replica):\n%s", d)
	}
	if torn := b.DamagedCookbooks(); len(torn) > 0 {
		t.Fatalf("torn cookbook versions: %v", torn)
	}
}

// writes are the requests that meant to change something.
func (s *server) writes() map[string]int {
	if s.mem == nil {
		return nil
	}
	return s.mem.Requests().Writes().Counts()
}

// client is a client of a server for seeding and looking.
func (s *server) client(t testing.TB) *chef.Org {
	t.Helper()
	c, err := chef.New(chef.Config{Name: s.name, URL: s.url, Orgless: s.orgless, User: s.user, Key: s.key})
	if err != nil {
		t.Fatal(err)
	}
	return c.Org(orgName)
}
