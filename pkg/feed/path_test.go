package feed

import (
	"net/url"
	"strings"
	"testing"

	"chefsync/pkg/chef"
	"chefsync/pkg/object"

	"pgregory.net/rapid"
)

func TestParsePathFindsTheObject(t *testing.T) {
	tests := []struct {
		path string
		want object.Scope
	}{
		{"/roles/web", object.Scope{Kind: "role", Name: "web"}},
		{"roles/web", object.Scope{Kind: "role", Name: "web"}},
		{"/roles/web/", object.Scope{Kind: "role", Name: "web"}},
		{"//roles//web//", object.Scope{Kind: "role", Name: "web"}},
		{"/roles/a:b.c-d_E", object.Scope{Kind: "role", Name: "a:b.c-d_E"}},
		{"/roles/a%3Ab", object.Scope{Kind: "role", Name: "a:b"}},
		{"/roles/web/environments/prod", object.Scope{Kind: "role", Name: "web"}},
		{"/roles/web?x=/y#z", object.Scope{Kind: "role", Name: "web"}},
		{"/organizations/acme/roles/web", object.Scope{Kind: "role", Name: "web"}},
		{"https://chef.example.com/organizations/acme/roles/web", object.Scope{Kind: "role", Name: "web"}},
		{"http://goiardi:4545/roles/web", object.Scope{Kind: "role", Name: "web"}},
		{"/environments/prod", object.Scope{Kind: "environment", Name: "prod"}},
		{"/cookbooks/apache2/2.0.0", object.Scope{Kind: "cookbook", Name: "apache2", Sub: "2.0.0"}},
		{"/cookbooks/apache2/1.10.0/", object.Scope{Kind: "cookbook", Name: "apache2", Sub: "1.10.0"}},
		{"/cookbooks/apache2", object.Scope{Kind: "cookbook", Name: "apache2"}},
		{"/data/users", object.Scope{Kind: "data_bag", Name: "users"}},
		{"/data_bags/users", object.Scope{Kind: "data_bag", Name: "users"}},
		{"/data/users/alice", object.Scope{Kind: "data_bag_item", Name: "users", Sub: "alice"}},
		{"/data_bags/users/alice", object.Scope{Kind: "data_bag_item", Name: "users", Sub: "alice"}},
		{"/policies/app/revisions/r1", object.Scope{Kind: "policy", Name: "app", Sub: "r1"}},
		{"/policies/app/revisions", object.Scope{Kind: "policy", Name: "app"}},
		{"/policies/app", object.Scope{Kind: "policy", Name: "app"}},
		{"/policy_groups/prod", object.Scope{Kind: "policy_group", Name: "prod"}},
		{"/policy_groups/prod/policies/app", object.Scope{Kind: "policy_group", Name: "prod", Sub: "app"}},
		{"/cookbook_artifacts/a", object.Scope{Kind: "cookbook_artifact", Name: "a"}},
		{"/organizations/acme/cookbook_artifacts/a/0123", object.Scope{Kind: "cookbook_artifact", Name: "a", Sub: "0123"}},
		// A name that is also the name of a collection.
		{"/data/roles/web", object.Scope{Kind: "data_bag_item", Name: "roles", Sub: "web"}},
		{"/organizations/roles/roles/web", object.Scope{Kind: "role", Name: "web"}},
	}
	for _, tt := range tests {
		if got, replicate := ParsePath(tt.path); got != tt.want || !replicate {
			t.Errorf("ParsePath(%q) = %+v, %t; want %+v", tt.path, got, replicate, tt.want)
		}
	}
}

func TestParsePathWidensWhatItDoesNotUnderstand(t *testing.T) {
	kind := func(k object.Kind) object.Scope { return object.Scope{Kind: k} }
	tests := []struct {
		path string
		want object.Scope
	}{
		{"/roles", kind("role")}, {"/roles/", kind("role")}, {"/roles/a/b", kind("role")}, {"/roles/%2e%2e", kind("role")},
		{"/roles/a%2Fb", kind("role")}, {"/roles/a b", kind("role")}, {"/roles/é", kind("role")}, {"/roles/web/environments/a/b", kind("role")},
		{"/environments", kind("environment")}, {"/environments/prod/nodes", kind("environment")},
		{"/cookbooks", kind("cookbook")}, {"/cookbooks/_latest", kind("cookbook")}, {"/cookbooks/_recipes", kind("cookbook")},
		{"/cookbooks/a/1.0.0/files", kind("cookbook")}, {"/cookbooks/../1.0.0", kind("cookbook")},
		{"/data", kind("data_bag")}, {"/data/b/i/x", kind("data_bag")}, {"/data/b/.", kind("data_bag")},
		{"/policies", kind("policy")}, {"/policies/app/r1", kind("policy")}, {"/policies/app/revisions/r1/x", kind("policy")},
		{"/policies/..", kind("policy")},
		{"/policy_groups", kind("policy_group")}, {"/policy_groups/g/revisions/x", kind("policy_group")},
		{"/cookbook_artifacts/a/1/2", kind("cookbook_artifact")},
		// A version in another spelling than servers list it: all versions.
		{"/cookbooks/a/1.0", object.Scope{Kind: "cookbook", Name: "a"}},
		{"/cookbooks/a/1.0.00", object.Scope{Kind: "cookbook", Name: "a"}},
		{"/cookbooks/a/_latest", object.Scope{Kind: "cookbook", Name: "a"}},
		{"/cookbooks/a/1.0.0.0", object.Scope{Kind: "cookbook", Name: "a"}},
		{"/cookbooks/a/1.0.99999999999999999999", object.Scope{Kind: "cookbook", Name: "a"}},
		// Nothing known: everything.
		{"", object.Scope{}}, {"/", object.Scope{}}, {"/new_things/x", object.Scope{}},
		{"/Roles/web", object.Scope{}}, {"/roles/%zz", object.Scope{}}, {"https://chef.example.com", object.Scope{}},
		{"/organizations/acme/new_things", object.Scope{}},
	}
	for _, tt := range tests {
		if got, replicate := ParsePath(tt.path); got != tt.want || !replicate {
			t.Errorf("ParsePath(%q) = %+v, %t; want %+v", tt.path, got, replicate, tt.want)
		}
	}
}

func TestParsePathIgnoresWhatIsNotReplicated(t *testing.T) {
	for _, path := range []string{"/nodes/web01", "/nodes", "/clients/x", "/users/u", "/groups/admins", "/policies/p/_acl",
		"/organizations/acme/nodes/n", "/organizations/acme", "/sandboxes/1", "/containers/roles",
		"/roles/web/_acl", "/data/users/_acl/read", "/cookbooks/a/_acl", "/environments/_default"} {
		if got, replicate := ParsePath(path); replicate {
			t.Errorf("ParsePath(%q) = %+v, want it ignored", path, got)
		}
	}
}

func TestEveryObjectPathIsUnderstood(t *testing.T) {
	name := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_.:-]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		ref := object.Ref{Kind: rapid.SampledFrom(object.Kinds()).Draw(t, "kind"), Name: name.Draw(t, "name")}
		switch ref.Kind {
		case object.Cookbook:
			ref.Sub = rapid.SampledFrom([]string{"0.1.0", "1.10.2", "2026.11.22"}).Draw(t, "version")
		case object.DataBagItem, object.CookbookArtifact, object.Policy, object.PolicyGroup:
			ref.Sub = name.Draw(t, "item")
		}
		path := ref.Path()
		if rapid.Bool().Draw(t, "encoded") {
			parts := strings.Split(path, "/")
			for i := range parts {
				parts[i] = url.PathEscape(parts[i])
			}
			path = strings.Join(parts, "/")
		}
		path = rapid.SampledFrom([]string{"", "/organizations/acme", "https://h:443/organizations/acme", "/"}).Draw(t, "prefix") + path +
			rapid.SampledFrom([]string{"", "/"}).Draw(t, "suffix")
		if got, replicate := ParsePath(path); !replicate || got != object.ScopeOf(ref) {
			t.Fatalf("ParsePath(%q) = %+v, %t; want %+v", path, got, replicate, ref)
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"/roles/web", "https://h/organizations/o/data/b/i?x", "/cookbooks/a/1.0.0", "%2froles", "://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		s, replicate := ParsePath(path)
		if s.Name != "" && !chef.ValidName(s.Name) || s.Sub != "" && !chef.ValidName(s.Sub) {
			t.Fatalf("ParsePath(%q) = %+v, an impossible name", path, s)
		}
		if s.Kind == "" && (s.Name != "" || s.Sub != "") || s.Name == "" && s.Sub != "" {
			t.Fatalf("ParsePath(%q) = %+v, %t, no scope", path, s, replicate)
		}
	})
}
