package cheftest_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestNewClientHasNoPermissions(t *testing.T) {
	w := newTestServer(t)
	w.org.PutRole("web", `{}`)
	w.org.PutDataBagItem("bag", "item", `{}`)
	w.org.PutCookbook("nginx", "1.0.0", map[string][]byte{"metadata.rb": []byte("x")}, false)
	c := w.addClient("reader")
	for _, path := range []string{
		"/roles", "/roles/web", "/environments", "/environments/_default", "/data", "/data/bag", "/data/bag/item", "/cookbooks",
		"/cookbooks/nginx/1.0.0", "/search/role", "/policies", "/policy_groups", "/cookbook_artifacts", "/universe", "/principals/reader",
	} {
		w.wantAs(c, 200, "GET", path, "")
	}
	w.wantAs(c, 403, "GET", "/groups", "", "missing read permission")
	w.wantAs(c, 403, "GET", "/clients", "")
	for _, x := range [][3]string{
		{"POST", "/roles", `{"name":"x"}`}, {"PUT", "/roles/web", `{}`}, {"DELETE", "/roles/web", ""},
		{"POST", "/environments", `{"name":"x"}`}, {"POST", "/data", `{"name":"x"}`}, {"POST", "/data/bag", `{"id":"x"}`},
		{"PUT", "/data/bag/item", `{}`}, {"DELETE", "/data/bag", ""}, {"DELETE", "/cookbooks/nginx/1.0.0", ""},
		{"POST", "/sandboxes", `{"checksums":{"d41d8cd98f00b204e9800998ecf8427e":null}}`},
		{"PUT", "/groups/admins", `{"groupname":"admins"}`}, {"POST", "/clients", `{"name":"x"}`},
		{"PUT", "/cookbooks/new/1.0.0", `{"name":"new-1.0.0","cookbook_name":"new","metadata":{"version":"1.0.0"}}`},
	} {
		w.wantAs(c, 403, x[0], x[1], x[2], "permission")
	}
	w.wantAs(c, 404, "DELETE", "/roles/gone", "") // absence is told before rights
}

func TestMemberMayWriteButIsNoAdmin(t *testing.T) {
	w := newTestServer(t)
	w.wantStatus(201, "POST", "/roles", `{"name":"web"}`)
	w.wantStatus(201, "POST", "/sandboxes", `{"checksums":{"d41d8cd98f00b204e9800998ecf8427e":null}}`)
	w.wantStatus(200, "GET", "/groups", "")
	w.wantStatus(403, "PUT", "/groups/admins", `{"groupname":"admins"}`, "missing update permission")
	w.wantStatus(403, "POST", "/clients", `{"name":"x"}`, "missing create permission")
	w.wantStatus(403, "GET", "/containers/roles/_acl", "")
	w.wantStatus(200, "GET", "/roles/web/_acl", "", `"actors":["alice","pivotal"]`) // the creator has all rights
	w.wantStatus(403, "POST", "/users", `{"username":"alice"}`)
}

func TestGroupsReplaceTheirLists(t *testing.T) {
	w := newTestServer(t)
	admin := w.superuser()
	w.srv.AddUser("bob")
	w.wantAs(admin, 200, "GET", "/groups/admins", "",
		`{"actors":["pivotal"],"users":["pivotal"],"clients":[],"groups":[],"orgname":"acme","name":"admins","groupname":"admins"}`)
	body := `{"groupname":"admins","actors":{"users":["pivotal","alice","ghost"],"clients":[],"groups":[]}}`
	if r := w.wantAs(admin, 200, "PUT", "/groups/admins", body); string(r.Body) != body {
		t.Errorf("the body is echoed, ghosts and all, got %s", r.Body)
	}
	w.wantAs(admin, 200, "GET", "/groups/admins", "", `"users":["pivotal","alice"]`)
	w.wantStatus(201, "POST", "/clients", `{"name":"made-by-alice"}`)
	w.wantAs(admin, 200, "PUT", "/groups/users", `{"groupname":"users","actors":{"users":["alice"],"clients":[],"groups":[]}}`)
	w.wantAs(admin, 200, "PUT", "/groups/admins", `{"groupname":"admins","actors":{"users":["pivotal"]}}`)
	w.wantStatus(200, "GET", "/roles", "")
	w.wantAs(admin, 200, "PUT", "/groups/users", `{"groupname":"users","actors":{"users":[],"groups":[]}}`)
	w.wantStatus(403, "GET", "/roles", "", "missing read permission")
	w.wantAs(admin, 200, "GET", "/users", "", "alice") // still a member, without rights
	w.wantAs(admin, 201, "POST", "/groups", `{"groupname":"replicators","actors":{"users":["alice"]}}`)
	w.wantAs(admin, 200, "GET", "/groups/replicators", "", `"users":[]`) // members of a new group are ignored
	w.wantAs(admin, 409, "POST", "/groups", `{"groupname":"replicators"}`)
	w.wantAs(admin, 201, "PUT", "/groups/replicators", `{"groupname":"syncers"}`)
	w.wantAs(admin, 404, "GET", "/groups/replicators", "")
	w.wantAs(admin, 200, "DELETE", "/groups/syncers", "")
	w.wantAs(admin, 403, "DELETE", "/groups/admins", "")
}

func TestPermissionsComeFromACLs(t *testing.T) {
	w := newTestServer(t)
	w.org.PutRole("before", `{}`)
	admin, c := w.superuser(), w.addClient("writer")
	w.wantAs(admin, 201, "POST", "/groups", `{"groupname":"replicators"}`)
	w.wantAs(admin, 200, "PUT", "/groups/replicators", `{"groupname":"replicators","actors":{"clients":["writer"]}}`)
	for _, perm := range []string{"create", "update", "delete"} {
		w.wantAs(admin, 200, "PUT", "/containers/roles/_acl/"+perm,
			`{"`+perm+`":{"actors":["pivotal"],"groups":["admins","users","replicators"]}}`, "{}")
	}
	w.wantAs(admin, 200, "GET", "/containers/roles/_acl", "", `"update":{"actors":["pivotal"],"groups":["admins","replicators","users"]}`)
	w.wantAs(c, 201, "POST", "/roles", `{"name":"mine"}`)
	w.wantAs(c, 200, "PUT", "/roles/mine", `{}`)
	w.wantAs(c, 403, "PUT", "/roles/before", `{}`) // rights are copied at creation
	w.org.PutRole("after", `{}`)
	w.wantAs(c, 200, "PUT", "/roles/after", `{}`)
	w.wantAs(admin, 400, "PUT", "/roles/mine/_acl/read", `{"read":{"actors":["ghost"],"groups":[]}}`, "ghost")
	w.wantAs(admin, 400, "PUT", "/roles/mine/_acl/read", `{"read":{"actors":[],"groups":["ghosts"]}}`, "ghosts")
	w.srv.AddUser("outsider")
	w.wantAs(admin, 400, "PUT", "/roles/mine/_acl/read", `{"read":{"actors":["outsider"],"groups":[]}}`, "outsider")
	w.wantAs(admin, 200, "PUT", "/roles/mine/_acl/read", `{"read":{"actors":[],"users":["outsider"],"clients":[],"groups":[]}}`)
	w.wantAs(admin, 200, "PUT", "/roles/mine/_acl/read", `{"read":{"actors":["writer"],"groups":[]}}`)
	w.wantStatus(200, "GET", "/roles", "", "mine")
	w.wantStatus(403, "GET", "/roles/mine", "", "missing read permission") // listed, and not readable
	w.wantAs(admin, 404, "GET", "/roles/gone/_acl", "")
	w.org.AddClient("alice")
	w.wantAs(admin, 422, "PUT", "/roles/mine/_acl/read", `{"read":{"actors":["alice"],"groups":[]}}`, "both clients and users")
	w.wantAs(admin, 200, "PUT", "/roles/mine/_acl/read", `{"read":{"actors":[],"users":["alice"],"clients":[],"groups":[]}}`)
	w.wantAs(admin, 200, "GET", "/roles/mine/_acl?detail=granular", "", `"users":["alice"],"clients":[]`)
	w.wantStatus(200, "GET", "/roles/mine", "")
	w.org.SetACE("roles/mine", "read")
	w.wantStatus(403, "GET", "/roles/mine", "")
	w.wantAs(admin, 200, "GET", "/organizations/_acl", "", `"grant"`)
}

func TestPreparingAnOrganizationBySuperuser(t *testing.T) {
	w := newTestServer(t)
	admin, root := w.superuser(), w.atRoot(w.superuser())
	user := `{"username":"sync","display_name":"S","email":"s@example.com","password":"secret1","create_key":true}`
	w.wantAs(root, 201, "POST", "/users", user, "private_key")
	w.wantAs(root, 409, "POST", "/users", user, "Username or email address already in use.")
	w.wantAs(root, 400, "POST", "/users", `{"username":"sync"}`, "missing")
	if r := w.wantAs(admin, 201, "POST", "/users", `{"username":"sync"}`); len(r.Body) != 0 {
		t.Errorf("the answer is empty, got %s", r.Body)
	}
	w.wantAs(admin, 409, "POST", "/users", `{"username":"sync"}`, "The association already exists.")
	w.wantAs(admin, 404, "POST", "/users", `{"username":"ghost"}`)
	w.wantStatus(403, "POST", "/users", `{"username":"sync"}`)
	w.wantAs(admin, 200, "GET", "/users", "", `{"user":{"username":"sync"}}`)
	w.wantAs(root, 200, "GET", "/users/sync/organizations", "", `"name":"acme"`)
	w.wantAs(root, 200, "GET", "/organizations", "", "/organizations/acme")
	w.wantAs(admin, 200, "GET", "", "", `"guid":"`)
	w.wantAs(root, 201, "POST", "/organizations", `{"name":"fresh","full_name":"Fresh"}`, `"clientname":"fresh-validator"`)
}

func TestPreparingAnOrganizationByInvitation(t *testing.T) {
	w := newTestServer(t)
	w.org.AddToGroup("admins", "alice")
	bob := w.as
	bob.User, bob.Key = "bob", w.srv.AddUser("bob")
	r := w.wantStatus(201, "POST", "/association_requests", `{"user":"bob"}`, "/association_requests/")
	uri, _ := r.Object()["uri"].(string)
	id := uri[strings.LastIndex(uri, "/")+1:]
	w.wantStatus(409, "POST", "/association_requests", `{"user":"bob"}`)
	w.wantStatus(404, "POST", "/association_requests", `{"user":"ghost"}`)
	w.wantStatus(200, "GET", "/association_requests", "", `"username":"bob"`)
	own := w.atRoot(bob)
	w.wantAs(own, 200, "GET", "/users/bob/association_requests", "", `"orgname":"acme"`)
	w.wantAs(own, 200, "GET", "/users/bob/association_requests/count", "", `{"value":1}`)
	w.wantAs(w.atRoot(w.as), 403, "PUT", "/users/bob/association_requests/"+id, `{"response":"accept"}`)
	w.wantAs(own, 200, "PUT", "/users/bob/association_requests/"+id, `{"response":"accept"}`)
	w.wantAs(own, 404, "PUT", "/users/bob/association_requests/"+id, `{"response":"accept"}`)
	w.wantAs(bob, 201, "POST", "/roles", `{"name":"by-bob"}`)
	w.wantStatus(409, "POST", "/association_requests", `{"user":"bob"}`)
	w.wantStatus(200, "DELETE", "/users/bob", "")
	w.wantAs(bob, 403, "GET", "/roles", "", "not associated")
	w.wantStatus(403, "DELETE", "/users/alice", "", "admins group")
}

func TestInvitationOfAFormerAdmin(t *testing.T) {
	w := newTestServer(t)
	w.org.AddToGroup("admins", "alice")
	bob := w.as
	bob.User, bob.Key = "bob", w.srv.AddUser("bob")
	uri, _ := w.wantStatus(201, "POST", "/association_requests", `{"user":"bob"}`).Object()["uri"].(string)
	path := "/users/bob/association_requests" + uri[strings.LastIndex(uri, "/"):]
	w.wantAs(w.superuser(), 200, "PUT", "/groups/admins", `{"groupname":"admins","actors":{"users":["pivotal"]}}`)
	w.wantAs(w.atRoot(bob), 403, "PUT", path, `{"response":"accept"}`, "no longer valid")
	w.wantAs(w.atRoot(bob), 404, "PUT", path, `{"response":"accept"}`)
}

func TestIdentities(t *testing.T) {
	a, b := newTestServer(t), newTestServer(t)
	if a.org.GUID() == b.org.GUID() || len(a.org.GUID()) != 32 {
		t.Errorf("%s and %s", a.org.GUID(), b.org.GUID())
	}
	a.wantStatus(200, "GET", "", "", `{"name":"acme","full_name":"acme","guid":"`+a.org.GUID()+`"}`)
	a.wantAs(a.addClient("reader"), 403, "GET", "", "") // clients have no right to the organization itself
	old := a.org.GUID()
	a.srv.DeleteOrg("acme")
	a.wantStatus(404, "GET", "/roles", "", "organization 'acme' does not exist.")
	if a.srv.AddOrg("acme").GUID() == old {
		t.Error("a new organization is another one")
	}
}

func TestServerWithoutOrganizations(t *testing.T) {
	w := newTestServer(t, orglessOptions())
	w.wantStatus(201, "POST", "/roles", `{"name":"web"}`, `{"uri":"http://chef.test/roles/web"}`)
	w.wantStatus(200, "GET", "/roles/web", "")
	c := w.addClient("reader")
	w.wantAs(c, 200, "GET", "/roles/web", "")
	w.wantAs(c, 403, "DELETE", "/roles/web", "")
}

func TestAnswersFollowTheHostHeader(t *testing.T) {
	w := newTestServer(t)
	c := w.as
	c.Edit = func(r *http.Request) {
		r.Host = "chef.example.com:8443"
		r.Header.Set("X-Forwarded-Proto", "https")
	}
	w.org.PutRole("web", `{}`)
	w.wantAs(c, 200, "GET", "/roles", "", `"https://chef.example.com:8443/organizations/acme/roles/web"`)
}
