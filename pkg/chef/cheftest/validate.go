package cheftest

import (
	"slices"
	"strconv"
	"strings"
)

// parseBody reads the body as a JSON object.
func parseBody(q *request) *answer {
	v, err := decode(q.body)
	if err != nil {
		return invalid("invalid JSON")
	}
	o, isObject := v.(*object)
	if !isObject {
		return invalid("Incorrect JSON type for request body")
	}
	q.doc = o
	return nil
}

// nameKind is a set of characters that names of a kind may have
// (docs/chef-server-api.md §4.7).
type nameKind int

const (
	cookbookName    nameKind = iota // letters, digits, _ - .
	environmentName                 // the same
	roleName                        // and :
)

func validName(kind nameKind, s string) bool {
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '.':
		case r == ':' && kind == roleName:
		default:
			return false
		}
	}
	return s != ""
}

func strictKeys(o *object, allowed ...string) *answer {
	for _, m := range o.members {
		if !slices.Contains(allowed, m.key) {
			return invalid("Invalid key %s in request body", m.key)
		}
	}
	return nil
}

func checkString(o *object, key, want string) *answer {
	v, found := o.get(key)
	if !found {
		return invalid("Field '%s' missing", key)
	}
	if v != want {
		return invalid("Field '%s' invalid", key)
	}
	return nil
}

func checkHashes(o *object, keys ...string) *answer {
	for _, k := range keys {
		if v, _ := o.get(k); v == nil {
			continue
		} else if _, isObject := v.(*object); !isObject {
			return invalid("Field '%s' is not a hash", k)
		}
	}
	return nil
}

func optionalStrings(o *object, prefix string, keys ...string) *answer {
	for _, k := range keys {
		v, found := o.get(k)
		if _, isString := v.(string); found && !isString {
			return invalid("Field '%s%s' invalid", prefix, k)
		}
	}
	return nil
}

// firstAnswer returns the first answer that isn't nil.
func firstAnswer(answers ...*answer) *answer {
	for _, a := range answers {
		if a != nil {
			return a
		}
	}
	return nil
}

// checkConstraints checks a map of cookbook names to version constraints.
func checkConstraints(o *object, key, shown string) *answer {
	v, found := o.get(key)
	if !found {
		return nil
	}
	m, isObject := v.(*object)
	if !isObject {
		return invalid("Field '%s' is not a hash", shown)
	}
	for _, e := range m.members {
		if !validName(cookbookName, e.key) {
			return invalid("Invalid key '%s' for %s", e.key, shown)
		}
		text, isString := e.val.(string)
		if !isString || !validConstraint(text) {
			return invalid("Invalid value '%s' for %s", text, shown)
		}
	}
	return nil
}

func validConstraint(text string) bool {
	for _, op := range []string{"<= ", ">= ", "~> ", "< ", "> ", "= "} {
		if rest, found := strings.CutPrefix(text, op); found {
			text = rest
			break
		}
	}
	_, valid := parseVersion(text)
	return valid
}

// version is the version of a cookbook: 1.2 and 1.2.0 are the same.
type version [3]int64

// String returns three numbers, as in lists.
func (v version) String() string {
	return strconv.FormatInt(v[0], 10) + "." + strconv.FormatInt(v[1], 10) + "." + strconv.FormatInt(v[2], 10)
}

func (v version) compare(w version) int { return slices.Compare(v[:], w[:]) }

func parseVersion(s string) (v version, valid bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 3 {
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.ParseInt(p, 10, 64)
		if err != nil || n < 0 || p[0] == '+' || p[0] == '-' {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

// parseRunList checks a run list and returns it in its stored form: recipes
// qualified, repeated items removed (docs/chef-server-api.md §4.2).
func parseRunList(v any) ([]any, bool) {
	list, isList := v.([]any)
	if !isList {
		return nil, false
	}
	out := make([]any, 0, len(list))
	for _, e := range list {
		item, isString := e.(string)
		if !isString || !validRunListItem(item) {
			return nil, false
		}
		if !strings.HasPrefix(item, "recipe[") && !strings.HasPrefix(item, "role[") {
			item = "recipe[" + item + "]"
		}
		if !slices.Contains(out, any(item)) {
			out = append(out, item)
		}
	}
	return out, true
}

func validRunListItem(item string) bool {
	if role, found := strings.CutPrefix(item, "role["); found {
		role, closed := strings.CutSuffix(role, "]")
		return closed && validName(cookbookName, role)
	}
	if recipe, found := strings.CutPrefix(item, "recipe["); found {
		var closed bool
		if item, closed = strings.CutSuffix(recipe, "]"); !closed {
			return false
		}
	}
	name, ver, versioned := strings.Cut(item, "@")
	if _, valid := parseVersion(ver); versioned && (!valid || !strings.Contains(ver, ".")) {
		return false
	}
	book, recipe, qualified := strings.Cut(name, "::")
	return validName(cookbookName, book) && (!qualified || validName(cookbookName, recipe))
}
