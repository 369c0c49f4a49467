package cheftest

import (
	"net/http"
	"slices"
)

// invite is an association request.
type invite struct{ id, user, inviter string }

// addMember adds a member: a hidden group of the user alone is added to the group
// users, from which a member's permissions come (docs/chef-server-api.md
// §7.2).
func (o *Org) addMember(user string) {
	if _, member := o.members[user]; member {
		return
	}
	usag := guidOf("usag", o.guid, user)
	o.members[user] = usag
	g := o.newGroup(usag, nil)
	g.users = []string{user}
	o.groups["users"].groups = addName(o.groups["users"].groups, usag)
	for id, i := range o.invites {
		if i.user == user {
			delete(o.invites, id)
		}
	}
}

func (o *Org) removeMember(user string) {
	usag, member := o.members[user]
	if !member {
		return
	}
	delete(o.members, user)
	o.dropGroup(usag)
	for _, g := range o.groups {
		g.users = removeName(g.users, user)
	}
}

func (s *Server) listMembers(q *request) *answer {
	if a := q.checkPermission("read", "organizations"); a != nil {
		return a
	}
	list := []any{}
	for _, n := range sortedKeys(q.org.members) {
		list = append(list, obj("user", obj("username", n)))
	}
	return ok(list)
}

// forceAssociate requires the superuser; it answers 201 with an empty body
// (docs/chef-server-api.md §13).
func (s *Server) forceAssociate(q *request) *answer {
	name := q.doc.str("username")
	if name == "" {
		return invalid("Field 'username' missing")
	}
	if s.users[name] == nil {
		return failText(http.StatusNotFound, "Could not find user %s", name)
	}
	if a := q.superuserOnly(); a != nil {
		return a
	}
	if _, member := q.org.members[name]; member {
		return failText(http.StatusConflict, "The association already exists.")
	}
	q.org.addMember(name)
	return (&answer{status: http.StatusCreated}).withHeader("Location", q.urlOf("users", name))
}

// findMember returns the member in the path.
func (q *request) findMember(perm string) (string, *answer) {
	name := q.arg("user")
	if q.s.users[name] == nil {
		return "", failText(http.StatusNotFound, "Could not find user %s", name)
	}
	if _, member := q.org.members[name]; !member {
		return "", failText(http.StatusNotFound, "Cannot find a user %s in organization %s", name, q.org.name)
	}
	if q.actor.kind == userKind && q.actor.name == name {
		return name, nil
	}
	return name, q.checkPermission(perm, "organizations")
}

func (s *Server) getMember(q *request) *answer {
	name, a := q.findMember("read")
	if a != nil {
		return a
	}
	return ok(userJSON(s.users[name], 0))
}

func (s *Server) deleteMember(q *request) *answer {
	name, a := q.findMember("update")
	if a != nil {
		return a
	}
	if slices.Contains(q.org.groups["admins"].users, name) {
		return failText(http.StatusForbidden, "Please remove %s from this organization's admins group before removing him or her "+
			"from the organization.", name)
	}
	q.org.removeMember(name)
	return ok(userJSON(s.users[name], 0))
}

func (s *Server) listInvites(q *request) *answer {
	if a := q.checkPermission("read", "organizations"); a != nil {
		return a
	}
	list := []any{}
	for _, id := range sortedKeys(q.org.invites) {
		list = append(list, obj("id", id, "username", q.org.invites[id].user))
	}
	return ok(list)
}

func (s *Server) createInvite(q *request) *answer {
	name := q.doc.str("user")
	if name == "" {
		return invalid("Field 'user' missing")
	}
	u := s.users[name]
	if u == nil {
		return failText(http.StatusNotFound, "Could not find user %s", name)
	}
	if a := q.checkPermission("update", "organizations"); a != nil {
		return a
	}
	if _, member := q.org.members[name]; member {
		return failText(http.StatusConflict, "The association already exists.")
	}
	for _, i := range q.org.invites {
		if i.user == name {
			return failText(http.StatusConflict, "The invite already exists.")
		}
	}
	s.uploads++
	i := &invite{id: guidOf("invite", q.org.guid, name, q.actor.name, string(rune(s.uploads))), user: name, inviter: q.actor.name}
	q.org.invites[i.id] = i
	uri := q.urlOf("association_requests", i.id)
	return created(uri, obj("uri", uri, "organization_user", obj("username", q.actor.name),
		"organization", obj("name", q.org.name), "user", obj("email", u.email, "first_name", u.first)))
}

func (s *Server) deleteInvite(q *request) *answer {
	i := q.org.invites[q.arg("id")]
	if i == nil {
		return failText(http.StatusNotFound, "Cannot find association request: %s", q.arg("id"))
	}
	if a := q.checkPermission("update", "organizations"); a != nil {
		return a
	}
	delete(q.org.invites, i.id)
	return ok(obj("id", i.id, "orgname", q.org.name, "username", i.user))
}

func (s *Server) userInvites(q *request) *answer {
	u, a := q.findUser()
	if a != nil {
		return a
	}
	list := []any{}
	s.eachInvite(u.name, func(o *Org, i *invite) { list = append(list, obj("id", i.id, "orgname", o.name)) })
	if q.arg("id") == "count" {
		return ok(obj("value", len(list)))
	}
	return ok(list)
}

func (s *Server) eachInvite(user string, f func(*Org, *invite)) {
	for _, n := range sortedKeys(s.orgs) {
		o := s.orgs[n]
		for _, id := range sortedKeys(o.invites) {
			if o.invites[id].user == user {
				f(o, o.invites[id])
			}
		}
	}
}

// answerInvite accepts or rejects an invitation of the user. The inviter must still be
// an admin, otherwise the invitation is removed.
func (s *Server) answerInvite(q *request) *answer {
	u, a := q.findUser()
	if a != nil {
		return a
	}
	var org *Org
	var found *invite
	s.eachInvite(u.name, func(o *Org, i *invite) {
		if i.id == q.arg("id") {
			org, found = o, i
		}
	})
	if found == nil {
		return failText(http.StatusNotFound, "Cannot find association request: %s", q.arg("id"))
	}
	response := q.doc.str("response")
	if response != "accept" && response != "reject" {
		return invalid("Param response must be either 'accept' or 'reject'")
	}
	delete(org.invites, found.id)
	if response == "reject" {
		return ok(obj("organization", obj("name", org.name)))
	}
	inviter := &account{name: found.inviter, kind: userKind}
	if !org.hasPermission(inviter, "update", "organizations") {
		return failText(http.StatusForbidden, "This invitation is no longer valid. Please notify an administrator and request to be "+
			"re-invited to the organization.")
	}
	org.addMember(u.name)
	return ok(obj("organization", obj("name", org.name)))
}
