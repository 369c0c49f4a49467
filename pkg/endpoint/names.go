package endpoint

import (
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/object"
)

// validName reports whether a name can be requested: it is valid in a path and not a
// route of the server (docs/chef-server-api.md §4.4, §4.7).
func validName(name string) bool { return chef.ValidName(name) && name != "_acl" }

// validRef reports whether all names of an object can be requested.
func validRef(r object.Ref) bool {
	switch {
	case !r.Kind.IsKnown() || !validName(r.Name):
		return false
	case r.Kind.IsVersioned():
		return validVersion(r.Sub)
	case r.Kind.HasTwoNames():
		return validName(r.Sub)
	}
	return r.Sub == ""
}

// validVersion reports whether v is one to three numbers joined by dots.
func validVersion(v string) bool {
	parts := strings.Split(v, ".")
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return len(parts) <= 3
}

// sameVersion reports whether two strings name the same version: servers store three
// numbers, so 1, 1.0 and 01.0.0 are the same (docs/chef-server-api.md §3.3).
func sameVersion(a, b string) bool {
	return validVersion(a) && validVersion(b) && threeNumbers(a) == threeNumbers(b)
}

func threeNumbers(v string) [3]string {
	out := [3]string{"0", "0", "0"}
	for i, p := range strings.Split(v, ".") {
		if p = strings.TrimLeft(p, "0"); p != "" {
			out[i] = p
		}
	}
	return out
}
