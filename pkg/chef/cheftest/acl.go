package cheftest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// permissionNames returns the permissions in the order of ACLs.
func permissionNames() []string { return []string{"create", "read", "update", "delete", "grant"} }

// ace is an access control entry: who has one permission.
type ace struct{ users, clients, groups []string }

// acl is the access control list of one object, by permission.
type acl map[string]ace

func (a acl) clone() acl { return maps.Clone(a) }

// grantGroups grants permissions to groups.
func (a acl) grantGroups(perms string, groups ...string) {
	for p := range strings.FieldsSeq(perms) {
		e := a[p]
		for _, g := range groups {
			e.groups = addName(e.groups, g)
		}
		a[p] = e
	}
}

// grantAll grants all permissions to one account.
func (a acl) grantAll(who *account) {
	for _, p := range permissionNames() {
		e := a[p]
		if who.kind == clientKind {
			e.clients = addName(e.clients, who.name)
		} else {
			e.users = addName(e.users, who.name)
		}
		a[p] = e
	}
}

func newUserACL(name string) acl {
	a := acl{}
	a.grantAll(&account{name: Superuser, kind: userKind})
	a.grantAll(&account{name: name, kind: userKind})
	return a
}

// containerNames returns the containers of a new organization.
func containerNames() []string {
	return []string{
		"clients", "containers", "cookbook_artifacts", "cookbooks", "data", "environments", "groups", "nodes",
		"policies", "policy_groups", "roles", "sandboxes",
	}
}

// defaultRights sets the groups and rights of a new organization
// (docs/chef-server-api.md §8.1).
func (o *Org) defaultRights() {
	super := &account{name: Superuser, kind: userKind}
	for _, g := range []string{"admins", "billing-admins", "clients", "users", "public_key_read_access"} {
		o.groups[g] = &group{name: g}
		o.acls["groups/"+g] = acl{}
		o.acls["groups/"+g].grantAll(super)
	}
	for _, g := range []string{"admins", "users"} {
		o.groups[g].users = []string{Superuser}
	}
	o.groups["public_key_read_access"].groups = []string{"users", "clients"}
	const all, crud = "create read update delete grant", "create read update delete"
	for _, g := range []string{"admins", "clients", "users"} {
		o.acls["groups/"+g].grantGroups(all, "admins")
	}
	o.acls["groups/billing-admins"].grantGroups("read update", "billing-admins")
	o.acls["groups/public_key_read_access"].grantGroups("read update", "admins")
	for _, c := range containerNames() {
		o.containers[c] = true
		a := acl{}
		a.grantAll(super)
		a.grantGroups(all, "admins")
		o.acls["containers/"+c] = a
		switch c {
		case "cookbooks", "data", "roles", "environments", "policies", "policy_groups", "cookbook_artifacts":
			a.grantGroups(crud, "users")
			a.grantGroups("read", "clients")
		case "nodes":
			a.grantGroups(crud, "users")
			a.grantGroups("read create", "clients")
		case "clients":
			a.grantGroups("read delete", "users")
		case "groups", "containers":
			a.grantGroups("read", "users")
		case "sandboxes":
			a.grantGroups("create", "users")
		}
	}
	org := acl{}
	org.grantAll(super)
	org.grantGroups(all, "admins")
	org.grantGroups("read", "users")
	o.acls["organizations"] = org
}

// newACL returns the ACL of a new object: a copy of its container's, and all rights for
// its creator (docs/chef-server-api.md §7.6).
func (o *Org) newACL(container string, creator *account) acl {
	a := o.acls["containers/"+container].clone()
	if a == nil {
		a = acl{}
	}
	if creator == nil {
		creator = &account{name: Superuser, kind: userKind}
	}
	a.grantAll(creator)
	return a
}

func (o *Org) createACL(container, name string, creator *account) {
	o.acls[container+"/"+name] = o.newACL(container, creator)
}

// hasPermission reports whether an account has a permission on an object.
func (o *Org) hasPermission(who *account, perm, object string) bool {
	if who == nil {
		return false
	}
	if who.name == Superuser && who.kind == userKind {
		return true
	}
	if o.name == "" && who.kind == userKind {
		return true // a server without organizations has no groups for users
	}
	e := o.acls[object][perm]
	return o.isListed(who, e.users, e.clients, e.groups, map[string]bool{})
}

func (o *Org) isListed(who *account, users, clients, groups []string, seen map[string]bool) bool {
	if who.kind == userKind && slices.Contains(users, who.name) || who.kind == clientKind && slices.Contains(clients, who.name) {
		return true
	}
	for _, name := range groups {
		g := o.groups[name]
		if g == nil || seen[name] {
			continue
		}
		seen[name] = true
		if o.isListed(who, g.users, g.clients, g.groups, seen) {
			return true
		}
	}
	return false
}

// checkPermission answers 403 unless the request's actor has a permission.
func (q *request) checkPermission(perm, object string) *answer {
	if q.org.hasPermission(q.actor, perm, object) {
		return nil
	}
	return fail(http.StatusForbidden, "missing %s permission", perm)
}

// checkCreatePermission answers 403 unless the request's actor may create in a container. The
// answer names the permission by the method of the request, not by the one that is
// missing, as erchef's create_in_container does.
func (q *request) checkCreatePermission(container string) *answer {
	if q.org.hasPermission(q.actor, "create", "containers/"+container) {
		return nil
	}
	return fail(http.StatusForbidden, "missing %s permission", permissionOf(q.r.Method))
}

// permissionOf returns the permission that erchef names for a method.
func permissionOf(method string) string {
	return map[string]string{"GET": "read", "POST": "create", "PUT": "update", "DELETE": "delete"}[method]
}

// superuserOnly answers 403 unless the actor is the superuser.
func (q *request) superuserOnly() *answer {
	if q.actor.name == Superuser && q.actor.kind == userKind {
		return nil
	}
	return fail(http.StatusForbidden, "missing %s permission", permissionOf(q.r.Method))
}

// dropACL removes the ACL of an object.
func (o *Org) dropACL(object string) { delete(o.acls, object) }
