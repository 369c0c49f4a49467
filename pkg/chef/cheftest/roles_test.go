package cheftest_test

import "testing"

func TestRoles(t *testing.T) {
	w := newTestServer(t)
	w.wantStatus(200, "GET", "/roles", "", "{}")
	w.wantStatus(201, "POST", "/roles", `{"name":"web","run_list":["nginx","recipe[nginx]","role[base]"]}`,
		`{"uri":"http://chef.test/organizations/acme/roles/web"}`)
	w.wantStatus(409, "POST", "/roles", `{"name":"web"}`, `{"error":["Role already exists"]}`)
	w.wantStatus(200, "GET", "/roles/web", "", `"run_list":["recipe[nginx]","role[base]"]`, `"json_class":"Chef::Role"`, `"env_run_lists":{}`)
	w.wantStatus(400, "PUT", "/roles/web", `{"name":"db"}`, "Role name mismatch.")
	w.wantStatus(400, "PUT", "/roles/web", `{"zzz":1}`, `Invalid key zzz in request body`)
	w.wantStatus(400, "PUT", "/roles/web", `{"run_list":["role[a:b]"]}`, `is not a valid run list`)
	w.wantStatus(400, "PUT", "/roles/web", `{`, `invalid JSON`)
	w.wantStatus(404, "PUT", "/roles/db", `{}`, `Cannot load role db`)
	w.wantStatus(200, "PUT", "/roles/web", `{"description":"d","default_attributes":{"big":12345678901234567890,"f":1e3}}`,
		`"big":12345678901234567890,"f":1000.0`)
	w.wantStatus(200, "DELETE", "/roles/web", "", `"description":"d"`)
	r := w.wantStatus(404, "GET", "/roles/web", "")
	if !r.Genuine() || r.Header.Get("Content-Type") != "" {
		t.Errorf("an absent object has the version header and no Content-Type, got %v", r.Header)
	}
}
