package prepare_test

import (
	"net/http"
	"slices"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// A server whose authorization service times out shows groups without members
// (chef-server-api.md §10, 1): written back, that would lock all admins out.
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
