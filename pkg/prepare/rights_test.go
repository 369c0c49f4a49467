package prepare_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/prepare"
)

// TestEmptyAdminsGroupIsNotWritten: a server whose authorization service times out
// returns groups without members (docs/chef-server-api.md §10, 1); writing that back
// would lock out all admins.
func TestEmptyAdminsGroupIsNotWritten(t *testing.T) {
	s := newFixture(t)
	alice := s.adminClient("alice")
	o := s.newOptions(prepare.Replica, alice)
	o.Admin = true
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/groups/admins", Status: http.StatusOK,
		Body: `{"actors":[],"users":[],"clients":[],"groups":[],"orgname":"acme","name":"admins","groupname":"admins"}`})
	_, err := prepare.Run(t.Context(), o)
	if fault.ClassOf(err) != fault.Transient || fault.HintOf(err) == "" {
		t.Errorf("error %v of class %s", err, fault.ClassOf(err))
	}
	if slices.Contains(s.callerWrites(), "PUT /organizations/acme/groups/admins") {
		t.Error("the group was written")
	}
}

func TestIncompleteACLIsNotWritten(t *testing.T) {
	s := newFixture(t)
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/containers/cookbooks/_acl", Status: http.StatusOK, Body: `{}`})
	if _, err := prepare.Run(t.Context(), s.newOptions(prepare.Replica, s.adminClient("alice"))); err == nil {
		t.Error("continued without an ACL")
	}
	for _, w := range s.callerWrites() {
		if w == "PUT /organizations/acme/containers/cookbooks/_acl/read" {
			t.Error("the ACL was written without its entries")
		}
	}
}

// TestConfiguredKindsGetRights: an API client may only read policies by default
// (docs/chef-server-api.md §8.1).
func TestConfiguredKindsGetRights(t *testing.T) {
	s := newFixture(t)
	s.org.PutPolicy("old", "r1", `{}`)
	o := s.newOptions(prepare.Replica, s.adminClient("alice"))
	o.Kinds = []object.Kind{object.Policy, object.PolicyGroup, object.CookbookArtifact}
	if r := s.mustRun(o); r.Actor != prepare.Client {
		t.Fatalf("actor %s, want a client", r.Actor)
	}
	key, err := s.key.Load()
	if err != nil {
		t.Fatal(err)
	}
	client := s.newClient("ec_sync_user", key).Org("acme")
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
	if r := s.mustRun(o); r.Changed || len(s.callerWrites()) > 0 {
		t.Errorf("the second run changed something: %+v", r.Steps)
	}
}

func TestServerWithoutPoliciesIsPreparedForOtherKinds(t *testing.T) {
	s := newFixture(t)
	s.server.Fault(cheftest.Fault{Path: "/policies", HTML: true, Status: 404})
	s.server.Fault(cheftest.Fault{Path: "/containers/policies/_acl", Status: 404, Body: `{"error":["Cannot load container policies"]}`})
	for _, side := range []prepare.Side{prepare.Primary, prepare.Replica} {
		o := s.newOptions(side, s.superuserClient())
		o.Kinds = []object.Kind{object.Policy}
		if r := s.mustRun(o); !hasStep(r, "proof: read /policies", prepare.Unknown) {
			t.Errorf("%s: steps %+v", side, r.Steps)
		}
	}
}

// TestAUserOutsideTheGroupUsersGetsRights: who writes the group without its hidden groups takes
// the rights from users that still belong to the organization
// (docs/chef-server-api.md §7.2, §13).
func TestAUserOutsideTheGroupUsersGetsRights(t *testing.T) {
	s := newFixture(t)
	s.org.PutRole("old", `{}`)
	o := s.newOptions(prepare.Replica, s.superuserClient())
	s.mustRun(o)
	if _, err := o.Caller.Org("acme").Do(t.Context(), "PUT", "/groups/users",
		[]byte(`{"groupname":"users","actors":{"users":[],"clients":[],"groups":[]}}`)); err != nil {
		t.Fatal(err)
	}
	r := s.mustRun(o)
	if !r.Changed || !slices.Equal(r.Groups, []string{"chef-sync"}) || hasStep(r, "rights on roles", prepare.Fine) {
		t.Errorf("groups %v, steps %+v", r.Groups, r.Steps)
	}
	key, err := s.key.Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.newClient("ec_sync_user", key).Org("acme").Do(t.Context(), "DELETE", "/roles/old", nil); err != nil {
		t.Errorf("the user may not delete an existing object: %v", err)
	}
	s.server.ResetRequests()
	if r := s.mustRun(o); r.Changed || len(s.callerWrites()) > 0 {
		t.Errorf("the next run changed something: %+v", r.Steps)
	}
}

// TestARightThatTheServerRefusesInSpiteOfTheACL: the hint must be more than to run the same
// command again.
func TestARightThatTheServerRefusesInSpiteOfTheACL(t *testing.T) {
	s := newFixture(t)
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/roles", Status: http.StatusForbidden, Body: `{"error":["missing read permission"]}`,
		Match: func(r *http.Request) bool { return r.Header.Get("X-Ops-UserId") == "ec_sync_user" }})
	r, err := prepare.Run(t.Context(), s.newOptions(prepare.Primary, s.superuserClient()))
	if err == nil || r.Ready || fault.HintOf(err) != "run this again with --org-admin" {
		t.Errorf("error %v with hint %q, report %+v", err, fault.HintOf(err), r)
	}
}

// TestTheNextRunDeletesWhatAnInterruptedProofLeft: on a replica it would be drift.
func TestTheNextRunDeletesWhatAnInterruptedProofLeft(t *testing.T) {
	s := newFixture(t)
	o := s.newOptions(prepare.Replica, s.superuserClient())
	s.server.Fault(cheftest.Fault{Method: "DELETE", Path: "/roles/*", Times: 1, Status: http.StatusServiceUnavailable})
	if _, err := prepare.Run(t.Context(), o); err == nil {
		t.Fatal("the proof was not interrupted")
	}
	s.mustRun(o)
	a, err := o.Caller.Org("acme").Do(t.Context(), "GET", "/roles", nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.Body) != "{}" {
		t.Errorf("roles %s, want none", a.Body)
	}
}

func TestAnObjectThatIsDeletedMeanwhileNeedsNoRights(t *testing.T) {
	s := newFixture(t)
	s.org.PutRole("gone", `{}`)
	s.org.PutRole("old", `{}`)
	alice := s.adminClient("alice")
	gone := s.server.Fault(cheftest.Fault{Method: "GET", Path: "/roles/gone/_acl", Do: func(*http.Request) { s.org.DeleteRole("gone") }})
	s.mustRun(s.newOptions(prepare.Replica, alice))
	if gone.Hits() == 0 {
		t.Error("the role was deleted too early")
	}
	if a, err := alice.Org("acme").Do(t.Context(), "GET", "/roles/old/_acl", nil); err != nil || !strings.Contains(string(a.Body), "chef-sync") {
		t.Errorf("the other role has no rights: %v, %v", a, err)
	}
}

// TestRightsOfAUserAreNotThoseOfAClientWithTheSameName: the creator of an object is in its ACL.
func TestRightsOfAUserAreNotThoseOfAClientWithTheSameName(t *testing.T) {
	s := newFixture(t)
	s.mustRun(s.newOptions(prepare.Replica, s.superuserClient()))
	create := func(name string) {
		key, err := s.key.Load()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.newClient("ec_sync_user", key).Org("acme").Do(t.Context(), "POST", "/roles", []byte(`{"name":"`+name+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	create("of-the-user")
	if err := os.Remove(s.key.Path); err != nil {
		t.Fatal(err)
	}
	o := s.newOptions(prepare.Replica, s.adminClient("alice"))
	o.Actor = prepare.Client
	s.mustRun(o)
	create("of-the-client")
	key, err := s.key.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"of-the-user", "of-the-client"} {
		if _, err := s.newClient("ec_sync_user", key).Org("acme").Do(t.Context(), "DELETE", "/roles/"+name, nil); err != nil {
			t.Errorf("the client may not delete an object: %v", err)
		}
	}
}

// TestAUserThatHasLeftIsKeptInACLs: a server shows it, and takes it back in the form that lists
// users apart only.
func TestAUserThatHasLeftIsKeptInACLs(t *testing.T) {
	s := newFixture(t)
	bob := s.newClient("bob", s.server.AddUser("bob")).Org("acme")
	s.org.Associate("bob")
	if _, err := bob.Do(t.Context(), "POST", "/roles", []byte(`{"name":"of-bob"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.superuserClient().Org("acme").Do(t.Context(), "DELETE", "/users/bob", nil); err != nil {
		t.Fatal(err)
	}
	alice := s.adminClient("alice")
	s.mustRun(s.newOptions(prepare.Replica, alice))
	a, err := alice.Org("acme").Do(t.Context(), "GET", "/roles/of-bob/_acl", nil)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(a.Body); !strings.Contains(text, "bob") || !strings.Contains(text, "chef-sync") {
		t.Errorf("ACL %s", text)
	}
}

// TestActorsThatAreNotListedApartAreRead: chef-zero lists neither users nor clients of an ACL that
// was written as a list of actors, and no actors when it is asked for these.
func TestActorsThatAreNotListedApartAreRead(t *testing.T) {
	s := newFixture(t)
	o := s.newOptions(prepare.Primary, s.superuserClient())
	s.mustRun(o)
	if _, err := o.Caller.Org("acme").Do(t.Context(), "PUT", "/containers/roles/_acl/read",
		[]byte(`{"read":{"actors":["pivotal","ec_sync_user"],"groups":["admins"]}}`)); err != nil {
		t.Fatal(err)
	}
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/containers/roles/_acl", Status: http.StatusOK,
		Body:  `{"read":{"actors":[],"groups":["admins"]}}`,
		Match: func(r *http.Request) bool { return r.URL.RawQuery != "" }})
	s.server.ResetRequests()
	if r := s.mustRun(o); r.Changed || len(s.callerWrites()) > 0 {
		t.Errorf("a right that is there was granted again: %+v", r.Steps)
	}
}
