package scan_test

import (
	"slices"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// policyWorld scans policyfiles besides roles.
func policyWorld(t *testing.T) *world {
	w := newWorld(t)
	w.config.Kinds = []object.Kind{object.Role, object.Policy, object.PolicyGroup, object.CookbookArtifact}
	w.org.PutRole("web", `{}`)
	w.org.PutArtifact("a", "0123", files("one"))
	w.org.PutPolicy("app", "r1", `{}`)
	w.org.BindPolicy("prod", "app", "r1")
	return w
}

func TestPolicyfilesAreFoundByTheirLists(t *testing.T) {
	w := policyWorld(t)
	w.begin()
	w.asked()
	w.scanWants()
	if got := w.asked(); len(got) != 5 { // a lone role is read
		t.Errorf("an idle scan asked %q", got)
	}
	w.org.PutArtifact("a", "4567", files("two"))
	w.org.PutPolicy("app", "r2", `{}`)
	w.org.BindPolicy("prod", "app", "r2")
	w.org.BindPolicy("test", "app", "r1")
	w.scanWants("create /cookbook_artifacts/a/4567", "create /policies/app/revisions/r2",
		"update /policy_groups/prod/policies/app", "create /policy_groups/test/policies/app")
	w.org.DeletePolicyGroup("prod")
	w.org.DeletePolicy("app", "r1") // which the group test loses
	w.org.DeleteArtifact("a", "0123")
	w.scanWants("delete /policy_groups/test/policies/app", "delete /policy_groups/prod/policies/app",
		"delete /policies/app/revisions/r1", "delete /cookbook_artifacts/a/0123")
	w.scanWants()
}

// A list that leaves something out by mistake deletes nothing, and what is read to
// confirm it counts as it was listed.
func TestAListThatForgetsAPolicyIsNotBelieved(t *testing.T) {
	w := policyWorld(t)
	w.begin()
	for _, f := range []cheftest.Fault{{Path: "/policies", Status: 200, Body: `{}`}, {Path: "/policy_groups", Status: 200, Body: `{}`}, {Path: "/cookbook_artifacts", Status: 200, Body: `{}`}} {
		f.Times = 1
		w.primary.Fault(f)
	}
	w.scanWants()
	w.scanWants()
}

func TestAPrimaryWithoutPoliciesIsScannedForTheRest(t *testing.T) {
	w := policyWorld(t)
	w.begin()
	for _, path := range []string{"/policies", "/policy_groups", "/cookbook_artifacts"} {
		w.primary.Fault(cheftest.Fault{Path: path, Status: 200, EmptyBody: true})
	}
	w.org.PutRole("web", `{"description":"changed"}`)
	r := w.scanWants("update /roles/web")
	if len(r.Failed) != 3 || slices.ContainsFunc(r.Failed, func(err error) bool { return replication.ClassOf(err) != replication.Unserved }) {
		t.Errorf("failed %v, want the three kinds that the server does not serve", r.Failed)
	}
}
