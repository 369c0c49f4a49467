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
	return &server{name: name, url: g.URL, user: goiarditest.AdminUser, key: g.AdminKey, orgless: true}
}

// rig is a primary, a replica, and the program between them with its files in a
// folder.
type rig struct {
	t                testing.TB
	primary, replica *server
	dir              string
	extra            string // lines for the [[organization]] of the configuration
	skew             time.Duration
}

func newRig(t testing.TB, primary, replica *server) *rig {
	return &rig{t: t, primary: primary, replica: replica, dir: t.TempDir(), extra: `max_delete = "50%"`}
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
	fmt.Fprintf(&b, "[[organization]]\nsource = %q\ndestination = %q\ninterval = \"1s\"\ncompare_every = \"1s\"\n%s\n", source, destination, r.extra)
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

// full runs a full compare.
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
	u, err := e.State.Unsynced(context.Background(), e.Pair.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return st, u
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
	if torn := b.Torn(); len(torn) > 0 {
		t.Fatalf("torn cookbook versions: %v", torn)
	}
}

// fill puts the shapes of real organizations on a server: nested, empty, binary
// and shared files, several and frozen versions, encrypted-looking items, big
// integers, unicode, and names at the edges.
func fill(o *cheftest.Org) {
	shared := []byte("# shared by many\n")
	binary := make([]byte, 3000)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	for i := range 4 {
		v := fmt.Sprintf("1.%d.0", i*9)
		o.PutCookbook("apache2", v, map[string][]byte{
			"metadata.rb": fmt.Appendf(nil, "name 'apache2'\nversion '%s'\n", v), "README.md": shared, "recipes/default.rb": []byte("package 'apache2'"),
			"templates/default/a.conf.erb": []byte("<%= @x %>"), "files/ubuntu-24.04/logo.bin": binary, "files/default/empty": {},
		}, i%2 == 0)
	}
	o.PutCookbook("a.b_c-d", "0.0.1", map[string][]byte{"recipes/default.rb": shared, "libraries/deep_helper.rb": binary[:100]}, true)
	o.PutCookbook("nofiles", "2.0.0", nil, false)
	o.PutEnvironment("prod", `{"description":"an environment","cookbook_versions":{"apache2":"= 1.9.0"},"default_attributes":{"n":1,"deep":{"a":[1,2,{"b":null}]}}}`)
	o.PutEnvironment("dev-1", `{"description":"entwicklung äöü 日本"}`)
	o.PutRole("web", `{"description":"a role","run_list":["recipe[apache2]","role[base]"],"default_attributes":{"big":123456789012345678901234567890,"esc":"<&>\u2028\"\\"}}`)
	o.PutRole("base", `{"description":"a role","env_run_lists":{"prod":["recipe[apache2::default]"]},"override_attributes":{"t":true}}`)
	o.PutRole("with:colon", `{"description":"a role"}`)
	o.PutDataBag("empty")
	o.PutDataBagItem("secrets", "db", `{"password":{"encrypted_data":"aGVsbG8\nd29ybGQ=\n","iv":"MTIz\n","auth_tag":"eHl6\n","version":3,"cipher":"aes-256-gcm"}}`)
	o.PutDataBagItem("secrets", "db_keys", `{"admins":["alice"],"alice":"QUJD\n"}`)
	for i := range 12 {
		o.PutDataBagItem("users", fmt.Sprintf("user.%d", i), fmt.Sprintf(`{"uid":%d,"groups":["a","b"],"chef_type":"kept","n":9007199254740993}`, i))
	}
}

// objects is what fill makes, bags included.
const objects = 6 + 2 + 3 + 3 + 14

// edit changes, adds and deletes something of every kind.
func edit(o *cheftest.Org) {
	o.PutCookbook("apache2", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("forced over a frozen version")}, true)
	o.PutCookbook("apache2", "1.9.0", map[string][]byte{"recipes/default.rb": []byte("uploaded again"), "README.md": []byte("new")}, true)
	o.PutCookbook("fresh", "0.1.0", map[string][]byte{"recipes/default.rb": []byte("# shared by many\n")}, false)
	o.DeleteCookbook("apache2", "1.27.0")
	o.PutEnvironment("prod", `{"description":"an environment","cookbook_versions":{"fresh":"= 0.1.0"}}`)
	o.PutEnvironment("staging", `{"description":"an environment"}`)
	o.DeleteEnvironment("dev-1")
	o.PutRole("web", `{"description":"a role","run_list":[]}`)
	o.PutRole("db", `{"description":"a role","run_list":["recipe[fresh]"]}`)
	o.DeleteRole("with:colon")
	o.PutDataBagItem("users", "user.1", `{"uid":1001}`)
	o.PutDataBagItem("users", "user.new", `{}`)
	o.DeleteDataBagItem("users", "user.2")
	o.PutDataBagItem("more", "x", `{"y":1}`)
	o.DeleteDataBag("secrets")
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
