// Package object names and describes what is replicated: cookbook versions,
// environments, roles, data bags and their items, policies and their artifacts.
// All that distinguishes one kind from another is in its table of kinds.
package object

import (
	"fmt"
	"slices"
	"strings"
)

// Ref names one object. It is comparable. Sub is the version of a cookbook, the
// id of a data bag item, the identifier of a cookbook artifact, the revision of a
// policy or the policy in a policy group, and empty for the other kinds.
type Ref struct {
	Kind Kind
	Name string
	Sub  string
}

// Path returns the object's path below its organization in the Chef Server API,
// such as /cookbooks/apache2/2.0.0 or /data/users/alice. It is how objects are
// named in state, logs and output.
func (r Ref) Path() string {
	p := r.Kind.properties()
	path := "/" + p.collection
	if r.Name != "" {
		path += "/" + r.Name
	}
	if r.Sub != "" {
		if p.infix != "" {
			path += "/" + p.infix
		}
		path += "/" + r.Sub
	}
	if r.Kind == DataBagItem && r.Name != "" && r.Sub == "" {
		path += "/" // the listing of a bag's items: /data/users is the bag
	}
	return path
}

// String returns the path.
func (r Ref) String() string { return r.Path() }

// ParseRef reads a path as [Ref.Path] writes it. /data/B is the bag B,
// /data/B/I the item I. A leading slash may be missing, and data_bags is
// accepted for data, as people write it.
func ParseRef(path string) (Ref, error) {
	ref, ok := ParsePath(strings.TrimRight(path, "/"))
	if !ok || ref.IsListing() || IsDots(ref.Name) || IsDots(ref.Sub) {
		return Ref{}, fmt.Errorf("%q is not the path of an object: expected /cookbooks/NAME/VERSION, /environments/NAME, /roles/NAME, "+
			"/data/BAG, /data/BAG/ITEM, /policies/NAME/revisions/ID, /policy_groups/GROUP/policies/NAME or /cookbook_artifacts/NAME/ID", path)
	}
	return ref, nil
}

// IsDots reports whether a name is one that path normalisers would collapse.
func IsDots(name string) bool { return name == "." || name == ".." }

// ParsePath reads the path of an object or of a listing, such as /roles, or /data/B/ of
// the items of the bag B.
func ParsePath(path string) (Ref, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	ref := Ref{Kind: ParseKind(parts[0])}
	if ref.Kind == "" || slices.Contains(parts, "") {
		return Ref{}, false
	}
	if infix := ref.Kind.properties().infix; infix != "" && len(parts) == 4 && parts[2] == infix {
		parts = slices.Delete(parts, 2, 3)
	} else if infix != "" && len(parts) > 2 {
		return Ref{}, false
	}
	if len(parts) > 1 {
		ref.Name = parts[1]
	}
	if len(parts) > 2 {
		if ref.Sub = parts[2]; ref.Kind == DataBag {
			ref.Kind = DataBagItem
		}
	}
	if len(parts) > 3 || ref.Sub != "" && !ref.Kind.HasTwoNames() {
		return Ref{}, false
	}
	if ref.Kind == DataBag && ref.Name != "" && strings.HasSuffix(path, "/") {
		ref.Kind = DataBagItem
	}
	return ref, true
}

// MarshalText writes the path, so that a Ref can be a JSON key.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.Path()), nil }

// UnmarshalText reads what MarshalText wrote, paths of listings such as /roles
// and /cookbooks/apache2 included: a listing that failed is recorded by them.
func (r *Ref) UnmarshalText(b []byte) error {
	ref, ok := ParsePath(string(b))
	if !ok {
		return fmt.Errorf("%q is not the path of an object or a listing", b)
	}
	*r = ref
	return nil
}

// IsListing reports whether the Ref names a listing instead of one object.
func (r Ref) IsListing() bool { return r.Name == "" || r.Kind.HasTwoNames() && r.Sub == "" }

// Compare orders objects as they are applied: by kind, then name, then version or
// item.
func Compare(a, b Ref) int {
	if d := a.Kind.Order() - b.Kind.Order(); d != 0 {
		return d
	}
	if d := strings.Compare(a.Name, b.Name); d != 0 {
		return d
	}
	return strings.Compare(a.Sub, b.Sub)
}

// Scope is a set of objects that a change may have touched. The zero Scope is
// everything; a Kind alone is the whole kind; Kind and Name of a cookbook are
// all its versions, of a data bag the bag with all its items, of a policy all its
// revisions; all three are one object.
type Scope struct {
	Kind Kind
	Name string
	Sub  string
}

// ScopeOf returns the scope of exactly one object, and of what a server changes with
// it without a row of its own: the items of a data bag that is deleted
// (docs/chef-server-api.md §4.4), and the policy groups that a policy is in (§5.1).
func ScopeOf(r Ref) Scope { return Scope(r) }

// Contains reports whether r belongs to the scope.
func (s Scope) Contains(r Ref) bool {
	switch {
	case s.Kind == "":
		return true
	case s.Kind == Policy && r.Kind == PolicyGroup:
		return s.Name == "" || s.Name == r.Sub
	case s.Kind != r.Kind && !(s.Kind == DataBag && r.Kind == DataBagItem):
		return false
	}
	return (s.Name == "" || s.Name == r.Name) && (s.Sub == "" || s.Sub == r.Sub)
}

// Object is one object as a server holds it.
type Object struct {
	Ref Ref
	// Body is the raw JSON of the server's answer: numbers as text, key order
	// and unknown fields kept.
	Body []byte
	// Fingerprint is the hash of the canonical form of Body. Two objects are
	// equal when their fingerprints are.
	Fingerprint string
	// Files are the files of a cookbook version or artifact, without duplicates.
	Files []File
}

// File is the content of one or more files of a cookbook version.
type File struct {
	// Checksum is the lower-case hexadecimal MD5 of the content.
	Checksum string
	// URL is where the server that returned the object serves the content. It
	// is signed, expires, and never enters a fingerprint.
	URL string
	// Path is one of the paths that have this content, for messages.
	Path string
}

// Touches reports whether the scope may hold objects of a kind.
func (s Scope) Touches(k Kind) bool {
	switch {
	case s.Kind == "" || s.Kind == k:
		return !(k == DataBag && s.Name != "")
	case s.Kind == DataBag:
		return k == DataBagItem
	}
	return false
}
