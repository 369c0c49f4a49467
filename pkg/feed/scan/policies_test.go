package scan_test

import (
	"slices"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// newPolicyFixture returns a fixture that scans Policyfile objects and roles.
func newPolicyFixture(t *testing.T) *fixture {
	w := newFixture(t)
	w.config.Kinds = []object.Kind{object.Role, object.Policy, object.PolicyGroup, object.CookbookArtifact}
	w.org.PutRole("web", `{}`)
	w.org.PutArtifact("a", "0123", cookbookFiles("one"))
	w.org.PutPolicy("app", "r1", `{}`)
	w.org.BindPolicy("prod", "app", "r1")
	return w
}

func TestPolicyfileObjectsAreFoundByTheirLists(t *testing.T) {
	w := newPolicyFixture(t)
	w.beginChangeLog()
	w.takeRequests()
	w.scanAndWantRows()
	if got := w.takeRequests(); len(got) != 5 { // a single role is read without search
		t.Errorf("an idle scan sent %q", got)
	}
	w.org.PutArtifact("a", "4567", cookbookFiles("two"))
	w.org.PutPolicy("app", "r2", `{}`)
	w.org.BindPolicy("prod", "app", "r2")
	w.org.BindPolicy("test", "app", "r1")
	w.scanAndWantRows("create /cookbook_artifacts/a/4567", "create /policies/app/revisions/r2",
		"update /policy_groups/prod/policies/app", "create /policy_groups/test/policies/app")
	w.org.DeletePolicyGroup("prod")
	w.org.DeletePolicy("app", "r1") // the group test loses it
	w.org.DeleteArtifact("a", "0123")
	w.scanAndWantRows("delete /policy_groups/test/policies/app", "delete /policy_groups/prod/policies/app",
		"delete /policies/app/revisions/r1", "delete /cookbook_artifacts/a/0123")
	w.scanAndWantRows()
}

// TestListThatOmitsAPolicyDeletesNothing: the object that is read for confirmation is
// treated as listed.
func TestListThatOmitsAPolicyDeletesNothing(t *testing.T) {
	w := newPolicyFixture(t)
	w.beginChangeLog()
	for _, f := range []cheftest.Fault{{Path: "/policies", Status: 200, Body: `{}`},
		{Path: "/policy_groups", Status: 200, Body: `{}`}, {Path: "/cookbook_artifacts", Status: 200, Body: `{}`}} {
		f.Times = 1
		w.primary.Fault(f)
	}
	w.scanAndWantRows()
	w.scanAndWantRows()
}

func TestPrimaryWithoutPoliciesIsScannedForOtherKinds(t *testing.T) {
	w := newPolicyFixture(t)
	w.beginChangeLog()
	for _, path := range []string{"/policies", "/policy_groups", "/cookbook_artifacts"} {
		w.primary.Fault(cheftest.Fault{Path: path, Status: 200, EmptyBody: true})
	}
	w.org.PutRole("web", `{"description":"changed"}`)
	r := w.scanAndWantRows("update /roles/web")
	if len(r.Failed) != 3 || slices.ContainsFunc(r.Failed, func(err error) bool { return fault.ClassOf(err) != fault.Unserved }) {
		t.Errorf("failed %v, want the three kinds that the server does not serve", r.Failed)
	}
}
