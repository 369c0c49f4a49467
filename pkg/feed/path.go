package feed

import (
	"net/url"
	"strconv"
	"strings"

	"chefsync/pkg/object"
)

// ParsePath tells what objects a path of the feed may mean. Accepted are paths
// below the organization (/roles/web), with the organization
// (/organizations/ORG/roles/web), whole URLs, percent-encoding, and doubled,
// missing or trailing slashes. Cookbooks come with or without a version, bags
// as /data/B or /data_bags/B, with or without an item, policies, policy groups and
// cookbook artifacts with one name or two.
//
// What can't be understood under a known collection means the whole kind. What
// can't be understood at all means everything: the zero Scope. Replicate is
// false for paths of things that aren't replicated, such as nodes and clients,
// and of ACLs.
func ParsePath(path string) (scope object.Scope, replicate bool) {
	parts, ok := segments(path)
	if !ok || len(parts) == 0 {
		return object.Scope{}, true
	}
	if parts[0] == "organizations" {
		if len(parts) <= 2 {
			return object.Scope{}, false // the organization's own record
		}
		parts = parts[2:]
	}
	collection, rest := parts[0], parts[1:]
	if len(rest) > 1 && rest[1] == "_acl" {
		return object.Scope{}, false
	}
	switch collection {
	case "roles":
		return named(object.Role, rest, "environments"), true
	case "environments":
		s := named(object.Environment, rest, "")
		return s, s.Name != object.DefaultEnvironment
	case "cookbooks":
		return cookbook(rest), true
	case "data", "data_bags":
		return bag(rest), true
	case "cookbook_artifacts":
		return twofold(object.CookbookArtifact, rest, ""), true
	case "policies":
		return twofold(object.Policy, rest, "revisions"), true
	case "policy_groups":
		return twofold(object.PolicyGroup, rest, "policies"), true
	}
	return object.Scope{}, !ignored(collection)
}

// ignored reports whether a collection is known and never replicated. Rows about them are frequent on a busy server.
func ignored(collection string) bool {
	switch collection {
	case "acls", "association_requests", "clients", "containers", "controls", "groups", "keys", "license", "nodes",
		"principals", "reports", "required_recipe", "runs", "sandboxes", "search", "users":
		return true
	}
	return false
}

// segments splits a path, or reports that it can't be decoded.
func segments(path string) (parts []string, ok bool) {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	if scheme, rest, found := strings.Cut(path, "://"); found && !strings.Contains(scheme, "/") {
		_, path, _ = strings.Cut(rest, "/")
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		part, err := url.PathUnescape(part)
		if err != nil {
			return nil, false
		}
		parts = append(parts, part)
	}
	return parts, true
}

// named is the scope of a role or environment. Below names the only known
// thing under one object.
func named(k object.Kind, rest []string, below string) object.Scope {
	whole := object.Scope{Kind: k}
	switch {
	case len(rest) == 0 || !legal(rest[0]):
		return whole
	case len(rest) == 1, below != "" && rest[1] == below && len(rest) <= 3:
		return object.Scope{Kind: k, Name: rest[0]}
	}
	return whole
}

func cookbook(rest []string) object.Scope {
	s := object.Scope{Kind: object.Cookbook}
	// _latest and _recipes are views of all cookbooks (docs/chef-server-api.md §3.1).
	if len(rest) == 0 || len(rest) > 2 || !legal(rest[0]) || rest[0] == "_latest" || rest[0] == "_recipes" {
		return s
	}
	s.Name = rest[0]
	if len(rest) == 2 && isVersion(rest[1]) {
		s.Sub = rest[1]
	}
	return s
}

func bag(rest []string) object.Scope {
	switch {
	case len(rest) == 1 && legal(rest[0]):
		return object.Scope{Kind: object.DataBag, Name: rest[0]}
	case len(rest) == 2 && legal(rest[0]) && legal(rest[1]):
		return object.Scope{Kind: object.DataBagItem, Name: rest[0], Sub: rest[1]}
	}
	return object.Scope{Kind: object.DataBag}
}

// twofold is the scope of a kind whose objects have two names with a fixed word
// between them, or none.
func twofold(k object.Kind, rest []string, between string) object.Scope {
	s := object.Scope{Kind: k}
	if len(rest) == 0 || !legal(rest[0]) {
		return s
	}
	name, rest := rest[0], rest[1:]
	if between != "" && len(rest) > 0 {
		if rest[0] != between {
			return s
		}
		rest = rest[1:]
	}
	switch {
	case len(rest) == 0:
		s.Name = name
	case len(rest) == 1 && legal(rest[0]):
		s.Name, s.Sub = name, rest[0]
	}
	return s
}

// legal tells whether a name is one that a Chef Server would accept for some
// kind (docs/chef-server-api.md §4.7). A name of dots alone would change the path.
func legal(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.:", c) >= 0) {
			return false
		}
	}
	return name != "" && name != "." && name != ".."
}

// isVersion tells whether a version is written as servers list it. 1.0 and
// 1.0.0 are one version (docs/chef-server-api.md §3.3), so another spelling can't
// name an object.
func isVersion(v string) bool {
	count := 0
	for part := range strings.SplitSeq(v, ".") {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n < 0 || strconv.FormatInt(n, 10) != part {
			return false
		}
		count++
	}
	return count == 3
}
