package cheftest

import (
	"net/http"
	"strings"
)

func (s *Server) newUser(name, email string) *account {
	u := &account{name: name, kind: userKind, authz: guidOf("user", name), email: email, display: name}
	s.users[name] = u
	s.userACLs[name] = newUserACL(name)
	return u
}

func userJSON(u *account, version int) *object {
	out := obj("username", u.name, "email", u.email, "display_name", u.display, "first_name", u.first, "last_name", u.last)
	if version == 0 {
		out.set("public_key", u.publicKey())
	}
	return out
}

func (s *Server) listUsers(q *request) *answer {
	if a := q.superuserOnly(); a != nil {
		return a
	}
	out := obj()
	for _, n := range sortedKeys(s.users) {
		out.set(n, q.baseURL()+"/users/"+n)
	}
	return ok(out)
}

func parseUser(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	name := q.doc.str("username")
	if name == "" {
		name = q.doc.str("name")
	}
	if name == "" {
		return invalid("Field 'username' missing")
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return invalid("Malformed user name. Must only contain a-z, 0-9, _, or -")
	}
	q.doc.set("username", name)
	for _, field := range []string{"display_name", "email"} {
		if q.doc.str(field) == "" {
			return invalid("Field '%s' missing", field)
		}
	}
	if !strings.Contains(q.doc.str("email"), "@") {
		return invalid("email must be valid")
	}
	if password := q.doc.str("password"); !q.doc.has("external_authentication_uid") && len(password) < 6 {
		return invalid("Password must have at least 6 characters")
	}
	return parseKeyRequest(q)
}

func (s *Server) createUser(q *request) *answer {
	if a := q.superuserOnly(); a != nil {
		return a
	}
	name, email := q.doc.str("username"), q.doc.str("email")
	for _, u := range s.users {
		if u.name == name || u.email == email {
			return conflict("Username or email address already in use.")
		}
	}
	u := s.newUser(name, email)
	u.display, u.first, u.last = q.doc.str("display_name"), q.doc.str("first_name"), q.doc.str("last_name")
	uri := q.baseURL() + "/users/" + name
	return created(uri, s.withKey(q, u, obj("uri", uri), uri))
}

// findUser returns the user in the path; only that user and the superuser may continue.
func (q *request) findUser() (*account, *answer) {
	u := q.s.users[q.arg("user")]
	if u == nil {
		return nil, failText(http.StatusNotFound, "Could not find user %s", q.arg("user"))
	}
	if q.actor == u {
		return u, nil
	}
	return u, q.superuserOnly()
}

func (s *Server) getUser(q *request) *answer {
	u, a := q.findUser()
	if a != nil {
		return a
	}
	return ok(userJSON(u, q.version))
}

func (s *Server) deleteUser(q *request) *answer {
	u, a := q.findUser()
	if a != nil {
		return a
	}
	for _, o := range s.orgs {
		o.removeMember(u.name)
	}
	delete(s.users, u.name)
	delete(s.userACLs, u.name)
	return ok(userJSON(u, q.version))
}

func (s *Server) userOrgs(q *request) *answer {
	u, a := q.findUser()
	if a != nil {
		return a
	}
	list := []any{}
	for _, n := range sortedKeys(s.orgs) {
		o := s.orgs[n]
		if _, member := o.members[u.name]; member {
			list = append(list, obj("organization", obj("name", o.name, "full_name", o.full, "guid", o.guid)))
		}
	}
	return ok(list)
}

func (s *Server) getUserACL(q *request) *answer {
	u, a := q.findUser()
	if a != nil {
		return a
	}
	return ok(aclJSON(s.userACLs[u.name], q.r.URL.Query().Get("detail") == "granular"))
}
