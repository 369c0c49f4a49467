package cheftest_test

import (
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
)

func TestPolicies(t *testing.T) {
	w := newTestServer(t)
	rev := func(id string) string {
		return `{"name":"app","revision_id":"` + id + `","run_list":["recipe[a::default]"],"cookbook_locks":{"a":{"identifier":"x"}},"extra":1}`
	}
	if r := w.wantStatus(404, "GET", "/policies/app", "", "<html>"); !r.Genuine() {
		t.Error("an absent policy is an HTML page with the version header")
	}
	w.wantStatus(201, "POST", "/policies/app/revisions", rev("r1"), `"extra":1`)
	w.wantStatus(409, "POST", "/policies/app/revisions", rev("r1"), "already exists")
	w.wantStatus(400, "POST", "/policies/other/revisions", rev("r1"), "does not match")
	w.wantStatus(400, "POST", "/policies/app/revisions", strings.Replace(rev("r2"), "a::default", "a", 1), "run_list")
	w.wantStatus(201, "PUT", "/policy_groups/prod/policies/app", rev("r2"))
	w.wantStatus(200, "PUT", "/policy_groups/prod/policies/app", rev("r1"))
	w.wantStatus(200, "GET", "/policies", "", `{"app":{"uri":"http://chef.test/organizations/acme/policies/app",`+
		`"revisions":{"r1":{},"r2":{}}}}`)
	w.wantStatus(200, "GET", "/policies/app/revisions/r1", "", `"policy_group_list":["prod"]`)
	w.wantStatus(200, "GET", "/policy_groups", "", `"policies":{"app":{"revision_id":"r1"}}`)
	w.wantStatus(200, "GET", "/policy_groups/prod/policies/app", "", `"revision_id":"r1"`)
	w.wantStatus(200, "DELETE", "/policies/app/revisions/r1", "")
	w.wantStatus(404, "GET", "/policy_groups/prod/policies/app", "", "Cannot load policy app in policy group prod")
	w.wantStatus(200, "GET", "/policy_groups/prod", "", `"policies":{}`)
	w.wantStatus(200, "DELETE", "/policy_groups/prod", "")
	w.wantStatus(200, "DELETE", "/policies/app", "", "r2")
	w.wantStatus(404, "DELETE", "/policies/app", "")
}

func TestArtifacts(t *testing.T) {
	w := newTestServer(t)
	sum := cheftest.MD5([]byte("x"))
	body := `{"name":"a","identifier":"id1","version":"1.0.0","metadata":{"version":"1.0.0"},"all_files":[
		{"name":"recipes/default.rb","path":"recipes/default.rb","checksum":"` + sum + `","specificity":"default"}]}`
	w.wantStatus(400, "PUT", "/cookbook_artifacts/a/id1", body, "hasn't been uploaded")
	w.wantStatus(404, "GET", "/cookbook_artifacts/a/id1", "") // nothing stays behind
	w.uploadFiles("x")
	w.wantStatus(201, "PUT", "/cookbook_artifacts/a/id1", body)
	w.wantStatus(409, "PUT", "/cookbook_artifacts/a/id1", body, "Cookbook artifact already exists")
	w.wantStatus(400, "PUT", "/cookbook_artifacts/a/id2", body, "does not match")
	w.wantStatus(200, "GET", "/cookbook_artifacts", "", `{"a":{"url":"`, `"identifier":"id1"`)
	w.wantStatus(200, "GET", "/cookbook_artifacts/a/id1", "", `"all_files"`, "/bookshelf/")
	w.as.Version = "1"
	w.wantStatus(200, "GET", "/cookbook_artifacts/a/id1", "", `"recipes":[{"name":"default.rb"`)
	w.wantStatus(200, "DELETE", "/cookbook_artifacts/a/id1", "")
	w.wantStatus(404, "GET", "/cookbook_artifacts/a", "")
	w.wantStatus(201, "POST", "/sandboxes", `{"checksums":{"`+sum+`":null}}`, `"needs_upload":true`)
}
