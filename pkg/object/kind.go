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
	configName        string // the kind's word in a configuration
	parent            Kind   // of the object that holds the kind's objects
	binds             Kind   // whose revisions the kind's objects name
	// name and sub are the members of a body that hold the object's two names; sub is ""
	// for kinds whose objects have one.
	name, sub string
	// phase is when the kind is applied: after all kinds with a smaller one, at the
	// same time as others with the same.
	phase              int
	isVersioned        bool // the second name is a version of three numbers
	isImmutable        bool
	hasFiles           bool
	createsInContainer bool
	isOptional         bool
	isSequential       bool
	frozenMember       string   // of a body: true for an object that is changed by force only
	reserved           string   // the name of an object that every organization has
	listQuery          string   // makes a list complete
	views              []string // names in the collection that aren't those of objects
	subresource        string   // the segment after an object's name for a part of the object
	// index is what the kind's objects are searched by: a name, perName for the
	// object's first name, "" for kinds that no server indexes.
	index string
	// entities are the kind's names in data collector messages.
	entities  []entity
	canonical func(body []byte) ([]byte, error) // nil for a kind without content
}

const perName = "*"

// entity is an entity type of data collector messages, with the type of its parent if
// that has the object's first name (docs/chef-server-api.md §14).
type entity struct{ name, parent string }

// kindTable has a row for each kind, in the order in which kinds are applied to a
// replica. What others refer to comes first: an environment that pins an absent
// cookbook version breaks node runs with 412 (docs/chef-server-api.md §4.3); policies
// lock artifacts, groups bind policies, and the server checks neither (§5.2). It is
// read-only.
var kindTable = []*properties{
	{
		kind: DataBag, collection: "data", configName: "data_bags", name: "name", isImmutable: true,
		entities: []entity{{name: "bag"}},
	},
	{
		kind: DataBagItem, collection: "data", configName: "data_bags", parent: DataBag, sub: "id",
		index: perName, phase: 1, entities: []entity{{"item", "bag"}}, canonical: canonical.DataBagItem,
	},
	{
		kind: Role, collection: "roles", configName: "roles", name: "name", subresource: "environments", index: "role",
		phase: 1, entities: []entity{{name: "role"}}, canonical: canonical.Role,
	},
	{
		kind: Cookbook, collection: "cookbooks", configName: "cookbooks", name: "cookbook_name", sub: "version",
		isVersioned: true, hasFiles: true, isSequential: true, frozenMember: "frozen?",
		listQuery: "num_versions=all", views: []string{"_latest", "_recipes"}, phase: 1,
		entities: []entity{{"version", "cookbook"}}, canonical: canonical.CookbookVersion,
	},
	{
		kind: CookbookArtifact, collection: "cookbook_artifacts", configName: "cookbook_artifacts",
		name: "name", sub: "identifier", isImmutable: true, hasFiles: true, createsInContainer: true, isOptional: true,
		isSequential: true, phase: 1, canonical: canonical.CookbookArtifact,
		entities: []entity{{"cookbook_artifact_version", "cookbook_artifact"}, {name: "cookbook_artifact"}},
	},
	{
		kind: Policy, collection: "policies", infix: "revisions", configName: "policies", name: "name",
		sub: "revision_id", isImmutable: true, isOptional: true, isSequential: true, phase: 2,
		entities: []entity{{name: "policy"}}, canonical: canonical.PolicyRevision,
	},
	{
		kind: Environment, collection: "environments", configName: "environments", name: "name",
		reserved: DefaultEnvironment, index: "environment", phase: 2, entities: []entity{{name: "environment"}},
		canonical: canonical.Environment,
	},
	{
		kind: PolicyGroup, collection: "policy_groups", infix: "policies", configName: "policy_groups",
		binds: Policy, sub: "name", isOptional: true, isSequential: true, phase: 3,
		entities: []entity{{"policy", "policy_group"}, {name: "policy_group"}}, canonical: canonical.PolicyRevision,
	},
}

// properties returns the kind's row of the table. A kind that isn't one has a row
// of its own.
func (k Kind) properties() *properties {
	for _, p := range kindTable {
		if p.kind == k {
			return p
		}
	}
	return &properties{kind: k, collection: string(k), configName: string(k), name: "name"}
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
			return p.kind.Base()
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
