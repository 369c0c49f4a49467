package replication

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is one kind of replicated object.
type Kind string

// The kinds of objects. A configuration selects cookbooks, environments, roles
// and data_bags; data_bags stands for both bags and their items.
const (
	Cookbook    Kind = "cookbook"      // one cookbook version
	Environment Kind = "environment"   // one environment, never _default
	Role        Kind = "role"          // one role
	DataBag     Kind = "data_bag"      // one data bag, which has no content but its name
	DataBagItem Kind = "data_bag_item" // one item of a data bag
)

// Kinds lists all kinds in the order in which they are applied to a replica:
// what others refer to comes first (chef-server-api.md §4.3: an environment that
// pins an absent cookbook version breaks node runs with 412).
func Kinds() []Kind { return []Kind{DataBag, DataBagItem, Role, Cookbook, Environment} }

// DefaultKinds are the kinds that a pair replicates unless it says otherwise, in
// the order in which a configuration names them. DataBag stands for the items too.
func DefaultKinds() []Kind { return []Kind{Cookbook, Environment, Role, DataBag} }

// order is the place of a kind in the order of application.
func (k Kind) order() int {
	switch k {
	case DataBag:
		return 0
	case DataBagItem:
		return 1
	case Role:
		return 2
	case Cookbook:
		return 3
	case Environment:
		return 4
	}
	return 9
}

// collection is the first segment of the kind's paths in the Chef Server API.
func (k Kind) collection() string {
	switch k {
	case Cookbook:
		return "cookbooks"
	case Environment:
		return "environments"
	case Role:
		return "roles"
	case DataBag, DataBagItem:
		return "data"
	}
	return string(k)
}

// family is the kind that configuration and patterns know a kind by: bags stand
// for their items too.
func (k Kind) family() Kind {
	if k == DataBagItem {
		return DataBag
	}
	return k
}

// hasSub tells whether objects of the kind have two names, such as a cookbook's
// and its version.
func (k Kind) hasSub() bool { return k.family() == DataBag || k == Cookbook }

// word is the kind's word in a configuration.
func (k Kind) word() string {
	if k.family() == DataBag {
		return "data_bags"
	}
	return k.collection()
}

// kindOfCollection reads the first segment of a path, or the kind's word in a
// configuration. It is "" for anything else, and DataBag for items.
func kindOfCollection(word string) Kind {
	switch word {
	case "cookbooks":
		return Cookbook
	case "environments":
		return Environment
	case "roles":
		return Role
	case "data", "data_bags":
		return DataBag
	}
	return ""
}

// DefaultEnvironment exists in every organization and can't be written
// (chef-server-api.md §4.3). It is never replicated, deleted or compared.
const DefaultEnvironment = "_default"

// Ref names one object. It is comparable. Sub is the version of a cookbook or
// the id of a data bag item and empty for the other kinds.
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
		return Ref{}, fmt.Errorf("%q is not the path of an object: expected /cookbooks/NAME/VERSION, /environments/NAME, /roles/NAME, /data/BAG or /data/BAG/ITEM", path)
	}
	return ref, nil
}

// dots tells of names that path normalisers would collapse.
func dots(name string) bool { return name == "." || name == ".." }

// splitPath reads the path of an object or a listing.
func splitPath(path string) (Ref, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if slices.Contains(parts, "") || len(parts) > 3 {
		return Ref{}, false
	}
	ref := Ref{Kind: kindOfCollection(parts[0])}
	if ref.Kind == "" {
		return Ref{}, false
	}
	if len(parts) > 1 {
		ref.Name = parts[1]
	}
	if len(parts) > 2 {
		if !ref.Kind.hasSub() {
			return Ref{}, false
		}
		if ref.Sub = parts[2]; ref.Kind == DataBag {
			ref.Kind = DataBagItem
		}
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
func (r Ref) IsListing() bool { return r.Name == "" || r.Kind == Cookbook && r.Sub == "" }

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
// all its versions, of a data bag the bag with all its items; all three are
// one object.
type Scope struct {
	Kind Kind
	Name string
	Sub  string
}

// ScopeOf is the scope of exactly one object. For a data bag it includes the
// items, since deleting a bag deletes them without a row of their own
// (chef-server-api.md §4.4).
func ScopeOf(r Ref) Scope { return Scope(r) }

// Contains tells whether r belongs to the scope.
func (s Scope) Contains(r Ref) bool {
	if s.Kind == "" {
		return true
	}
	kindOK := s.Kind == r.Kind || s.Kind == DataBag && r.Kind == DataBagItem
	return kindOK && (s.Name == "" || s.Name == r.Name) && (s.Sub == "" || s.Sub == r.Sub)
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
	// Files are the files of a cookbook version, without duplicates.
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
