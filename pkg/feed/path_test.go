package feed

import (
	"net/url"
	"strings"
	"testing"

	"chefsync/pkg/replication"

	"pgregory.net/rapid"
)

func TestParsePathFindsTheObject(t *testing.T) {
	tests := []struct {
		path string
		want replication.Scope
	}{
		{"/roles/web", replication.Scope{Kind: "role", Name: "web"}},
		{"roles/web", replication.Scope{Kind: "role", Name: "web"}},
		{"/roles/web/", replication.Scope{Kind: "role", Name: "web"}},
		{"//roles//web//", replication.Scope{Kind: "role", Name: "web"}},
		{"/roles/a:b.c-d_E", replication.Scope{Kind: "role", Name: "a:b.c-d_E"}},
		{"/roles/a%3Ab", replication.Scope{Kind: "role", Name: "a:b"}},
		{"/roles/web/environments/prod", replication.Scope{Kind: "role", Name: "web"}},
		{"/roles/web?x=/y#z", replication.Scope{Kind: "role", Name: "web"}},
		{"/organizations/acme/roles/web", replication.Scope{Kind: "role", Name: "web"}},
		{"https://chef.example.com/organizations/acme/roles/web", replication.Scope{Kind: "role", Name: "web"}},
		{"http://goiardi:4545/roles/web", replication.Scope{Kind: "role", Name: "web"}},
		{"/environments/prod", replication.Scope{Kind: "environment", Name: "prod"}},
		{"/cookbooks/apache2/2.0.0", replication.Scope{Kind: "cookbook", Name: "apache2", Sub: "2.0.0"}},
		{"/cookbooks/apache2/1.10.0/", replication.Scope{Kind: "cookbook", Name: "apache2", Sub: "1.10.0"}},
		{"/cookbooks/apache2", replication.Scope{Kind: "cookbook", Name: "apache2"}},
		{"/data/users", replication.Scope{Kind: "data_bag", Name: "users"}},
		{"/data_bags/users", replication.Scope{Kind: "data_bag", Name: "users"}},
		{"/data/users/alice", replication.Scope{Kind: "data_bag_item", Name: "users", Sub: "alice"}},
		{"/data_bags/users/alice", replication.Scope{Kind: "data_bag_item", Name: "users", Sub: "alice"}},
		{"/policies/app/revisions/r1", replication.Scope{Kind: "policy", Name: "app", Sub: "r1"}},
		{"/policies/app/revisions", replication.Scope{Kind: "policy", Name: "app"}},
		{"/policies/app", replication.Scope{Kind: "policy", Name: "app"}},
		{"/policy_groups/prod", replication.Scope{Kind: "policy_group", Name: "prod"}},
		{"/policy_groups/prod/policies/app", replication.Scope{Kind: "policy_group", Name: "prod", Sub: "app"}},
		{"/cookbook_artifacts/a", replication.Scope{Kind: "cookbook_artifact", Name: "a"}},
		{"/organizations/acme/cookbook_artifacts/a/0123", replication.Scope{Kind: "cookbook_artifact", Name: "a", Sub: "0123"}},
		// A name that is also the name of a collection.
		{"/data/roles/web", replication.Scope{Kind: "data_bag_item", Name: "roles", Sub: "web"}},
		{"/organizations/roles/roles/web", replication.Scope{Kind: "role", Name: "web"}},
	}
	for _, tt := range tests {
		if got, replicate := ParsePath(tt.path); got != tt.want || !replicate {
			t.Errorf("ParsePath(%q) = %+v, %t; want %+v", tt.path, got, replicate, tt.want)
		}
	}
}

func TestParsePathWidensWhatItDoesNotUnderstand(t *testing.T) {
	kind := func(k replication.Kind) replication.Scope { return replication.Scope{Kind: k} }
	tests := []struct {
		path string
		want replication.Scope
	}{
		{"/roles", kind("role")}, {"/roles/", kind("role")}, {"/roles/a/b", kind("role")}, {"/roles/%2e%2e", kind("role")},
		{"/roles/a%2Fb", kind("role")}, {"/roles/a b", kind("role")}, {"/roles/é", kind("role")}, {"/roles/web/environments/a/b", kind("role")},
		{"/environments", kind("environment")}, {"/environments/prod/nodes", kind("environment")},
		{"/cookbooks", kind("cookbook")}, {"/cookbooks/_latest", kind("cookbook")}, {"/cookbooks/_recipes", kind("cookbook")},
		{"/cookbooks/a/1.0.0/files", kind("cookbook")}, {"/cookbooks/../1.0.0", kind("cookbook")},
		{"/data", kind("data_bag")}, {"/data/b/i/x", kind("data_bag")}, {"/data/b/.", kind("data_bag")},
		{"/policies", kind("policy")}, {"/policies/app/r1", kind("policy")}, {"/policies/app/revisions/r1/x", kind("policy")}, {"/policies/..", kind("policy")},
		{"/policy_groups", kind("policy_group")}, {"/policy_groups/g/revisions/x", kind("policy_group")}, {"/cookbook_artifacts/a/1/2", kind("cookbook_artifact")},
		// A version in another spelling than servers list it: all versions.
		{"/cookbooks/a/1.0", replication.Scope{Kind: "cookbook", Name: "a"}},
		{"/cookbooks/a/1.0.00", replication.Scope{Kind: "cookbook", Name: "a"}},
		{"/cookbooks/a/_latest", replication.Scope{Kind: "cookbook", Name: "a"}},
		{"/cookbooks/a/1.0.0.0", replication.Scope{Kind: "cookbook", Name: "a"}},
		{"/cookbooks/a/1.0.99999999999999999999", replication.Scope{Kind: "cookbook", Name: "a"}},
		// Nothing known: everything.
		{"", replication.Scope{}}, {"/", replication.Scope{}}, {"/new_things/x", replication.Scope{}},
		{"/Roles/web", replication.Scope{}}, {"/roles/%zz", replication.Scope{}}, {"https://chef.example.com", replication.Scope{}},
		{"/organizations/acme/new_things", replication.Scope{}},
	}
	for _, tt := range tests {
		if got, replicate := ParsePath(tt.path); got != tt.want || !replicate {
			t.Errorf("ParsePath(%q) = %+v, %t; want %+v", tt.path, got, replicate, tt.want)
		}
	}
}

func TestParsePathKnowsWhatIsNotReplicated(t *testing.T) {
	for _, path := range []string{"/nodes/web01", "/nodes", "/clients/x", "/users/u", "/groups/admins", "/policies/p/_acl", "/organizations/acme/nodes/n", "/organizations/acme", "/sandboxes/1", "/containers/roles",
		"/roles/web/_acl", "/data/users/_acl/read", "/cookbooks/a/_acl", "/environments/_default"} {
		if got, replicate := ParsePath(path); replicate {
			t.Errorf("ParsePath(%q) = %+v, want it ignored", path, got)
		}
	}
}

func TestEveryObjectPathIsUnderstood(t *testing.T) {
	name := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_.:-]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		ref := replication.Ref{Kind: rapid.SampledFrom(replication.Kinds()).Draw(t, "kind"), Name: name.Draw(t, "name")}
		switch ref.Kind {
		case replication.Cookbook:
			ref.Sub = rapid.SampledFrom([]string{"0.1.0", "1.10.2", "2026.11.22"}).Draw(t, "version")
		case replication.DataBagItem, replication.CookbookArtifact, replication.Policy, replication.PolicyGroup:
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
		if got, replicate := ParsePath(path); !replicate || got != replication.ScopeOf(ref) {
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
		if s.Name != "" && !legal(s.Name) || s.Sub != "" && !legal(s.Sub) {
			t.Fatalf("ParsePath(%q) = %+v, an impossible name", path, s)
		}
		if s.Kind == "" && (s.Name != "" || s.Sub != "") || s.Name == "" && s.Sub != "" {
			t.Fatalf("ParsePath(%q) = %+v, %t, no scope", path, s, replicate)
		}
	})
}
