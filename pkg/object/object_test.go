package object_test

import (
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/object"
)

func TestRefsRoundTripAsPaths(t *testing.T) {
	for _, r := range []object.Ref{
		{Kind: object.Role, Name: "web:x"}, {Kind: object.Cookbook, Name: "a.b", Sub: "1.10.0"}, {Kind: object.DataBag, Name: "b"}, {Kind: object.DataBagItem, Name: "b", Sub: "i"}, {Kind: object.Environment, Name: "prod"}, {Kind: object.Role}, {Kind: object.Cookbook, Name: "apt"},
	} {
		text, _ := r.MarshalText()
		var back object.Ref
		if err := back.UnmarshalText(text); err != nil || back != r {
			t.Errorf("%v → %s → %v, %v", r, text, back, err)
		}
	}
	for _, s := range []string{"", "/", "/roles/..", "/roles//x", "/nodes/x", "/cookbooks/a/1/2", "/data/a/b/c"} {
		if r, err := object.ParseRef(s); err == nil {
			t.Errorf("ParseRef(%q) = %v, want an error", s, r)
		}
	}
}

func TestEveryKindIsKnownByItsWords(t *testing.T) {
	kinds := object.Kinds()
	for i, k := range kinds {
		if k.Order() != i || !k.IsKnown() {
			t.Errorf("%s has the place %d of %d", k, k.Order(), i)
		}
		for _, word := range []string{k.Collection(), k.ConfigName()} {
			if got := object.ParseKind(word); got != k.Base() {
				t.Errorf("ParseKind(%q) = %q, want %q", word, got, k.Base())
			}
		}
		ref := object.Ref{Kind: k, Name: "n"}
		if k.HasTwoNames() {
			ref.Sub = "s"
		}
		if got, err := object.ParseRef(ref.Path()); err != nil || got != ref {
			t.Errorf("ParseRef(%q) = %v, %v", ref.Path(), got, err)
		}
		if strings.Count(ref.Path(), "/") < 2 || ref.IsListing() || !slices.Contains(kinds, k.Base()) {
			t.Errorf("%s is named %q", k, ref.Path())
		}
	}
	for _, word := range []string{"", "node", "nodes", "role", "data_bag"} {
		if k := object.ParseKind(word); k != "" || object.Kind(word+"?").IsKnown() {
			t.Errorf("ParseKind(%q) = %q", word, k)
		}
	}
}

// A body that a server returns is a fingerprint's only input except for bags, which
// have no content but their name.
func TestFingerprintsFollowTheKind(t *testing.T) {
	a, b := object.Ref{Kind: object.DataBag, Name: "a"}, object.Ref{Kind: object.DataBag, Name: "b"}
	if x, err := object.FingerprintOf(a, nil); err != nil || x == "" {
		t.Errorf("the fingerprint of a bag: %q, %v", x, err)
	} else if y, _ := object.FingerprintOf(b, nil); x == y {
		t.Errorf("two bags have one fingerprint")
	}
	for _, k := range object.Kinds() {
		if k == object.DataBag {
			continue
		}
		if _, err := object.FingerprintOf(object.Ref{Kind: k, Name: "n", Sub: "1.0.0"}, []byte("[]")); err == nil {
			t.Errorf("an array was taken for a %s", k)
		}
	}
}

func TestPhasesHoldAllKindsInOrder(t *testing.T) {
	phases := object.Phases()
	if got := slices.Concat(phases...); !slices.IsSortedFunc(got, func(a, b object.Kind) int { return a.Order() - b.Order() }) || len(got) != len(object.Kinds()) {
		t.Errorf("phases %v", phases)
	}
	phaseOf := func(k object.Kind) int {
		return slices.IndexFunc(phases, func(kinds []object.Kind) bool { return slices.Contains(kinds, k) })
	}
	for _, c := range [][2]object.Kind{{object.DataBag, object.DataBagItem}, {object.Cookbook, object.Environment},
		{object.CookbookArtifact, object.Policy}, {object.Policy, object.PolicyGroup}} {
		if phaseOf(c[0]) >= phaseOf(c[1]) {
			t.Errorf("%s isn't applied before %s: %v", c[0], c[1], phases)
		}
	}
	if phaseOf(object.Role) != phaseOf(object.Cookbook) {
		t.Errorf("roles wait for cookbooks, or these for them: %v", phases)
	}
}

// The text of a listing gives the listing back: a bag and the listing of its items are two.
func TestTheTextOfAListing(t *testing.T) {
	for text, want := range map[string]object.Ref{
		"/roles":            {Kind: object.Role},
		"/cookbooks/apache": {Kind: object.Cookbook, Name: "apache"},
		"/data/users":       {Kind: object.DataBag, Name: "users"},
		"/data/users/":      {Kind: object.DataBagItem, Name: "users"},
		"/data/users/bob":   {Kind: object.DataBagItem, Name: "users", Sub: "bob"},
	} {
		var got object.Ref
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s is read as %#v, %v; want %#v", text, got, err, want)
		}
		if back, _ := want.MarshalText(); string(back) != text {
			t.Errorf("%#v is written as %s, want %s", want, back, text)
		}
	}
	if got, err := object.ParseRef("data_bags/users/"); err != nil || got.Kind != object.DataBag {
		t.Errorf("what a user typed is read as %#v, %v; want the bag", got, err)
	}
}
