package endpoint

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

const artifactID = "0123456789abcdef0123456789abcdef01234567"

// fillPolicies adds policies, groups and artifacts to an organization.
func fillPolicies(o *cheftest.Org) {
	o.PutArtifact("a", artifactID, map[string][]byte{"recipes/default.rb": []byte("one"), "metadata.rb": []byte("two")})
	o.PutArtifact("a", "other", map[string][]byte{"recipes/default.rb": []byte("three")})
	o.PutPolicy("app", "r1", `{"cookbook_locks":{"a":{"identifier":"`+artifactID+
		`","version":"1.0.0"}},"default_attributes":{"n":1.50},"extra":[1e3]}`)
	o.PutPolicy("app", "r2", `{}`)
	o.PutPolicy("db", "r1", `{}`)
	o.BindPolicy("prod", "app", "r1")
	o.BindPolicy("prod", "db", "r1")
	o.BindPolicy("test", "app", "r2")
}

var policyPaths = []string{"/cookbook_artifacts/a/" + artifactID, "/cookbook_artifacts/a/other", "/policies/app/revisions/r1",
	"/policies/app/revisions/r2",
	"/policies/db/revisions/r1", "/policy_groups/prod/policies/app", "/policy_groups/prod/policies/db", "/policy_groups/test/policies/app"}

func TestPolicyfilesAreListed(t *testing.T) {
	w := newFixture(t)
	fillPolicies(w.from)
	var got []string
	for _, scope := range []object.Scope{
		{Kind: object.CookbookArtifact}, {Kind: object.Policy}, {Kind: object.PolicyGroup},
		{Kind: object.CookbookArtifact, Name: "a"}, {Kind: object.Policy, Name: "app"}, {Kind: object.PolicyGroup, Name: "prod"},
		{Kind: object.CookbookArtifact, Name: "none"}, {Kind: object.Policy, Name: "none"}, {Kind: object.PolicyGroup, Name: "none"},
	} {
		refs, err := w.source.List(context.Background(), scope)
		if err != nil {
			t.Errorf("%+v: %v", scope, err)
		}
		got = append(got, refPaths(refs)...)
	}
	want := append(append([]string{}, policyPaths...), policyPaths[0], policyPaths[1], policyPaths[2], policyPaths[3],
		policyPaths[5], policyPaths[6])
	wantStrings(t, "listed", got, want...)
	bound, err := w.source.ListBindings(context.Background(), object.PolicyGroup)
	if err != nil || len(bound) != 3 || bound[mustParseRef(t, "/policy_groups/test/policies/app")] != "r2" {
		t.Errorf("bound %v, %v", bound, err)
	}
}

func TestPolicyfilesAreCopied(t *testing.T) {
	for _, create := range []bool{true, false} {
		w := newFixture(t)
		fillPolicies(w.from)
		for range 2 {
			for _, path := range policyPaths {
				w.mustCopy(path, create)
			}
		}
		w.wantSameServers()
	}
}

// TestGroupsOfARevisionAreNotSent: otherwise a server would store them.
func TestGroupsOfARevisionAreNotSent(t *testing.T) {
	w := newFixture(t)
	fillPolicies(w.from)
	obj := w.mustGet("/policies/app/revisions/r1")
	if !strings.Contains(string(obj.Body), "policy_group_list") {
		t.Fatalf("the server shows no groups: %s", obj.Body)
	}
	w.mustCopy("/policies/app/revisions/r1", true)
	got, err := w.target.Get(context.Background(), obj.Ref)
	if err != nil || !strings.Contains(string(got.Body), `"policy_group_list":[]`) || strings.Contains(string(got.Body), "prod") {
		t.Errorf("the replica holds %s, %v", got.Body, err)
	}
}

func TestRebindingAPolicyTakesOneRequest(t *testing.T) {
	w := newFixture(t)
	fillPolicies(w.from)
	for _, path := range policyPaths {
		w.mustCopy(path, true)
	}
	w.from.BindPolicy("prod", "app", "r2")
	obj := w.mustGet("/policy_groups/prod/policies/app")
	w.replica.ResetRequests()
	if err := w.target.Put(context.Background(), obj, false, nil); err != nil {
		t.Fatal(err)
	}
	wantStrings(t, "requests", requestLines(w.replica), "PUT /organizations/copy/policy_groups/prod/policies/app")
	w.wantSameServers()
}

// TestRecreatedArtifactIsReplaced: servers never replace the content of an identifier.
func TestRecreatedArtifactIsReplaced(t *testing.T) {
	w := newFixture(t)
	fillPolicies(w.from)
	path := "/cookbook_artifacts/a/other"
	w.mustCopy(path, true)
	w.from.PutArtifact("a", "other", map[string][]byte{"recipes/default.rb": []byte("three"), "recipes/more.rb": []byte("four")})
	w.mustCopy(path, false)
}

func TestRecreatedRevisionIsReplacedUnlessBound(t *testing.T) {
	w := newFixture(t)
	fillPolicies(w.from)
	w.mustCopy("/policies/db/revisions/r1", true)
	w.from.PutPolicy("db", "r1", `{"new":true}`)
	w.mustCopy("/policies/db/revisions/r1", false)

	w.to.BindPolicy("local", "db", "r1")
	w.from.PutPolicy("db", "r1", `{"new":"again"}`)
	before := w.to.Snapshot()
	e := wantClass(t, w.copyObject("/policies/db/revisions/r1", false), fault.Rejected)
	if !strings.Contains(e.Error(), "policy groups use this revision: local") || e.Hint == "" {
		t.Errorf("%v, %q", e, e.Hint)
	}
	if got := w.to.Snapshot()["/policies/db/revisions/r1"]; got != before["/policies/db/revisions/r1"] {
		t.Errorf("the revision went to %s", got)
	}
}

func TestDeletingPolicyfilesDeletesEmptyParents(t *testing.T) {
	w := newFixture(t)
	fillPolicies(w.to)
	for range 2 {
		for _, path := range []string{"/policy_groups/test/policies/app", "/policy_groups/prod/policies/db", "/policy_groups/prod/policies/app",
			"/policies/app/revisions/r2", "/policies/app/revisions/r1", "/policies/db/revisions/r1", "/cookbook_artifacts/a/other",
			policyPaths[0]} {
			if err := w.target.Delete(context.Background(), mustParseRef(t, path)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	w.wantSameServers()
	for _, path := range []string{"/policies/app", "/policies/db", "/policy_groups/test", "/policy_groups/prod"} {
		if _, err := w.target.org.Do(t.Context(), http.MethodGet, path, nil); chef.KindOf(err) != chef.KindAbsent {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

// TestBoundRevisionIsNotDeleted: the server would silently delete the binding.
func TestBoundRevisionIsNotDeleted(t *testing.T) {
	w := newFixture(t)
	fillPolicies(w.to)
	before := w.to.Snapshot()
	e := wantClass(t, w.target.Delete(context.Background(), mustParseRef(t, "/policies/app/revisions/r1")), fault.Rejected)
	if !strings.Contains(e.Error(), "prod") || len(w.to.Snapshot()) != len(before) {
		t.Errorf("%v; the replica holds %v", e, w.to.Snapshot())
	}
}

func TestWritesOfPolicyfilesAfterLostAnswers(t *testing.T) {
	for _, path := range policyPaths {
		w := newFixture(t)
		fillPolicies(w.from)
		if err := w.copyObject("/cookbook_artifacts/a/other", true); err != nil { // negotiates
			t.Fatal(err)
		}
		w.replica.Fault(cheftest.Fault{Match: isWrite, Nth: 1, Times: 1, DropAnswer: true})
		w.replica.Fault(cheftest.Fault{Match: isWrite, Nth: 3, Times: 1, After: true, Status: 502})
		w.mustCopy(path, true)
	}
}

// TestServerWithoutAKindIsRecognized: goiardi answers unknown paths with an empty 200,
// older Chef Servers with a page of nginx.
func TestServerWithoutAKindIsRecognized(t *testing.T) {
	for name, f := range map[string]cheftest.Fault{"200 and nothing": {Status: 200, EmptyBody: true}, "a page": {Status: 404, HTML: true}} {
		w := newFixture(t)
		fillPolicies(w.from)
		fillOrg(w.from)
		obj := map[string]object.Object{}
		for _, path := range policyPaths {
			obj[path] = w.mustGet(path)
		}
		for _, path := range []string{"/policies*", "/policy_groups*", "/cookbook_artifacts*"} {
			f.Path = path
			w.primary.Fault(f)
			w.replica.Fault(f)
		}
		for _, path := range policyPaths {
			r := mustParseRef(t, path)
			_, listErr := w.source.List(context.Background(), object.Scope{Kind: r.Kind})
			_, getErr := w.source.Get(context.Background(), r)
			putErr := w.target.Put(context.Background(), obj[path], true, sourceContent{w.source, obj[path]})
			deleteErr := w.target.Delete(context.Background(), r)
			for op, err := range map[string]error{"list": listErr, "get": getErr, "put": putErr, "delete": deleteErr} {
				e := wantClass(t, err, fault.Unserved)
				if !strings.Contains(e.Hint, "from kinds") || !strings.Contains(e.Error(), "does not serve") {
					t.Errorf("%s: %s of %s: %v, hint %q", name, op, path, e, e.Hint)
				}
			}
		}
		w.mustCopy("/roles/web", true)
	}
}

func TestForeignListsOfPolicyfilesAreRefused(t *testing.T) {
	for _, s := range []object.Scope{{Kind: object.Policy}, {Kind: object.PolicyGroup}, {Kind: object.CookbookArtifact},
		{Kind: object.Policy, Name: "x"}} {
		for _, body := range []string{`[]`, `null`, `{"x":1}`, `{"x":{}}`, `""`} {
			if s.Name != "" && body == `{"x":{}}` {
				body = `{}`
			}
			if refs, ok := decodeList(s, []byte(body)); ok {
				t.Errorf("%+v: %s is taken for the list %v", s, body, refs)
			}
		}
	}
}
