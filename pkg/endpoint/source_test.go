package endpoint

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

func fillOrg(o *cheftest.Org) {
	o.PutRole("web", `{"description":"","run_list":["recipe[a]"],"default_attributes":{"n":12345678901234567890,"f":1.50}}`)
	o.PutRole("a:b", `{"description":"d"}`)
	o.PutEnvironment("prod", `{"cookbook_versions":{"a":"= 1.0.0"}}`)
	o.PutDataBag("empty")
	o.PutDataBagItem("users", "alice", `{"id":"alice","secret":"<&>","ID":"other","name":7}`)
	o.PutCookbook("a", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("one"), "metadata.rb": []byte("two"),
		"files/default/same": []byte("one"), "files/default/empty": {}}, true)
	o.PutCookbook("a", "1.10.0", map[string][]byte{"recipes/default.rb": []byte("three")}, false)
	o.PutCookbook("b", "0.1.0", nil, false)
}

func TestListNamesTheObjectsOfAScope(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	for _, c := range []struct {
		scope object.Scope
		want  []string
	}{
		{object.Scope{Kind: object.Role}, []string{"/roles/a:b", "/roles/web"}},
		{object.Scope{Kind: object.Environment}, []string{"/environments/prod"}},
		{object.Scope{Kind: object.DataBag}, []string{"/data/empty", "/data/users"}},
		{object.Scope{Kind: object.DataBagItem, Name: "users"}, []string{"/data/users/alice"}},
		{object.Scope{Kind: object.DataBagItem, Name: "empty"}, []string{}},
		{object.Scope{Kind: object.DataBagItem, Name: "nobag"}, []string{}},
		{object.Scope{Kind: object.Cookbook}, []string{"/cookbooks/a/1.0.0", "/cookbooks/a/1.10.0", "/cookbooks/b/0.1.0"}},
		{object.Scope{Kind: object.Cookbook, Name: "a"}, []string{"/cookbooks/a/1.0.0", "/cookbooks/a/1.10.0"}},
		{object.Scope{Kind: object.Cookbook, Name: "gone"}, []string{}},
		{object.Scope{Kind: object.Cookbook, Name: "a", Sub: "1.0.0"}, []string{"/cookbooks/a/1.0.0"}},
		{object.Scope{Kind: object.Role, Name: "web"}, []string{"/roles/web"}},
	} {
		refs, err := w.source.List(context.Background(), c.scope)
		if err != nil {
			t.Errorf("%+v: %v", c.scope, err)
		}
		wantStrings(t, fmt.Sprintf("%+v", c.scope), refPaths(refs), c.want...)
	}
	for _, s := range []object.Scope{{}, {Kind: object.DataBagItem}, {Kind: object.Cookbook, Name: ".."}} {
		if _, err := w.source.List(context.Background(), s); err == nil {
			t.Errorf("%+v was listed", s)
		}
	}
}

func TestListReportsErrors(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	scopes := []object.Scope{{Kind: object.Role}, {Kind: object.Cookbook}, {Kind: object.DataBagItem, Name: "users"}}
	for name, c := range map[string]struct {
		fault cheftest.Fault
		want  fault.Class
	}{
		"a page with 200":   {cheftest.Fault{HTML: true}, fault.Foreign},
		"a page with 404":   {cheftest.Fault{HTML: true, Status: 404}, fault.Foreign},
		"null":              {cheftest.Fault{Status: 200, Body: "null"}, fault.Foreign},
		"an array":          {cheftest.Fault{Status: 200, Body: "[]"}, fault.Foreign},
		"half a list":       {cheftest.Fault{Truncate: true}, fault.Foreign},
		"overload":          {cheftest.Fault{Status: 503}, fault.Transient},
		"forbidden":         {cheftest.Fault{Status: 403, Body: `{"error":["missing read permission"]}`}, fault.Forbidden},
		"license":           {cheftest.Fault{Status: 403, Body: `{"error":"x","message":"invalid-license"}`}, fault.Denied},
		"no organization":   {cheftest.Fault{Status: 404, Body: `{"error":["organization 'acme' does not exist."]}`}, fault.NoOrganization},
		"closed connection": {cheftest.Fault{Drop: true}, fault.Unreachable},
		"wrong key":         {cheftest.Fault{Status: 401, Body: `{"error":["Invalid signature for user or client 'x'"]}`}, fault.Denied},
	} {
		h := w.primary.Fault(c.fault)
		for _, s := range scopes {
			refs, err := w.source.List(context.Background(), s)
			e := wantClass(t, err, c.want)
			if refs != nil || e.Hint == "" || !strings.Contains(err.Error(), "on primary") {
				t.Errorf("%s: refs %v, hint %q, error %v", name, refs, e.Hint, err)
			}
		}
		h.Remove()
	}
	h := w.primary.Fault(cheftest.Fault{Path: "/cookbooks", Status: 200, Body: `{"a":{"url":"x"}}`})
	_, err := w.source.List(context.Background(), scopes[1])
	wantClass(t, err, fault.Foreign)
	h.Remove()
}

func TestListOmitsInvalidNames(t *testing.T) {
	w := newFixture(t)
	for path, body := range map[string]string{
		"/roles":     `{"good":"u","_acl":"u",".":"u","..":"u","":"u","a/b":"u","ü":"u"}`,
		"/cookbooks": `{"c":{"versions":[{"version":"1.0.0"},{"version":"x"},{"version":"1.2.3.4"}]}}`,
	} {
		w.primary.Fault(cheftest.Fault{Path: path, Status: 200, Body: body})
	}
	refs, err := w.source.List(context.Background(), object.Scope{Kind: object.Role})
	if err != nil {
		t.Fatal(err)
	}
	wantStrings(t, "roles", refPaths(refs), "/roles/good")
	refs, err = w.source.List(context.Background(), object.Scope{Kind: object.Cookbook})
	if err != nil {
		t.Fatal(err)
	}
	wantStrings(t, "cookbooks", refPaths(refs), "/cookbooks/c/1.0.0")
	if n := strings.Count(w.log.String(), "is omitted"); n != 8 {
		t.Errorf("%d warnings, want 8:\n%s", n, w.log.String())
	}
}

func TestGetReadsEveryKind(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	for _, path := range []string{"/roles/web", "/roles/a:b", "/environments/prod", "/data/empty", "/data/users",
		"/data/users/alice", "/cookbooks/a/1.0.0"} {
		obj := w.mustGet(path)
		if obj.Ref.Path() != path || len(obj.Body) == 0 || obj.Fingerprint == "" {
			t.Errorf("%s: %+v", path, obj)
		}
	}
	if n := len(w.mustGet("/cookbooks/a/1.0.0").Files); n != 3 {
		t.Errorf("%d contents, want 3: two of the four files are the same", n)
	}
	if body := string(w.mustGet("/roles/web").Body); !strings.Contains(body, "12345678901234567890") {
		t.Errorf("the number is changed in %s", body)
	}
}

func TestGetDistinguishesAbsenceFromErrors(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	for _, path := range []string{"/roles/gone", "/data/users/gone", "/data/gone", "/cookbooks/a/9.0.0", "/environments/gone"} {
		_, err := w.source.Get(context.Background(), mustParseRef(t, path))
		wantClass(t, err, fault.Absent)
	}
	w.primary.Fault(cheftest.Fault{Path: "/roles/web", HTML: true, Status: 404})
	_, err := w.source.Get(context.Background(), mustParseRef(t, "/roles/web"))
	wantClass(t, err, fault.Foreign)
	_, err = w.source.Get(context.Background(), object.Ref{Kind: object.Role, Name: "_acl"})
	wantClass(t, err, fault.Rejected)
}

func TestGetRefusesAnObjectWithAnotherName(t *testing.T) {
	w := newFixture(t)
	for path, body := range map[string]string{
		"/roles/web": `{"name":"db"}`, "/environments/prod": `{"Name":"prod"}`, "/data/b/i": `{"id":"j"}`,
		"/cookbooks/a/1.0.0": `{"cookbook_name":"a","version":"1.0.1","all_files":[]}`, "/roles/list": `[]`,
	} {
		w.primary.Fault(cheftest.Fault{Path: path, Status: 200, Body: body})
		_, err := w.source.Get(context.Background(), mustParseRef(t, path))
		wantClass(t, err, fault.Rejected)
	}
}

func TestGetAcceptsShortVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{{"1", "1.0.0", true}, {"1.0", "1.0.0", true}, {"01.2.0", "1.2", true}, {"1.0.1", "1.0", false}, {"1.0.0.0", "1.0.0", false},
		{"", "0.0.0", false}, {"a", "a", false}} {
		if got := sameVersion(c.a, c.b); got != c.same {
			t.Errorf("%q and %q: %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

func TestIdentity(t *testing.T) {
	w := newFixture(t)
	ctx := context.Background()
	id, err := w.source.Identity(ctx)
	if err != nil || id != w.primary.URL+"/organizations/acme#"+w.from.GUID() {
		t.Errorf("identity %q, error %v", id, err)
	}
	w.from.SetGUID(strings.Repeat("0", 32))
	if other, _ := w.source.Identity(ctx); other == id {
		t.Error("a rebuilt organization has the identity of the old one")
	}
	h := w.primary.Fault(cheftest.Fault{Path: "/organizations/acme", Status: 403, Body: `{"error":["missing read permission"]}`})
	if id, err := w.source.Identity(ctx); err != nil || id != w.primary.URL+"/organizations/acme" {
		t.Errorf("without permission: identity %q, error %v", id, err)
	}
	h.Remove()
	w.primary.Fault(cheftest.Fault{Path: "/organizations/acme", Status: 500})
	if _, err := w.source.Identity(ctx); err == nil {
		t.Error("a failing server has an identity")
	}
}
