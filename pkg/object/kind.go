package object

import "chefsync/pkg/object/canonical"

// Kind is one kind of replicated object.
type Kind string

// The kinds of objects. A configuration selects cookbooks, environments, roles,
// data_bags, policies, policy_groups and cookbook_artifacts; data_bags stands for
// both bags and their items.
const (
	Cookbook         Kind = "cookbook"          // one cookbook version
	Environment      Kind = "environment"       // one environment, never _default
	Role             Kind = "role"              // one role
	DataBag          Kind = "data_bag"          // one data bag, which has no content but its name
	DataBagItem      Kind = "data_bag_item"     // one item of a data bag
	CookbookArtifact Kind = "cookbook_artifact" // one cookbook under the identifier of its content
	Policy           Kind = "policy"            // one revision of a policy
	// PolicyGroup is one policy in a policy group: the revision that nodes of the
	// group run. A group is nothing but these, and goes with the last of them.
	PolicyGroup Kind = "policy_group"
)

// DefaultEnvironment exists in every organization and can't be written
// (docs/chef-server-api.md §4.3). It is never replicated, deleted or compared.
const DefaultEnvironment = "_default"

// properties is what distinguishes one kind from another.
type properties struct {
	kind Kind
	// collection is the first segment of the kind's paths in the Chef Server API,
	// and infix the segment between an object's two names, if any.
	collection, infix string
	// configName is the kind's word in a configuration, and base the kind that this
	// word names: bags stand for their items too.
	configName string
	base       Kind
	// name and sub are the members of a body that hold the object's two names.
	name, sub   string
	hasTwoNames bool
	// phase is when the kind is applied: after all kinds with a smaller one, at the
	// same time as others with the same.
	phase       int
	isVersioned bool // the second name is a version of three numbers
	hasFiles    bool
	// index is what the kind's objects are searched by: a name, perName for the
	// object's first name, "" for kinds that no server indexes.
	index     string
	canonical func(body []byte) ([]byte, error)
}

const perName = "*"

// kindTable has a row for each kind, in the order in which kinds are applied to a
// replica. What others refer to comes first: an environment that pins an absent
// cookbook version breaks node runs with 412 (docs/chef-server-api.md §4.3); policies
// lock artifacts, groups bind policies, and the server checks neither (§5.2). It is
// read-only.
var kindTable = []properties{
	{kind: DataBag, collection: "data", configName: "data_bags", base: DataBag, name: "name"},
	{kind: DataBagItem, collection: "data", configName: "data_bags", base: DataBag, sub: "id", hasTwoNames: true,
		index: perName, phase: 1, canonical: canonical.DataBagItem},
	{kind: Role, collection: "roles", configName: "roles", base: Role, name: "name", index: "role", phase: 1, canonical: canonical.Role},
	{kind: Cookbook, collection: "cookbooks", configName: "cookbooks", base: Cookbook, name: "cookbook_name", sub: "version",
		hasTwoNames: true, isVersioned: true, hasFiles: true, phase: 1, canonical: canonical.CookbookVersion},
	{kind: CookbookArtifact, collection: "cookbook_artifacts", configName: "cookbook_artifacts", base: CookbookArtifact,
		name: "name", sub: "identifier", hasTwoNames: true, hasFiles: true, phase: 1, canonical: canonical.CookbookArtifact},
	{kind: Policy, collection: "policies", infix: "revisions", configName: "policies", base: Policy,
		name: "name", sub: "revision_id", hasTwoNames: true, phase: 2, canonical: canonical.PolicyRevision},
	{kind: Environment, collection: "environments", configName: "environments", base: Environment, name: "name",
		index: "environment", phase: 2, canonical: canonical.Environment},
	{kind: PolicyGroup, collection: "policy_groups", infix: "policies", configName: "policy_groups", base: PolicyGroup,
		sub: "name", hasTwoNames: true, phase: 3, canonical: canonical.PolicyRevision},
}

// properties returns the kind's row of the table. A kind that isn't one has a row
// of its own.
func (k Kind) properties() properties {
	for _, p := range kindTable {
		if p.kind == k {
			return p
		}
	}
	return properties{kind: k, collection: string(k), configName: string(k), base: k, name: "name"}
}

// Kinds returns all kinds in the order in which they are applied to a replica.
func Kinds() []Kind {
	kinds := make([]Kind, len(kindTable))
	for i, p := range kindTable {
		kinds[i] = p.kind
	}
	return kinds
}

// Phases returns all kinds in the order in which they are applied, those together
// that don't depend on each other.
func Phases() [][]Kind {
	var phases [][]Kind
	for _, p := range kindTable {
		if p.phase == len(phases) {
			phases = append(phases, nil)
		}
		phases[p.phase] = append(phases[p.phase], p.kind)
	}
	return phases
}

// DefaultKinds returns the kinds that a pair replicates unless it says otherwise,
// in the order in which a configuration names them. DataBag stands for the items
// too.
func DefaultKinds() []Kind { return []Kind{Cookbook, Environment, Role, DataBag} }

// ParseKind returns the kind of a collection's path or of a word in a
// configuration, or "". It is DataBag for items.
func ParseKind(word string) Kind {
	for _, p := range kindTable {
		if p.collection == word || p.configName == word {
			return p.base
		}
	}
	return ""
}

// IsKnown reports whether k is one of Kinds.
func (k Kind) IsKnown() bool { return k.Order() < len(kindTable) }

// Order returns the place of the kind in the order of application.
func (k Kind) Order() int {
	for i, p := range kindTable {
		if p.kind == k {
			return i
		}
	}
	return len(kindTable)
}

// Collection returns the first segment of the kind's paths in the Chef Server API.
func (k Kind) Collection() string { return k.properties().collection }

// Infix returns the segment between the two names of an object in its path, or "".
func (k Kind) Infix() string { return k.properties().infix }

// ConfigName returns the kind's word in a configuration.
func (k Kind) ConfigName() string { return k.properties().configName }

// Base returns the kind that configuration and patterns know k by: DataBag for the
// items of bags.
func (k Kind) Base() Kind { return k.properties().base }

// HasTwoNames reports whether it always takes two names to name an object of the
// kind, such as a cookbook's and its version.
func (k Kind) HasTwoNames() bool { return k.properties().hasTwoNames }

// IsVersioned reports whether the second name of the kind's objects is a version
// of three numbers.
func (k Kind) IsVersioned() bool { return k.properties().isVersioned }

// HasFiles reports whether objects of the kind have files.
func (k Kind) HasFiles() bool { return k.properties().hasFiles }

// NameMembers returns the members of a body that hold the object's two names; "" for
// a name that the body doesn't have.
func (k Kind) NameMembers() (name, sub string) {
	p := k.properties()
	return p.name, p.sub
}

// SearchIndex returns the name under which a Chef Server searches the collection that
// an object belongs to, and the field that names the object there. The index is ""
// where there is none: bags with the names of the server's own indexes can't be told
// from these.
func (r Ref) SearchIndex() (index, field string) {
	p := r.Kind.properties()
	if p.index != perName {
		return p.index, p.name
	}
	switch r.Name {
	case "client", "environment", "node", "role":
		return "", p.sub
	}
	return r.Name, p.sub
}
