package replication

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

// Path is the object's path below its organization in the Chef Server API,
// such as /cookbooks/apache2/2.0.0 or /data/users/alice. It is how objects are
// named in state, logs and output.
func (r Ref) Path() string {
	p := "/" + r.Kind.collection()
	if r.Name != "" {
		p += "/" + r.Name
	}
	if r.Sub != "" {
		if between := r.Kind.between(); between != "" {
			p += "/" + between
		}
		p += "/" + r.Sub
	}
	return p
}

// String is the path.
func (r Ref) String() string { return r.Path() }

// ParseRef reads a path as [Ref.Path] writes it. /data/B is the bag B,
// /data/B/I the item I. A leading slash may be missing, and data_bags is
// accepted for data, as people write it.
func ParseRef(path string) (Ref, error) {
	ref, ok := splitPath(path)
	if !ok || ref.IsListing() || dots(ref.Name) || dots(ref.Sub) {
		return Ref{}, fmt.Errorf("%q is not the path of an object: expected /cookbooks/NAME/VERSION, /environments/NAME, /roles/NAME, /data/BAG, /data/BAG/ITEM, /policies/NAME/revisions/ID, /policy_groups/GROUP/policies/NAME or /cookbook_artifacts/NAME/ID", path)
	}
	return ref, nil
}

// dots tells of names that path normalisers would collapse.
func dots(name string) bool { return name == "." || name == ".." }

// splitPath reads the path of an object or a listing.
func splitPath(path string) (Ref, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	ref := Ref{Kind: kindOfCollection(parts[0])}
	if ref.Kind == "" || slices.Contains(parts, "") {
		return Ref{}, false
	}
	if between := ref.Kind.between(); between != "" && len(parts) == 4 && parts[2] == between {
		parts = slices.Delete(parts, 2, 3)
	} else if between != "" && len(parts) > 2 {
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
	if len(parts) > 3 || ref.Sub != "" && !ref.Kind.twofold() {
		return Ref{}, false
	}
	return ref, true
}

// MarshalText writes the path, so that a Ref can be a JSON key.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.Path()), nil }

// UnmarshalText reads what MarshalText wrote, paths of listings such as /roles
// and /cookbooks/apache2 included: a listing that failed is recorded by them.
func (r *Ref) UnmarshalText(b []byte) error {
	ref, ok := splitPath(string(b))
	if !ok {
		return fmt.Errorf("%q is not the path of an object or a listing", b)
	}
	*r = ref
	return nil
}

// IsListing tells whether the Ref names a listing instead of one object.
func (r Ref) IsListing() bool { return r.Name == "" || r.Kind.twofold() && r.Sub == "" }

// bag is the data bag of an item.
func (r Ref) bag() Ref { return Ref{Kind: DataBag, Name: r.Name} }

// CompareRefs orders objects as they are applied: by kind, then name, then
// version or item.
func CompareRefs(a, b Ref) int {
	if d := a.Kind.order() - b.Kind.order(); d != 0 {
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

// ScopeOf is the scope of exactly one object, and of what a server changes with
// it without a row of its own: the items of a data bag that is deleted
// (chef-server-api.md §4.4), and the policy groups that a policy is in (§5.1).
func ScopeOf(r Ref) Scope { return Scope(r) }

// Contains tells whether r belongs to the scope.
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
