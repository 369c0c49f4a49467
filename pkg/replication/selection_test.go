package replication

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chefsync/pkg/object"
)

func patterns(t testing.TB, texts ...string) (list []Pattern) {
	t.Helper()
	for _, s := range texts {
		p, err := ParsePattern(s)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		list = append(list, p)
	}
	return list
}

func TestASelectionIsByName(t *testing.T) {
	for _, c := range []struct {
		include, exclude string // separated by spaces
		yes, no          string
	}{
		{"", "", "/roles/web /data/users /data/users/alice /cookbooks/apt/1.0.0 /environments/prod", ""},
		{"cookbooks/base-* roles/*", "", "/cookbooks/base-os/1.0.0 /cookbooks/base-/1.0.0 /roles/web", "/cookbooks/base/1.0.0 /environments/prod /data/users /data/users/alice"},
		{"", "data_bags/secrets", "/data/secret /data/users/secrets", "/data/secrets /data/secrets/key"},
		{"", "data_bags/secrets/*", "/data/secrets", "/data/secrets/key"},
		{"", "/data/users/a*", "/data/users /data/users/bob", "/data/users/alice /data/users/a"},
		{"data_bags/users/alice", "", "/data/users /data/users/alice", "/data/users/bob /data/other"},
		{"data_bags/users/*", "data_bags/users", "", "/data/users /data/users/alice"},
		{"", "cookbooks/test_*", "/cookbooks/tests/1.0.0", "/cookbooks/test_/1.0.0 /cookbooks/test_a/2.0.0"},
		{"cookbooks/apt", "cookbooks/apt/1.*", "/cookbooks/apt/2.1.0 /cookbooks/apt/11.0.0", "/cookbooks/apt/1.0.0 /cookbooks/apt2/2.0.0"},
		{"roles/web?", "roles/webX", "/roles/web1 /roles/web-", "/roles/web /roles/web12 /roles/webX"},
		{"roles/*.*", "", "/roles/a.b /roles/.", "/roles/ab"},
		{"policies/app-* policy_groups/prod", "policies/app-x", "/policies/app-1/revisions/r1 /policy_groups/prod/policies/app-1",
			"/policies/app/revisions/r1 /policy_groups/prod/policies/app /policy_groups/prod/policies/app-x /policy_groups/test/policies/app-1"},
		{"", "cookbook_artifacts/a policy_groups/prod", "/cookbook_artifacts/ab/1 /policy_groups/test/policies/a", "/cookbook_artifacts/a/1 /policy_groups/prod/policies/a"},
		{"roles/Web", "", "/roles/Web", "/roles/web"},
	} {
		s := Selection{Include: patterns(t, strings.Fields(c.include)...), Exclude: patterns(t, strings.Fields(c.exclude)...)}
		for want, paths := range map[bool]string{true: c.yes, false: c.no} {
			for _, path := range strings.Fields(paths) {
				r, _ := object.ParsePath(path)
				if s.Selects(r) != want {
					t.Errorf("include %q, exclude %q: selects %s: %v", c.include, c.exclude, path, !want)
				}
			}
		}
	}
}

func TestABadPatternSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "begin with a kind",
		"apt":               "begin with a kind",
		"nodes/web":         "begin with a kind",
		"roles":             "write roles/* for all of them",
		"roles/":            "write roles/* for all of them",
		"roles/web/1":       "write roles/web: roles are selected by one name only",
		"policies/app/r1":   "write policies/app: policies are selected by one name only",
		"cookbooks/apt/":    "put one / between two names",
		"cookbooks//1.0.0":  "put one / between two names",
		"data_bags/a/b/c":   "put one / between two names",
		"data_bags/**":      "write a single *",
		"roles/[ab]":        "names have letters",
		"roles/web 1":       "names have letters",
		"roles/..":          "names have letters",
		"roles/é":           "names have letters",
		"cookbooks/apt/1.0": "three numbers",
		"!roles/web":        "begin with a kind",
		"data_bags/{a,b}/*": "names have letters",
	} {
		p, err := ParsePattern(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, p, err, want)
		}
	}
}

// A bag of which all items are excluded is still there.
func TestABagWithoutSelectedItemsIsInReach(t *testing.T) {
	s := Selection{Exclude: patterns(t, "data_bags/*/*")}
	for _, scope := range []object.Scope{{Kind: object.DataBag}, {Kind: object.DataBag, Name: "users"}} {
		if !s.Reaches(scope) || s.Reaches(object.Scope{Kind: object.DataBagItem, Name: "users"}) {
			t.Errorf("%+v: reached %v; want the bag and none of its items", scope, s.Reaches(scope))
		}
	}
}

// drawn patterns and names share a small alphabet, so that they often meet.
func drawPattern(t *rapid.T) Pattern {
	kind := rapid.SampledFrom([]object.Kind{object.Cookbook, object.Environment, object.Role, object.DataBag, object.CookbookArtifact, object.Policy, object.PolicyGroup}).Draw(t, "kind")
	p := Pattern{Kind: kind, Name: rapid.StringMatching(`[ab*?]{1,4}`).Draw(t, "name")}
	if (kind == object.Cookbook || kind == object.DataBag) && rapid.Bool().Draw(t, "deep") {
		p.Sub = rapid.StringMatching(`[ab*?]{1,3}`).Draw(t, "sub")
	}
	return p
}

func drawSelection(t *rapid.T) Selection {
	return Selection{
		Include: rapid.SliceOfN(rapid.Custom(drawPattern), 0, 3).Draw(t, "include"),
		Exclude: rapid.SliceOfN(rapid.Custom(drawPattern), 0, 3).Draw(t, "exclude"),
	}
}

func drawRef(t *rapid.T) object.Ref {
	r := object.Ref{Kind: rapid.SampledFrom(object.Kinds()).Draw(t, "kind"), Name: rapid.StringMatching(`[ab]{1,3}`).Draw(t, "name")}
	if r.Kind.HasTwoNames() {
		r.Sub = rapid.StringMatching(`[ab]{1,2}`).Draw(t, "sub")
	}
	return r
}

// What the listings are narrowed by never hides an object that is selected, and
// an item never comes without its bag.
func TestNothingSelectedIsOutOfReach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, r := drawSelection(t), drawRef(t)
		if !s.Selects(r) {
			t.Skip("not selected")
		}
		if r.Kind == object.PolicyGroup && !s.Selects(object.Ref{Kind: object.Policy, Name: r.Sub, Sub: "any"}) {
			t.Fatalf("%+v selects %s without its policy", s, r)
		}
		for _, scope := range []object.Scope{{}, {Kind: r.Kind}, {Kind: r.Kind.Base()}, {Kind: r.Kind, Name: r.Name}, {Kind: r.Kind.Base(), Name: r.Name}, object.ScopeOf(r)} {
			if !s.Reaches(scope) {
				t.Fatalf("%+v selects %s, but does not reach %+v", s, r, scope)
			}
		}
		if bag := (object.Ref{Kind: object.DataBag, Name: r.Name}); r.Kind == object.DataBagItem && !s.Selects(bag) {
			t.Fatalf("%+v selects %s without its bag", s, r)
		}
	})
}

func TestWhatIsOutOfReachIsNotListed(t *testing.T) {
	for _, c := range []struct {
		include, exclude string
		scope            object.Scope
	}{
		{"cookbooks/*", "", object.Scope{Kind: object.Role}},
		{"data_bags/users/alice", "", object.Scope{Kind: object.DataBagItem, Name: "other"}},
		{"", "roles/*", object.Scope{Kind: object.Role}},
		{"", "data_bags/*", object.Scope{Kind: object.DataBagItem}},
		{"", "data_bags/secrets/*", object.Scope{Kind: object.DataBagItem, Name: "secrets"}},
		{"", "cookbooks/test_*", object.Scope{Kind: object.Cookbook, Name: "test_a"}},
	} {
		s := Selection{Include: patterns(t, strings.Fields(c.include)...), Exclude: patterns(t, strings.Fields(c.exclude)...)}
		if s.Reaches(c.scope) {
			t.Errorf("include %q, exclude %q reaches %+v", c.include, c.exclude, c.scope)
		}
	}
}

func TestPatternsMatchAsExpressionsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern, name := rapid.StringMatching(`[ab.*?]{0,8}`).Draw(t, "pattern"), rapid.StringMatching(`[ab.]{0,8}`).Draw(t, "name")
		expr := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		if want := regexp.MustCompile(`^` + expr + `$`).MatchString(name); matchGlob(pattern, name) != want {
			t.Fatalf("glob(%q, %q) = %v", pattern, name, !want)
		}
	})
}

// A pattern made to be slow takes steps in proportion to name times pattern.
func TestPatternsAreCheap(t *testing.T) {
	if matchGlob(strings.Repeat("*a", 100)+"b", strings.Repeat("a", 10_000)) {
		t.Error("matched")
	}
}

func TestPatternsReadWhatTheyWrite(t *testing.T) {
	for _, s := range []string{"cookbooks/apt", "cookbooks/apt/1.0.0", "environments/prod", "roles/*", "data_bags/users", "data_bags/users/a?"} {
		if got := patterns(t, s)[0].String(); got != s {
			t.Errorf("%q is written as %q", s, got)
		}
	}
	if got := patterns(t, "/data/users/alice")[0].String(); got != "data_bags/users/alice" {
		t.Errorf("a path becomes %q", got)
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"cookbooks/apt/1.0.0", "data_bags/a*/?", "/data/x", "roles/", "*", "//", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePattern(s)
		if err != nil {
			return
		}
		if again, err := ParsePattern(p.String()); err != nil || again != p {
			t.Errorf("%q is %+v, then %+v, %v", s, p, again, err)
		}
	})
}

func TestWhatIsSelectedHasAMark(t *testing.T) {
	if got := (Pair{}).selectionMark() + (Pair{Kinds: object.DefaultKinds()}).selectionMark(); got != "" {
		t.Errorf("mark of everything: %q", got)
	}
	seen := map[string]int{}
	for i, p := range []Pair{
		{}, {Kinds: []object.Kind{object.Role}}, {Kinds: []object.Kind{object.Role, object.Cookbook}},
		{Selection: Selection{Include: patterns(t, "roles/a")}}, {Selection: Selection{Exclude: patterns(t, "roles/a")}},
		{Selection: Selection{Include: patterns(t, "roles/a", "roles/b")}},
	} {
		if other, there := seen[p.selectionMark()]; there {
			t.Errorf("pairs %d and %d have one mark", other, i)
		}
		seen[p.selectionMark()] = i
	}
	a := Pair{Kinds: []object.Kind{object.Role, object.Cookbook}, Selection: Selection{Include: patterns(t, "roles/a", "roles/b")}}
	b := Pair{Kinds: []object.Kind{object.Cookbook, object.Role}, Selection: Selection{Include: patterns(t, "roles/b", "roles/a", "roles/a")}}
	if a.selectionMark() != b.selectionMark() {
		t.Error("the order of words changes the mark")
	}
}
