package feed

import (
	"net/url"
	"strings"

	"chefsync/pkg/chef"
	"chefsync/pkg/object"
)

// ParsePath returns the objects that a path of the feed may mean. Accepted are paths
// below the organization (/roles/web), with the organization
// (/organizations/ORG/roles/web), whole URLs, percent-encoding, and doubled,
// missing or trailing slashes. Cookbooks come with or without a version, bags
// as /data/B or /data_bags/B, with or without an item, policies, policy groups and
// cookbook artifacts with one name or two.
//
// What can't be understood below a known collection means the whole kind, what can't
// be understood at all means everything: the zero Scope. Replicate is false for paths
// of what isn't replicated, such as nodes, clients and ACLs.
func ParsePath(path string) (scope object.Scope, replicate bool) {
	parts, ok := splitPath(path)
	if !ok || len(parts) == 0 {
		return object.Scope{}, true
	}
	if parts[0] == "organizations" {
		if len(parts) <= 2 {
			return object.Scope{}, false // the organization's own record
		}
		parts = parts[2:]
	}
	if len(parts) > 2 && parts[2] == "_acl" {
		return object.Scope{}, false
	}
	kind := object.ParseKind(parts[0])
	if kind == "" {
		return object.Scope{}, !isIgnored(parts[0])
	}
	scope = parseNames(kind, parts[1:])
	return scope, !object.Ref(scope).IsReserved()
}

// isIgnored reports whether a collection is known and never replicated. Rows about
// such collections are frequent on a busy server.
func isIgnored(collection string) bool {
	switch collection {
	case "acls", "association_requests", "clients", "containers", "controls", "groups", "keys", "license", "nodes",
		"principals", "reports", "required_recipe", "runs", "sandboxes", "search", "users":
		return true
	}
	return false
}

// splitPath returns the decoded segments of a path; ok is false if it can't be decoded.
func splitPath(path string) (parts []string, ok bool) {
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

// parseNames returns the scope of the segments that follow a kind's collection.
func parseNames(k object.Kind, names []string) object.Scope {
	whole := object.Scope{Kind: k}
	if len(names) == 0 || !chef.ValidName(names[0]) || k.IsView(names[0]) {
		return whole
	}
	named := object.Scope{Kind: k, Name: names[0]}
	names = names[1:]
	if infix := k.Infix(); infix != "" && len(names) > 0 {
		if names[0] != infix {
			return whole
		}
		names = names[1:]
	}
	switch {
	case len(names) == 0, k.HasSubresource(names[0]) && len(names) <= 2:
		return named
	case len(names) > 1:
		return whole
	case k.IsVersioned() && !object.IsVersion(names[0]):
		return named
	case !chef.ValidName(names[0]) || k.Child() == "" && !k.HasTwoNames():
		return whole
	case k.Child() != "":
		named.Kind = k.Child()
	}
	named.Sub = names[0]
	return named
}
