package cheftest

import (
	"net/http"
	"slices"
	"strings"
)

// aclTarget finds the object of an _acl route and its rights. name is "" for
// the organization itself.
func (q *request) aclTarget() (object string, rights acl, a *answer) {
	kind, name := q.arg("kind"), q.arg("name")
	if kind == "" {
		kind = "organizations"
	}
	object = strings.TrimSuffix(kind+"/"+name, "/")
	rights, found := q.org.acls[object]
	if !found {
		return object, nil, q.missingObject(kind, name)
	}
	if !q.org.hasPermission(q.actor, "grant", object) {
		return object, nil, fail(http.StatusForbidden, "missing grant permission")
	}
	return object, rights, nil
}

// missingObject returns the 404 of an object of a kind.
func (q *request) missingObject(kind, name string) *answer {
	switch kind {
	case "roles":
		return notFound("Cannot load role %s", name)
	case "environments":
		return notFound("Cannot load environment %s", name)
	case "data":
		return notFound("Cannot load data bag %s", name)
	case "cookbooks":
		return notFound("Cannot find a cookbook named %s", name)
	case "clients":
		return notFound("Cannot load client %s", name)
	case "groups":
		return notFound("Cannot load group %s", name)
	}
	return notFound("Cannot load %s %s", strings.TrimSuffix(kind, "s"), name)
}

func (s *Server) getACL(q *request) *answer {
	_, rights, a := q.aclTarget()
	if a != nil {
		return a
	}
	return ok(aclJSON(rights, q.r.URL.Query().Get("detail") == "granular"))
}

func aclJSON(rights acl, granular bool) *object {
	out := obj()
	for _, p := range permissionNames() {
		e := rights[p]
		one := obj()
		if granular {
			one = obj("actors", []string{}, "users", sortedCopy(e.users), "clients", sortedCopy(e.clients))
		} else {
			one.set("actors", sortedCopy(append(slices.Clone(e.users), e.clients...)))
		}
		out.set(p, one.set("groups", sortedCopy(e.groups)))
	}
	return out
}

func sortedCopy(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return out
}

func parseACE(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	perm := q.arg("perm")
	if !slices.Contains(permissionNames(), perm) {
		return invalid("Field '%s' invalid", perm)
	}
	for _, m := range q.doc.members {
		if m.key != perm {
			return invalid("Invalid key %s in request body", m.key)
		}
	}
	v, _ := q.doc.get(perm)
	e, isObject := v.(*object)
	if !isObject {
		return invalid("Field '%s' missing", perm)
	}
	for _, field := range []string{"actors", "groups"} {
		if _, valid := stringList(e, field); !valid || !e.has(field) {
			return invalid("Field '%s' invalid", field)
		}
	}
	if e.has("users") != e.has("clients") {
		return invalid("You provided 'users' with your request. Including this field also requires that you provide 'clients'")
	}
	if actors, _ := stringList(e, "actors"); e.has("users") && len(actors) > 0 {
		return invalid("When providing 'users' and 'clients' fields, the 'actors' field must have a value of [].")
	}
	return nil
}

func stringList(o *object, key string) ([]string, bool) {
	v, found := o.get(key)
	if !found {
		return nil, true
	}
	list, isList := v.([]any)
	if !isList {
		return nil, false
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, isString := e.(string)
		if !isString {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// putACE replaces one permission. Unknown names are refused, unlike
// those of groups (docs/chef-server-api.md §13).
func (s *Server) putACE(q *request) *answer {
	perm := q.arg("perm")
	v, _ := q.doc.get(perm)
	body, _ := v.(*object)
	groups, _ := stringList(body, "groups")
	object, rights, a := q.aclTarget()
	if a != nil {
		return a
	}
	if perm == "grant" && !slices.Contains(groups, "admins") && q.actor.name != Superuser {
		return fail(http.StatusForbidden, "Admin group cannot be removed from the Grant ACE")
	}
	e, a := q.org.resolveACE(body)
	if a != nil {
		return a
	}
	for _, g := range groups {
		if q.org.groups[g] == nil && !strings.Contains(g, "::") {
			return invalid("The group(s) '%s' do not exist in this organization.", g)
		}
	}
	e.groups = groups
	rights = rights.clone()
	rights[perm] = e
	q.org.acls[object] = rights
	return ok(obj())
}

// hasUser reports whether a list of actors may name a user: a member, or the superuser, which
// belongs to no organization. A list of users may name any (find_org_actors_by_name and
// find_user_authz_id_in_names in pgsql_statements.config).
func (o *Org) hasUser(name string) bool {
	_, member := o.members[name]
	return member || name == Superuser
}

// resolveACE sorts actors into users and clients.
func (o *Org) resolveACE(body *object) (ace, *answer) {
	var e ace
	actors, _ := stringList(body, "actors")
	for _, n := range actors {
		user, client := o.hasUser(n), o.clients[n] != nil
		switch {
		case user && client:
			return e, fail(http.StatusUnprocessableEntity,
				"The following actor(s) exist as both clients and users within this organization: '%s'. To perform this update, supply "+
					"separate 'clients' and 'users' fields in your request, and use an empty array for the value of 'actors'.", n)
		case user:
			e.users = addName(e.users, n)
		case client:
			e.clients = addName(e.clients, n)
		default:
			return e, invalid("The actor(s) '%s' do not exist in this organization as clients or users.", n)
		}
	}
	users, _ := stringList(body, "users")
	for _, n := range users {
		if o.s.users[n] == nil {
			return e, invalid("The user(s) '%s' do not exist in this organization.", n)
		}
		e.users = addName(e.users, n)
	}
	clients, _ := stringList(body, "clients")
	for _, n := range clients {
		if o.clients[n] == nil {
			return e, invalid("The client(s) '%s' do not exist in this organization.", n)
		}
		e.clients = addName(e.clients, n)
	}
	return e, nil
}
