package object_test

import (
	"slices"
	"testing"

	"chefsync/pkg/object"
)

func TestRelationsBetweenKinds(t *testing.T) {
	for _, k := range append(object.Kinds(), "", "node") {
		parent, child, bound := object.Kind(""), object.Kind(""), object.Kind("")
		switch k {
		case object.DataBag:
			child = object.DataBagItem
		case object.DataBagItem:
			parent = object.DataBag
		case object.PolicyGroup:
			bound = object.Policy
		}
		if k.Parent() != parent || k.Child() != child || k.Binds() != bound {
			t.Errorf("%q has the parent %q, the child %q and binds %q", k, k.Parent(), k.Child(), k.Binds())
		}
		if bound != "" && bound.BoundBy() != k {
			t.Errorf("%s is bound by %q", bound, bound.BoundBy())
		}
	}
	item := object.Ref{Kind: object.DataBagItem, Name: "users", Sub: "alice"}
	role := object.Ref{Kind: object.Role, Name: "web"}
	if item.Parent() != (object.Ref{Kind: object.DataBag, Name: "users"}) || role.Parent() != (object.Ref{}) {
		t.Errorf("parents %v and %v", item.Parent(), role.Parent())
	}
	for _, r := range []object.Ref{item, role, {Kind: object.Cookbook, Name: "apt", Sub: "1.0.0"}} {
		if s := r.ListScope(); !s.Contains(r) || s.Sub != "" || (s.Name != "") != (r == item) {
			t.Errorf("%s is in the list %+v", r, s)
		}
	}
}

// Kinds whose names identify the content are never updated; those of which only the name
// exists have no content at all.
func TestPropertiesOfKinds(t *testing.T) {
	for name, c := range map[string]struct {
		is   func(object.Kind) bool
		want []object.Kind
	}{
		"has no content":       {func(k object.Kind) bool { return !k.HasContent() }, []object.Kind{object.DataBag}},
		"is immutable":         {object.Kind.IsImmutable, []object.Kind{object.DataBag, object.CookbookArtifact, object.Policy}},
		"can freeze":           {object.Kind.CanFreeze, []object.Kind{object.Cookbook}},
		"creates in container": {object.Kind.CreatesInContainer, []object.Kind{object.CookbookArtifact}},
		"is optional":          {object.Kind.IsOptional, []object.Kind{object.CookbookArtifact, object.Policy, object.PolicyGroup}},
		"is sequential":        {object.Kind.IsSequential, []object.Kind{object.Cookbook, object.CookbookArtifact, object.Policy, object.PolicyGroup}},
		"has a list query":     {func(k object.Kind) bool { return k.ListQuery() != "" }, []object.Kind{object.Cookbook}},
		"has views":            {func(k object.Kind) bool { return k.IsView("_latest") && !k.IsView("apt") }, []object.Kind{object.Cookbook}},
		"has parts":            {func(k object.Kind) bool { return k.HasSubresource("environments") && !k.HasSubresource("") }, []object.Kind{object.Role}},
		"has _default": {func(k object.Kind) bool {
			return object.Ref{Kind: k, Name: "_default"}.IsReserved() && !object.Ref{Kind: k}.IsReserved()
		},
			[]object.Kind{object.Environment}},
	} {
		got := slices.DeleteFunc(object.Kinds(), func(k object.Kind) bool { return !c.is(k) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestWhatABodySays(t *testing.T) {
	for _, c := range []struct {
		kind     object.Kind
		body     string
		frozen   bool
		revision string
	}{
		{object.Cookbook, `{"frozen?":true}`, true, ""},
		{object.Cookbook, `{"frozen?":false}`, false, ""},
		{object.Cookbook, `{"Frozen?":true,"revision_id":"1"}`, false, ""},
		{object.Role, `{"frozen?":true}`, false, ""},
		{object.PolicyGroup, `{"frozen?":true,"revision_id":"1"}`, false, "1"},
		{object.PolicyGroup, `{"revision_id":1}`, false, ""},
		{object.PolicyGroup, `[]`, false, ""},
		{object.Policy, `{"revision_id":"1"}`, false, ""},
	} {
		o := object.Object{Ref: object.Ref{Kind: c.kind}, Body: []byte(c.body)}
		if o.IsFrozen() != c.frozen || o.BoundRevision() != c.revision {
			t.Errorf("%s %s: frozen %v, revision %q", c.kind, c.body, o.IsFrozen(), o.BoundRevision())
		}
	}
}

func TestKindOfEntity(t *testing.T) {
	for _, c := range []struct {
		name, parent string
		kind         object.Kind
		hasParent    bool
	}{
		{"role", "", object.Role, false},
		{"role", "organization", object.Role, false},
		{"environment", "", object.Environment, false},
		{"bag", "", object.DataBag, false},
		{"item", "bag", object.DataBagItem, true},
		{"item", "", "", false},
		{"version", "cookbook", object.Cookbook, true},
		{"cookbook", "", "", false},
		{"cookbook_artifact_version", "cookbook_artifact", object.CookbookArtifact, true},
		{"cookbook_artifact", "", object.CookbookArtifact, false},
		{"policy", "policy_group", object.PolicyGroup, true},
		{"policy_group", "", object.PolicyGroup, false},
		{"policy", "", object.Policy, false},
		{"", "", "", false},
	} {
		if kind, hasParent := object.KindOfEntity(c.name, c.parent); kind != c.kind || hasParent != c.hasParent {
			t.Errorf("%q in %q: %q, %v", c.name, c.parent, kind, hasParent)
		}
	}
}
