package prepare_test

import (
	"net/http"
	"slices"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/object"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// A server whose authorization service times out shows groups without members
// (docs/chef-server-api.md §10, 1): written back, that would lock all admins out.
func TestAGroupOfAdminsThatShowsNobodyIsNotWritten(t *testing.T) {
	s := newSite(t)
	alice := s.admin("alice")
	o := s.options(prepare.Replica, alice)
	o.Admin = true
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/groups/admins", Status: http.StatusOK,
		Body: `{"actors":[],"users":[],"clients":[],"groups":[],"orgname":"acme","name":"admins","groupname":"admins"}`})
	_, err := prepare.Run(t.Context(), o)
	if replication.ClassOf(err) != replication.Transient || replication.HintOf(err) == "" {
		t.Errorf("error %v of class %s", err, replication.ClassOf(err))
	}
	if slices.Contains(s.writes(), "PUT /organizations/acme/groups/admins") {
		t.Error("the group was written")
	}
}

func TestAnACLThatDoesNotShowAPermissionIsNotWritten(t *testing.T) {
	s := newSite(t)
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/containers/cookbooks/_acl", Status: http.StatusOK, Body: `{}`})
	if _, err := prepare.Run(t.Context(), s.options(prepare.Replica, s.admin("alice"))); err == nil {
		t.Error("went on without an ACL")
	}
	for _, w := range s.writes() {
		if w == "PUT /organizations/acme/containers/cookbooks/_acl/read" {
			t.Error("the ACL was written without those who were on it")
		}
	}
}

// An API client may only read policies by default (docs/chef-server-api.md §8.1).
func TestTheKindsThatAreReplicatedAreTheOnesThatGetRights(t *testing.T) {
	s := newSite(t)
	s.org.PutPolicy("old", "r1", `{}`)
	o := s.options(prepare.Replica, s.admin("alice"))
	o.Kinds = []object.Kind{object.Policy, object.PolicyGroup, object.CookbookArtifact}
	if r := s.run(o); r.Actor != prepare.Client {
		t.Fatalf("actor %s, want a client", r.Actor)
	}
	key, err := s.key.Load()
	if err != nil {
		t.Fatal(err)
	}
	client := s.client("ec_sync_user", key).Org("acme")
	doc := []byte(`{"name":"app","revision_id":"r1","run_list":["recipe[a::default]"],"cookbook_locks":{}}`)
	for _, c := range []struct{ method, path string }{
		{"POST", "/policies/app/revisions"}, {"PUT", "/policy_groups/prod/policies/app"}, {"DELETE", "/policies/old/revisions/r1"},
	} {
		body := doc
		if c.method == "DELETE" {
			body = nil
		}
		if _, err := client.Do(t.Context(), c.method, c.path, body); err != nil {
			t.Error(err)
		}
	}
	s.server.ResetRequests()
	if r := s.run(o); r.Changed || len(s.writes()) > 0 {
		t.Errorf("the second run changed something: %+v", r.Steps)
	}
}

func TestAServerWithoutPoliciesIsPreparedForTheOtherKinds(t *testing.T) {
	s := newSite(t)
	s.server.Fault(cheftest.Fault{Path: "/policies", HTML: true, Status: 404})
	s.server.Fault(cheftest.Fault{Path: "/containers/policies/_acl", Status: 404, Body: `{"error":["Cannot load container policies"]}`})
	for _, side := range []prepare.Side{prepare.Primary, prepare.Replica} {
		o := s.options(side, s.superuser())
		o.Kinds = []object.Kind{object.Policy}
		if r := s.run(o); !hasStep(r, "proof: read /policies", prepare.Unknown) {
			t.Errorf("%s: steps %+v", side, r.Steps)
		}
	}
}
