package cheftest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// permissions in the order in which ACLs show them.
func permissions() []string { return []string{"create", "read", "update", "delete", "grant"} }

// ace is one permission: who has it.
type ace struct{ users, clients, groups []string }

// acl is the rights on one object, by permission.
type acl map[string]ace

func (a acl) clone() acl { return maps.Clone(a) }

// allow gives permissions to groups.
func (a acl) allow(perms string, groups ...string) {
	for p := range strings.FieldsSeq(perms) {
		e := a[p]
		for _, g := range groups {
			e.groups = include(e.groups, g)
		}
		a[p] = e
	}
}

// own gives all permissions to one account.
func (a acl) own(who *account) {
	for _, p := range permissions() {
		e := a[p]
		if who.kind == clientKind {
			e.clients = include(e.clients, who.name)
		} else {
			e.users = include(e.users, who.name)
		}
		a[p] = e
	}
}

func newUserACL(name string) acl {
	a := acl{}
	a.own(&account{name: Superuser, kind: userKind})
	a.own(&account{name: name, kind: userKind})
	return a
}

// containerNames are the containers of a new organization.
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
		o.acls["groups/"+g].own(super)
	}
	for _, g := range []string{"admins", "users"} {
		o.groups[g].users = []string{Superuser}
	}
	o.groups["public_key_read_access"].groups = []string{"users", "clients"}
	const all, crud = "create read update delete grant", "create read update delete"
	for _, g := range []string{"admins", "clients", "users"} {
		o.acls["groups/"+g].allow(all, "admins")
	}
	o.acls["groups/billing-admins"].allow("read update", "billing-admins")
	o.acls["groups/public_key_read_access"].allow("read update", "admins")
	for _, c := range containerNames() {
		o.containers[c] = true
		a := acl{}
		a.own(super)
		a.allow(all, "admins")
		o.acls["containers/"+c] = a
		switch c {
		case "cookbooks", "data", "roles", "environments", "policies", "policy_groups", "cookbook_artifacts":
			a.allow(crud, "users")
			a.allow("read", "clients")
		case "nodes":
			a.allow(crud, "users")
			a.allow("read create", "clients")
		case "clients":
			a.allow("read delete", "users")
		case "groups", "containers":
			a.allow("read", "users")
		case "sandboxes":
			a.allow("create", "users")
		}
	}
	org := acl{}
	org.own(super)
	org.allow(all, "admins")
	org.allow("read", "users")
	o.acls["organizations"] = org
}

// inherit is the ACL of a new object: a copy of its container's, and all
// rights for who made it (docs/chef-server-api.md §7.6).
func (o *Org) inherit(container string, creator *account) acl {
	a := o.acls["containers/"+container].clone()
	if a == nil {
		a = acl{}
	}
	if creator == nil {
		creator = &account{name: Superuser, kind: userKind}
	}
	a.own(creator)
	return a
}

func (o *Org) own(container, name string, creator *account) {
	o.acls[container+"/"+name] = o.inherit(container, creator)
}

// may tells whether an account has a permission on an object.
func (o *Org) may(who *account, perm, object string) bool {
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
	return o.holds(who, e.users, e.clients, e.groups, map[string]bool{})
}

func (o *Org) holds(who *account, users, clients, groups []string, seen map[string]bool) bool {
	if who.kind == userKind && slices.Contains(users, who.name) || who.kind == clientKind && slices.Contains(clients, who.name) {
		return true
	}
	for _, name := range groups {
		g := o.groups[name]
		if g == nil || seen[name] {
			continue
		}
		seen[name] = true
		if o.holds(who, g.users, g.clients, g.groups, seen) {
			return true
		}
	}
	return false
}

// need answers 403 unless the request's actor has a permission.
func (q *request) need(perm, object string) *answer {
	if q.org.may(q.actor, perm, object) {
		return nil
	}
	return fail(http.StatusForbidden, "missing %s permission", perm)
}

// needCreate answers 403 unless the request's actor may create in a container. The
// answer names the permission by the method of the request, not by the one that is
// missing, as erchef's create_in_container does.
func (q *request) needCreate(container string) *answer {
	if q.org.may(q.actor, "create", "containers/"+container) {
		return nil
	}
	return fail(http.StatusForbidden, "missing %s permission", permissionOf(q.r.Method))
}

// permissionOf is the permission that erchef names for a method.
func permissionOf(method string) string {
	return map[string]string{"GET": "read", "POST": "create", "PUT": "update", "DELETE": "delete"}[method]
}

// superuserOnly answers 403 to everybody else.
func (q *request) superuserOnly() *answer {
	if q.actor.name == Superuser && q.actor.kind == userKind {
		return nil
	}
	return fail(http.StatusForbidden, "missing %s permission", permissionOf(q.r.Method))
}

// dropACL removes an object's rights.
func (o *Org) dropACL(object string) { delete(o.acls, object) }
