package replication

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

// Kinds lists all kinds in the order in which they are applied to a replica:
// what others refer to comes first (chef-server-api.md §4.3: an environment that
// pins an absent cookbook version breaks node runs with 412; §5.2: policies lock
// artifacts, groups bind policies, and the server checks neither).
func Kinds() []Kind {
	return []Kind{DataBag, DataBagItem, Role, Cookbook, CookbookArtifact, Policy, Environment, PolicyGroup}
}

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
	case CookbookArtifact:
		return 4
	case Policy:
		return 5
	case Environment:
		return 6
	case PolicyGroup:
		return 7
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
	case CookbookArtifact:
		return "cookbook_artifacts"
	case Policy:
		return "policies"
	case PolicyGroup:
		return "policy_groups"
	}
	return string(k)
}

// between is the segment between the two names in the kind's paths, if any.
func (k Kind) between() string {
	switch k {
	case Policy:
		return "revisions"
	case PolicyGroup:
		return "policies"
	}
	return ""
}

// family is the kind that configuration and patterns know a kind by: bags stand
// for their items too.
func (k Kind) family() Kind {
	if k == DataBagItem {
		return DataBag
	}
	return k
}

// twofold tells whether it always takes two names to name an object of the kind,
// such as a cookbook's and its version.
func (k Kind) twofold() bool {
	switch k {
	case Cookbook, DataBagItem, CookbookArtifact, Policy, PolicyGroup:
		return true
	}
	return false
}

// Word is the kind's word in a configuration.
func (k Kind) Word() string {
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
	case "cookbook_artifacts":
		return CookbookArtifact
	case "policies":
		return Policy
	case "policy_groups":
		return PolicyGroup
	}
	return ""
}

// DefaultEnvironment exists in every organization and can't be written
// (chef-server-api.md §4.3). It is never replicated, deleted or compared.
const DefaultEnvironment = "_default"
