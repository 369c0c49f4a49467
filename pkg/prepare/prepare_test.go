package prepare_test

import (
	"crypto/rsa"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/prepare"
)

// fixture is a Chef Server with an organization and a key file.
type fixture struct {
	t      *testing.T
	server *cheftest.Server
	org    *cheftest.Org
	key    prepare.FileKey
}

func newFixture(t *testing.T) *fixture {
	s := cheftest.Start(t)
	return &fixture{t: t, server: s, org: s.AddOrg("acme"), key: prepare.FileKey{Path: filepath.Join(t.TempDir(), "keys", "sync.pem")}}
}

func (s *fixture) newClient(user string, key *rsa.PrivateKey) *chef.Client {
	s.t.Helper()
	c, err := chef.New(chef.Config{Name: "eu", URL: s.server.URL, User: user, Key: key,
		Retry: chef.RetryPolicy{Attempts: 1, Base: time.Millisecond}})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *fixture) superuserClient() *chef.Client { return s.newClient(s.server.Superuser()) }

func (s *fixture) adminClient(name string) *chef.Client { return s.newClient(name, s.adminKey(name)) }

func (s *fixture) adminKey(name string) *rsa.PrivateKey {
	key := s.server.AddUser(name)
	s.org.Associate(name)
	s.org.AddToGroup("admins", name)
	return key
}

func (s *fixture) newOptions(side prepare.Side, caller *chef.Client) prepare.Options {
	return prepare.Options{Org: "acme", Side: side, Name: "ec_sync_user", Caller: caller, Key: s.key,
		Connect: func(k *rsa.PrivateKey) (*chef.Client, error) { return s.newClient("ec_sync_user", k), nil }}
}

func (s *fixture) mustRun(o prepare.Options) *prepare.Report {
	s.t.Helper()
	r, err := prepare.Run(s.t.Context(), o)
	if err != nil {
		s.t.Fatalf("Run: %v\n%+v", err, r)
	}
	if !r.Ready {
		s.t.Fatalf("not ready: %+v", r.Steps)
	}
	return r
}

// callerWrites returns the writes that the actor itself did not send.
func (s *fixture) callerWrites() (list []string) {
	for _, r := range s.server.Requests().Writes() {
		if r.Actor != "ec_sync_user" {
			list = append(list, r.Method+" "+r.Path)
		}
	}
	return list
}

func TestSuperuserCreatesAndAssociatesTheUser(t *testing.T) {
	for _, side := range []prepare.Side{prepare.Primary, prepare.Replica} {
		t.Run(string(side), func(t *testing.T) {
			s := newFixture(t)
			r := s.mustRun(s.newOptions(side, s.superuserClient()))
			if r.Actor != prepare.User || !r.Changed || !slices.Contains(r.Organizations, "acme") ||
				!slices.Contains(r.Actors, "user ec_sync_user") {
				t.Errorf("report %+v", r)
			}
			info, err := os.Stat(s.key.Path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("key file %v, %v; want mode 0600", info, err)
			}
		})
	}
}

func TestSecondRunChangesNothing(t *testing.T) {
	for _, side := range []prepare.Side{prepare.Primary, prepare.Replica} {
		for _, caller := range []string{"superuser", "admin"} {
			t.Run(string(side)+" as "+caller, func(t *testing.T) {
				s := newFixture(t)
				who := s.superuserClient()
				if caller == "admin" {
					who = s.adminClient("alice")
				}
				s.mustRun(s.newOptions(side, who))
				before, err := os.ReadFile(s.key.Path)
				if err != nil {
					t.Fatal(err)
				}
				s.server.ResetRequests()
				r := s.mustRun(s.newOptions(side, who))
				if r.Changed || len(s.callerWrites()) > 0 {
					t.Errorf("the second run changed something: %v\n%+v", s.callerWrites(), r.Steps)
				}
				if after, _ := os.ReadFile(s.key.Path); string(after) != string(before) {
					t.Error("the second run replaced the key")
				}
				if side == prepare.Primary && len(s.server.Requests().Writes()) > 0 {
					t.Errorf("preparing a primary again wrote: %v", s.server.Requests().Writes())
				}
			})
		}
	}
}

func TestOrgAdminCreatesAClientWithWriteAccess(t *testing.T) {
	s := newFixture(t)
	s.org.PutRole("old", `{}`)
	s.org.PutDataBagItem("old", "item", `{}`)
	r := s.mustRun(s.newOptions(prepare.Replica, s.adminClient("alice")))
	if r.Actor != prepare.Client || !slices.Contains(r.Groups, "chef-sync") {
		t.Fatalf("report %+v", r)
	}
	key, err := s.key.Load()
	if err != nil {
		t.Fatal(err)
	}
	client := s.newClient("ec_sync_user", key).Org("acme")
	for _, path := range []string{"/roles/old", "/data/old"} {
		if _, err := client.Do(t.Context(), "DELETE", path, nil); err != nil {
			t.Errorf("the client may not delete an existing object: %v", err)
		}
	}
}

func TestClientOfAPrimaryGetsNoExtraRights(t *testing.T) {
	s := newFixture(t)
	r := s.mustRun(s.newOptions(prepare.Primary, s.adminClient("alice")))
	if r.Actor != prepare.Client || slices.Contains(r.Groups, "chef-sync") || slices.Contains(r.Groups, "admins") {
		t.Errorf("actor %s in groups %v; want a client without groups of its own", r.Actor, r.Groups)
	}
}

func TestOrgAdminInvitesAnExistingUser(t *testing.T) {
	s := newFixture(t)
	user := s.server.AddUser("ec_sync_user")
	writeKey(t, s.key.Path, user)
	r := s.mustRun(s.newOptions(prepare.Replica, s.adminClient("alice")))
	if r.Actor != prepare.User || !hasStep(r, "member of acme", prepare.Done) {
		t.Errorf("steps %+v", r.Steps)
	}
}

func TestKeyIsAddedToAUserWithAnotherKey(t *testing.T) {
	s := newFixture(t)
	old := s.server.AddUser("ec_sync_user")
	s.org.Associate("ec_sync_user")
	s.mustRun(s.newOptions(prepare.Primary, s.superuserClient()))
	if _, err := s.newClient("ec_sync_user", old).Org("acme").Do(t.Context(), "GET", "/roles", nil); err != nil {
		t.Errorf("the old key doesn't work any more: %v", err)
	}
	s.server.ResetRequests()
	if r := s.mustRun(s.newOptions(prepare.Primary, s.superuserClient())); r.Changed || len(s.callerWrites()) > 0 {
		t.Errorf("the second run changed something: %+v", r.Steps)
	}
}

func TestAdminOptionAddsTheActorToAdmins(t *testing.T) {
	s := newFixture(t)
	o := s.newOptions(prepare.Replica, s.superuserClient())
	o.Admin = true
	r := s.mustRun(o)
	if !slices.Contains(r.Groups, "admins") {
		t.Errorf("groups %v", r.Groups)
	}
}

func TestCheckChangesNothing(t *testing.T) {
	s := newFixture(t)
	o := s.newOptions(prepare.Replica, s.superuserClient())
	o.Check = true
	r, err := prepare.Run(t.Context(), o)
	if err != nil || r.Ready || !hasStep(r, "private key", prepare.Missing) {
		t.Errorf("error %v, report %+v", err, r)
	}
	if w := s.server.Requests().Writes(); len(w) > 0 {
		t.Errorf("a check wrote: %v", w)
	}
	if _, err := os.Stat(s.key.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a check created the key: %v", err)
	}

	s.mustRun(s.newOptions(prepare.Replica, s.superuserClient()))
	s.server.ResetRequests()
	o = s.newOptions(prepare.Replica, nil) // without a caller
	o.Check = true
	if r := s.mustRun(o); r.Changed {
		t.Errorf("a check changed something: %+v", r)
	}
}

func TestErrorsNameTheKeyAndTheOrganization(t *testing.T) {
	for _, c := range []struct {
		name   string
		caller func(*fixture) *chef.Client
		org    string
		class  fault.Class
		words  []string
	}{
		{"wrong key", func(s *fixture) *chef.Client { s.server.AddUser("alice"); return s.newClient("alice", otherKey(s.t)) }, "acme",
			fault.Denied, []string{"caller alice", "organization acme", "401"}},
		{"not a member", func(s *fixture) *chef.Client { return s.newClient("bob", s.server.AddUser("bob")) }, "acme",
			fault.Denied, []string{"caller bob", "organization acme", "403"}},
		{"not an admin", func(s *fixture) *chef.Client {
			k := s.server.AddUser("carol")
			s.org.Associate("carol")
			return s.newClient("carol", k)
		}, "acme", fault.Forbidden, []string{"caller carol", "organization acme", "403"}},
		{"no organization", (*fixture).superuserClient, "nowhere", fault.NoOrganization, []string{"organization nowhere", "404"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFixture(t)
			o := s.newOptions(prepare.Replica, c.caller(s))
			o.Org = c.org
			_, err := prepare.Run(t.Context(), o)
			if err == nil || fault.ClassOf(err) != c.class || fault.HintOf(err) == "" {
				t.Fatalf("error %v of class %s with hint %q", err, fault.ClassOf(err), fault.HintOf(err))
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q doesn't name %q", err, w)
				}
			}
		})
	}
}

func TestInvalidKeyFileIsNeverReplaced(t *testing.T) {
	s := newFixture(t)
	if err := os.MkdirAll(filepath.Dir(s.key.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.key.Path, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := prepare.Run(t.Context(), s.newOptions(prepare.Primary, s.superuserClient())); err == nil {
		t.Error("Run continued with an invalid key")
	}
	if b, _ := os.ReadFile(s.key.Path); string(b) != "not a key" {
		t.Error("the file was replaced")
	}
	if _, err := s.key.Create(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over an existing file: %v", err)
	}
}

func hasStep(r *prepare.Report, what string, state prepare.State) bool {
	return slices.ContainsFunc(r.Steps, func(s prepare.Step) bool { return s.What == what && s.State == state })
}

func writeKey(t *testing.T, path string, key *rsa.PrivateKey) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, cheftest.PrivatePEM(key), 0o600); err != nil {
		t.Fatal(err)
	}
}

func otherKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := prepare.FileKey{Path: filepath.Join(t.TempDir(), "other.pem")}.Create()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestNoKeyIsCreatedBeforeTheOrganizationIsFound: with a key that no server knows,
// requests would be refused instead of the key being reported missing.
func TestNoKeyIsCreatedBeforeTheOrganizationIsFound(t *testing.T) {
	for name, spoil := range map[string]func(*fixture, *prepare.Options){
		"the server is down":        func(s *fixture, _ *prepare.Options) { s.server.Close() },
		"no such organization":      func(_ *fixture, o *prepare.Options) { o.Org = "missing" },
		"the caller's key is wrong": func(s *fixture, o *prepare.Options) { o.Caller = s.newClient("alice", s.server.AddUser("bob")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t)
			o := s.newOptions(prepare.Replica, s.superuserClient())
			spoil(s, &o)
			r, err := prepare.Run(t.Context(), o)
			if err == nil || r.Changed {
				t.Errorf("%+v, %v", r, err)
			}
			if _, err := os.Stat(s.key.Path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a key was created: %v", err)
			}
		})
	}
}
