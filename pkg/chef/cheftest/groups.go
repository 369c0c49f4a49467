package cheftest

import (
	"net/http"
	"slices"
	"strings"
)

// group is a group of an organization. The hidden group of one user (a USAG)
// is a group named by 32 hexadecimal digits (docs/chef-server-api.md §7.2).
type group struct {
	name                   string
	users, clients, groups []string
}

func (o *Org) newGroup(name string, creator *account) *group {
	g := &group{name: name}
	o.groups[name] = g
	o.createACL("groups", name, creator)
	return g
}

func (o *Org) groupJSON(g *group) *object {
	return obj(
		"actors", append(append([]string{}, g.clients...), g.users...),
		"users", append([]string{}, g.users...), "clients", append([]string{}, g.clients...),
		"groups", append([]string{}, g.groups...), "orgname", o.name, "name", g.name, "groupname", g.name)
}

func (s *Server) listGroups(q *request) *answer {
	if a := q.checkPermission("read", "containers/groups"); a != nil {
		return a
	}
	out := obj()
	for _, n := range sortedKeys(q.org.groups) {
		out.set(n, q.urlOf("groups", n))
	}
	return ok(out)
}

func (s *Server) createGroup(q *request) *answer {
	name := q.doc.str("groupname")
	if name == "" {
		name = q.doc.str("id")
	}
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return invalid("Invalid group name '%s'.", name)
	}
	if a := q.checkPermission("create", "containers/groups"); a != nil {
		return a
	}
	if q.org.groups[name] != nil {
		return failText(http.StatusConflict, "Group already exists")
	}
	q.org.newGroup(name, q.actor)
	return created(q.urlOf("groups", name), obj("uri", q.urlOf("groups", name)))
}

// findGroup returns the group in the path and checks a permission on it.
func (q *request) findGroup(perm string) (*group, *answer) {
	name := q.arg("name")
	g := q.org.groups[name]
	if g == nil {
		return nil, notFound("Cannot load group %s", name)
	}
	return g, q.checkPermission(perm, "groups/"+name)
}

func (s *Server) getGroup(q *request) *answer {
	g, a := q.findGroup("read")
	if a != nil {
		return a
	}
	return ok(q.org.groupJSON(g))
}

// putGroup replaces each list that is given, silently drops
// unknown names and echoes the body as sent (docs/chef-server-api.md §13).
func (s *Server) putGroup(q *request) *answer {
	g, a := q.findGroup("update")
	if a != nil {
		return a
	}
	newName := q.doc.str("groupname")
	if newName != "" && newName != g.name && q.org.groups[newName] != nil {
		return failText(http.StatusConflict, "Group already exists")
	}
	if v, found := q.doc.get("actors"); found {
		if lists, isObject := v.(*object); isObject {
			q.org.setMembers(g, lists)
		}
	}
	if newName == "" || newName == g.name {
		return ok(q.doc)
	}
	q.org.renameGroup(g, newName)
	return created(q.urlOf("groups", newName), q.doc)
}

func (o *Org) setMembers(g *group, lists *object) {
	replace := func(key string, list *[]string, exists func(string) bool) {
		names, valid := stringList(lists, key)
		if !valid || !lists.has(key) {
			return
		}
		*list = slices.DeleteFunc(names, func(n string) bool { return !exists(n) })
	}
	replace("users", &g.users, func(n string) bool { return o.s.users[n] != nil })
	replace("clients", &g.clients, func(n string) bool { return o.clients[n] != nil })
	replace("groups", &g.groups, func(n string) bool { return o.groups[n] != nil })
}

func (o *Org) renameGroup(g *group, name string) {
	old := g.name
	delete(o.groups, old)
	g.name, o.groups[name] = name, g
	o.acls["groups/"+name] = o.acls["groups/"+old]
	o.dropACL("groups/" + old)
	swap := func(list []string) []string {
		list = slices.Clone(list)
		for i := range list {
			if list[i] == old {
				list[i] = name
			}
		}
		return list
	}
	for _, other := range o.groups {
		other.groups = swap(other.groups)
	}
	for _, rights := range o.acls {
		for p, e := range rights {
			e.groups = swap(e.groups)
			rights[p] = e
		}
	}
}

func (s *Server) deleteGroup(q *request) *answer {
	g, a := q.findGroup("delete")
	if a != nil {
		return a
	}
	if slices.Contains([]string{"admins", "clients", "users"}, g.name) {
		return fail(http.StatusForbidden, "The group '%s' cannot be deleted.", g.name)
	}
	body := q.org.groupJSON(g)
	q.org.dropGroup(g.name)
	return ok(body)
}

func (o *Org) dropGroup(name string) {
	delete(o.groups, name)
	o.dropACL("groups/" + name)
	for _, g := range o.groups {
		g.groups = removeName(g.groups, name)
	}
	for _, rights := range o.acls {
		for p, e := range rights {
			e.groups = removeName(e.groups, name)
			rights[p] = e
		}
	}
}

func (s *Server) listContainers(q *request) *answer {
	if a := q.checkPermission("read", "containers/containers"); a != nil {
		return a
	}
	out := obj()
	for _, n := range sortedKeys(q.org.containers) {
		out.set(n, q.urlOf("containers", n))
	}
	return ok(out)
}

func (s *Server) getContainer(q *request) *answer {
	name := q.arg("name")
	if !q.org.containers[name] {
		return q.missingObject("containers", name)
	}
	if a := q.checkPermission("read", "containers/"+name); a != nil {
		return a
	}
	return ok(obj("containername", name, "containerpath", name))
}
