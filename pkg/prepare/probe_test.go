package prepare_test

import (
	"crypto/rsa"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/prepare"
)

// check is a check by the actor alone, which must change nothing.
func (s *site) check(side prepare.Side) *prepare.Report {
	s.t.Helper()
	before := s.org.Snapshot()
	s.server.ResetRequests()
	o := s.options(side, nil)
	o.Check = true
	r, err := prepare.Run(s.t.Context(), o)
	if err != nil {
		s.t.Fatalf("%v\n%+v", err, r)
	}
	if d := cmp.Diff(before, s.org.Snapshot()); d != "" {
		s.t.Errorf("the check changed the organization:\n%s", d)
	}
	for _, q := range s.server.Requests() {
		if q.Method != http.MethodGet && q.Status < 300 {
			s.t.Errorf("the check wrote: %+v", q)
		}
	}
	return r
}

// some puts an object of each kind on the organization.
func (s *site) some() {
	s.org.PutRole("web", `{"run_list":["recipe[a]"]}`)
	s.org.PutDataBagItem("users", "alice", `{"secret":"x"}`)
	s.org.PutCookbook("a", "1.0.0", map[string][]byte{"metadata.rb": []byte("x")}, true)
	s.org.PutEnvironment("prod", `{}`)
}

// A client of the organization reads all and writes nothing.
func TestACheckFindsAReplicaThatMayNotBeWritten(t *testing.T) {
	for name, fill := range map[string]func(*site){"with objects": (*site).some, "empty": func(*site) {}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			fill(s)
			writeKey(t, s.key.Path, s.org.AddClient("ec_sync_user"))
			r := s.check(prepare.Replica)
			want := []string{"data", "environments", "roles", "sandboxes"}
			if name == "empty" {
				want = []string{"environments", "sandboxes"}
			}
			if r.Ready || !slices.Equal(r.Refused, want) {
				t.Errorf("ready %t, refused %v, want %v\n%+v", r.Ready, r.Refused, want, r.Steps)
			}
			if p := s.check(prepare.Primary); !p.Ready || len(p.Refused)+len(p.Unchecked) > 0 {
				t.Errorf("a primary is only read: %+v", p)
			}
		})
	}
}

func TestACheckSaysWhichRightsItCouldNotLookAt(t *testing.T) {
	s := newSite(t)
	s.some()
	writeKey(t, s.key.Path, s.server.AddUser("ec_sync_user"))
	s.org.Associate("ec_sync_user")
	r := s.check(prepare.Replica)
	if !r.Ready || len(r.Refused) > 0 || !slices.Equal(r.Unchecked, []string{"create in cookbooks", "update and delete"}) {
		t.Errorf("a plain user: %+v", r)
	}
	if !hasStep(r, "rights on roles", prepare.Fine) || !hasStep(r, "rights on cookbooks", prepare.Unknown) || !hasStep(r, "rights on sandboxes", prepare.Fine) {
		t.Errorf("steps %+v", r.Steps)
	}

	s.org.AddToGroup("admins", "ec_sync_user") // may read the ACLs
	if r := s.check(prepare.Replica); !r.Ready || len(r.Unchecked) > 0 || !hasStep(r, "rights on cookbooks", prepare.Fine) {
		t.Errorf("an admin: %+v", r)
	}

	// What an ACL doesn't show isn't taken for missing: groups may hold groups.
	s.org.SetACE("containers/roles", "delete", "others")
	if r := s.check(prepare.Replica); !r.Ready || !slices.Equal(r.Unchecked, []string{"update and delete"}) {
		t.Errorf("an admin and an ACL that doesn't show it: %+v", r)
	}
}

// With the key of an admin the ACLs say all there is to know.
func TestACheckWithAnAdminsKeyLeavesNothingUnchecked(t *testing.T) {
	s := newSite(t)
	s.run(s.options(prepare.Replica, s.superuser()))
	o := s.options(prepare.Replica, s.superuser())
	o.Check = true
	if r := s.run(o); len(r.Refused)+len(r.Unchecked) > 0 {
		t.Errorf("%+v", r)
	}
	s.org.SetACE("containers/roles", "create", "admins")
	if r, err := prepare.Run(t.Context(), o); err != nil || r.Ready || !hasStep(r, "rights on roles", prepare.Missing) {
		t.Errorf("%v, %+v", err, r)
	}
}

// The object of a probe may go between the list and the probe: what was created
// then goes again.
func TestAProbeLeavesNothingBehind(t *testing.T) {
	s := newSite(t)
	s.org.PutRole("there", `{}`)
	writeKey(t, s.key.Path, s.server.AddUser("ec_sync_user"))
	s.org.Associate("ec_sync_user")
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/organizations/acme/roles", Status: http.StatusOK, Body: `{"gone":"https://x/roles/gone"}`})
	o := s.options(prepare.Replica, nil)
	o.Check = true
	r, err := prepare.Run(t.Context(), o)
	if err != nil || !hasStep(r, "rights on roles", prepare.Fine) {
		t.Errorf("%v, %+v", err, r)
	}
	for path := range s.org.Snapshot() {
		if strings.Contains(path, "gone") {
			t.Errorf("%s stayed", path)
		}
	}
}

func TestAProbeThatFailsIsNoRight(t *testing.T) {
	s := newSite(t)
	s.some()
	writeKey(t, s.key.Path, s.server.AddUser("ec_sync_user"))
	s.org.Associate("ec_sync_user")
	s.server.Fault(cheftest.Fault{Method: "POST", Path: "/organizations/acme/roles", Status: http.StatusServiceUnavailable})
	o := s.options(prepare.Replica, nil)
	o.Check = true
	if r, err := prepare.Run(t.Context(), o); err == nil || r.Ready {
		t.Errorf("%+v", r)
	}
}

// A server without organizations knows admins, who may do all, and others.
func TestACheckOfAServerWithoutOrganizations(t *testing.T) {
	server := cheftest.Start(t, cheftest.Options{Orgless: true})
	s := &site{t: t, server: server, org: server.Org("")}
	for name, key := range map[string]*rsa.PrivateKey{"admin": server.AddUser("admin"), "reader": s.org.AddClient("reader")} {
		s.key = prepare.FileKey{Path: filepath.Join(t.TempDir(), "keys", "sync.pem")}
		writeKey(t, s.key.Path, key)
		o := s.options(prepare.Replica, nil)
		o.Name, o.Check = name, true
		o.Connect = func(k *rsa.PrivateKey) (*chef.Client, error) {
			return chef.New(chef.Config{Name: "eu", URL: server.URL, Orgless: true, User: name, Key: k, Retry: chef.RetryPolicy{Attempts: 1}})
		}
		r, err := prepare.Run(t.Context(), o)
		if err != nil || r.Ready != (name == "admin") || len(r.Refused) > 0 != (name == "reader") || name == "admin" && len(r.Unchecked) > 0 {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}
