package replication

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"chefsync/pkg/object"
)

// Selection narrows the objects of a pair by name. An object is selected when a
// pattern of Include matches it, or Include is empty, and no pattern of Exclude
// does. The zero Selection selects everything.
//
// What isn't selected is never read, written or deleted, on either side. A data
// bag item that is selected brings its bag along; a bag that is excluded takes
// its items with it. A policy in a policy group is selected when both are.
type Selection struct {
	Include []Pattern
	Exclude []Pattern
}

// Pattern matches objects by name. In Name and Sub, * stands for any number of
// characters, none included, and ? for exactly one. An empty Sub matches all
// versions of a cookbook, and a data bag with all its items. Other kinds that
// take two names are selected by the first: identifiers and revisions are hashes.
type Pattern struct {
	Kind object.Kind // DataBag for bags and items alike
	Name string
	Sub  string
}

// ParsePattern reads KIND/NAME, cookbooks/NAME/VERSION or data_bags/BAG/ITEM,
// where KIND is a word such as cookbooks. Paths of these objects, such as
// /data/users/alice, are patterns too. The error says what to write instead.
func ParsePattern(s string) (Pattern, error) {
	word, name, _ := strings.Cut(strings.TrimPrefix(s, "/"), "/")
	name, sub, deep := strings.Cut(name, "/")
	p := Pattern{Kind: object.ParseKind(word), Name: name, Sub: sub}
	switch {
	case p.Kind == "":
		return Pattern{}, errors.New("begin with a kind, as in cookbooks/apt, environments/prod, roles/web-*, data_bags/users or data_bags/users/alice")
	case name == "" && !deep:
		return Pattern{}, fmt.Errorf("write %s/* for all of them", word)
	case deep && p.Kind != object.Cookbook && p.Kind != object.DataBag:
		return Pattern{}, fmt.Errorf("write %s/%s: %s are selected by one name only", word, name, word)
	case name == "" || deep && sub == "" || strings.Contains(sub, "/"):
		return Pattern{}, errors.New("put one / between two names, and none at the end")
	case strings.Contains(name+"/"+sub, "**"):
		return Pattern{}, errors.New("write a single *: it stands for any characters but /")
	case !isGlob(name) || deep && !isGlob(sub):
		return Pattern{}, errors.New("names have letters, digits and _ - . : only; * stands for any characters, ? for one")
	case p.Kind == object.Cookbook && deep && !strings.ContainsAny(sub, "*?") && strings.Count(sub, ".") != 2:
		return Pattern{}, errors.New("write versions as servers list them, with three numbers, such as 1.2.0 or 1.*")
	}
	return p, nil
}

// isGlob reports whether s could match a name (docs/chef-server-api.md §4.7).
func isGlob(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.:*?", c) >= 0) {
			return false
		}
	}
	return s != "" && !object.IsDots(s)
}

// String writes the pattern as ParsePattern reads it.
func (p Pattern) String() string {
	s := p.Kind.ConfigName() + "/" + p.Name
	if p.Sub != "" {
		s += "/" + p.Sub
	}
	return s
}

// matchesName reports whether the pattern is about objects of this kind and name.
func (p Pattern) matchesName(k object.Kind, name string) bool {
	return p.Kind == k.Base() && matchGlob(p.Name, name)
}

// includesRef reports whether the pattern includes an object: itself, or an item of
// it, which needs its bag.
func (p Pattern) includesRef(r object.Ref) bool {
	return p.matchesName(r.Kind, r.Name) && (p.Sub == "" || r.Kind.Child() != "" || matchGlob(p.Sub, r.Sub))
}

// excludesRef reports whether the pattern excludes an object. One that matches items
// alone leaves their bag.
func (p Pattern) excludesRef(r object.Ref) bool {
	return p.matchesName(r.Kind, r.Name) && (p.Sub == "" || r.Kind.Child() == "" && matchGlob(p.Sub, r.Sub))
}

// selectsAll reports whether everything is selected.
func (s Selection) selectsAll() bool { return len(s.Include)+len(s.Exclude) == 0 }

// Selects reports whether an object is selected. A policy in a policy group is when
// both names are: writing it writes the policy too (docs/chef-server-api.md §5.1).
func (s Selection) Selects(r object.Ref) bool {
	if bound := r.Kind.Binds(); bound != "" && r.Sub != "" && !s.Selects(object.Ref{Kind: bound, Name: r.Sub}) {
		return false
	}
	included := len(s.Include) == 0 || slices.ContainsFunc(s.Include, func(p Pattern) bool { return p.includesRef(r) })
	return included && !slices.ContainsFunc(s.Exclude, func(p Pattern) bool { return p.excludesRef(r) })
}

// Reaches reports whether the selection may hold objects of a scope. Where it says
// no there are none; where it says yes there need not be any.
func (s Selection) Reaches(scope object.Scope) bool {
	if scope.Kind == "" {
		return true
	}
	if scope.Sub != "" {
		return s.Selects(object.Ref(scope))
	}
	included := len(s.Include) == 0 || slices.ContainsFunc(s.Include, func(p Pattern) bool {
		return p.Kind == scope.Kind.Base() && (scope.Name == "" || matchGlob(p.Name, scope.Name))
	})
	return included && !slices.ContainsFunc(s.Exclude, func(p Pattern) bool { return p.excludesScope(scope) })
}

// excludesScope reports whether the pattern certainly excludes all of a scope that is a
// kind or one name of a kind.
func (p Pattern) excludesScope(scope object.Scope) bool {
	if p.Kind != scope.Kind.Base() || p.Name != "*" && (scope.Name == "" || !matchGlob(p.Name, scope.Name)) {
		return false
	}
	return p.Sub == "" || p.Sub == "*" && scope.Kind.Child() == ""
}

// matchGlob matches a name against a pattern of * and ?.
func matchGlob(pattern, name string) bool {
	p, n := 0, 0
	star, mark := -1, 0 // the last * and where in the name it may be given one more
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
