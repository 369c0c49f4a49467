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

// mustCheck runs a check by the actor alone, which must not change anything.
func (s *fixture) mustCheck(side prepare.Side) *prepare.Report {
	s.t.Helper()
	before := s.org.Snapshot()
	s.server.ResetRequests()
	o := s.newOptions(side, nil)
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

// addObjects adds an object of each default kind to the organization.
func (s *fixture) addObjects() {
	s.org.PutRole("web", `{"run_list":["recipe[a]"]}`)
	s.org.PutDataBagItem("users", "alice", `{"secret":"x"}`)
	s.org.PutCookbook("a", "1.0.0", map[string][]byte{"metadata.rb": []byte("x")}, true)
	s.org.PutEnvironment("prod", `{}`)
}

// TestCheckFindsAReplicaWithoutWriteAccess: a client of the organization may read
// everything and write nothing.
func TestCheckFindsAReplicaWithoutWriteAccess(t *testing.T) {
	for name, fill := range map[string]func(*fixture){"with objects": (*fixture).addObjects, "empty": func(*fixture) {}} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t)
			fill(s)
			writeKey(t, s.key.Path, s.org.AddClient("ec_sync_user"))
			r := s.mustCheck(prepare.Replica)
			want := []string{"data", "environments", "roles", "sandboxes"}
			if name == "empty" {
				want = []string{"environments", "sandboxes"}
			}
			if r.Ready || !slices.Equal(r.Refused, want) {
				t.Errorf("ready %t, refused %v, want %v\n%+v", r.Ready, r.Refused, want, r.Steps)
			}
			if p := s.mustCheck(prepare.Primary); !p.Ready || len(p.Refused)+len(p.Unchecked) > 0 {
				t.Errorf("a primary is only read: %+v", p)
			}
		})
	}
}

func TestCheckReportsUncheckedRights(t *testing.T) {
	s := newFixture(t)
	s.addObjects()
	writeKey(t, s.key.Path, s.server.AddUser("ec_sync_user"))
	s.org.Associate("ec_sync_user")
	r := s.mustCheck(prepare.Replica)
	if !r.Ready || len(r.Refused) > 0 || !slices.Equal(r.Unchecked, []string{"create in cookbooks", "update and delete"}) {
		t.Errorf("a plain user: %+v", r)
	}
	if !hasStep(r, "rights on roles", prepare.Fine) || !hasStep(r, "rights on cookbooks", prepare.Unknown) ||
		!hasStep(r, "rights on sandboxes", prepare.Fine) {
		t.Errorf("steps %+v", r.Steps)
	}

	s.org.AddToGroup("admins", "ec_sync_user") // may read the ACLs
	if r := s.mustCheck(prepare.Replica); !r.Ready || len(r.Unchecked) > 0 || !hasStep(r, "rights on cookbooks", prepare.Fine) {
		t.Errorf("an admin: %+v", r)
	}

	// A right that an ACL doesn't show may come from a nested group.
	s.org.SetACE("containers/roles", "delete", "others")
	if r := s.mustCheck(prepare.Replica); !r.Ready || !slices.Equal(r.Unchecked, []string{"update and delete"}) {
		t.Errorf("an admin and an ACL that doesn't show it: %+v", r)
	}
}

// TestCheckByAnAdminChecksAllRights: an admin may read all ACLs.
func TestCheckByAnAdminChecksAllRights(t *testing.T) {
	s := newFixture(t)
	s.mustRun(s.newOptions(prepare.Replica, s.superuserClient()))
	o := s.newOptions(prepare.Replica, s.superuserClient())
	o.Check = true
	if r := s.mustRun(o); len(r.Refused)+len(r.Unchecked) > 0 {
		t.Errorf("%+v", r)
	}
	s.org.SetACE("containers/roles", "create", "admins")
	if r, err := prepare.Run(t.Context(), o); err != nil || r.Ready || !hasStep(r, "rights on roles", prepare.Missing) {
		t.Errorf("%v, %+v", err, r)
	}
}

// TestProbeDeletesWhatItCreated: the object of a probe may be deleted after it was
// listed; then the probe creates it and must delete it.
func TestProbeDeletesWhatItCreated(t *testing.T) {
	s := newFixture(t)
	s.org.PutRole("there", `{}`)
	writeKey(t, s.key.Path, s.server.AddUser("ec_sync_user"))
	s.org.Associate("ec_sync_user")
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/organizations/acme/roles", Status: http.StatusOK,
		Body: `{"gone":"https://x/roles/gone"}`})
	o := s.newOptions(prepare.Replica, nil)
	o.Check = true
	r, err := prepare.Run(t.Context(), o)
	if err != nil || !hasStep(r, "rights on roles", prepare.Fine) {
		t.Errorf("%v, %+v", err, r)
	}
	for path := range s.org.Snapshot() {
		if strings.Contains(path, "gone") {
			t.Errorf("%s was not deleted", path)
		}
	}
}

func TestFailedProbeProvesNoRight(t *testing.T) {
	s := newFixture(t)
	s.addObjects()
	writeKey(t, s.key.Path, s.server.AddUser("ec_sync_user"))
	s.org.Associate("ec_sync_user")
	s.server.Fault(cheftest.Fault{Method: "POST", Path: "/organizations/acme/roles", Status: http.StatusServiceUnavailable})
	o := s.newOptions(prepare.Replica, nil)
	o.Check = true
	if r, err := prepare.Run(t.Context(), o); err == nil || r.Ready {
		t.Errorf("%+v", r)
	}
}

// TestCheckOfAServerWithoutOrganizations: there, admins may do everything, others
// nothing.
func TestCheckOfAServerWithoutOrganizations(t *testing.T) {
	server := cheftest.Start(t, cheftest.Options{Orgless: true})
	s := &fixture{t: t, server: server, org: server.Org("")}
	for name, key := range map[string]*rsa.PrivateKey{"admin": server.AddUser("admin"), "reader": s.org.AddClient("reader")} {
		s.key = prepare.FileKey{Path: filepath.Join(t.TempDir(), "keys", "sync.pem")}
		writeKey(t, s.key.Path, key)
		o := s.newOptions(prepare.Replica, nil)
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
