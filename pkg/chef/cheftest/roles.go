package cheftest

import (
	"bytes"
	"net/http"
)

func parseRole(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	if name := q.arg("name"); name != "" {
		if q.doc.has("name") && q.doc.str("name") != name {
			return invalid("Role name mismatch.")
		}
		q.doc.set("name", name)
	}
	return checkRole(q.doc)
}

// checkRole fills in what is missing and puts run lists into their stored form
// (docs/chef-server-api.md §4.2).
func checkRole(doc *object) *answer {
	doc.fill("json_class", "Chef::Role", "chef_type", "role", "default_attributes", obj(), "override_attributes", obj(),
		"run_list", []any{}, "env_run_lists", obj())
	a := first(
		strictKeys(doc, "chef_type", "default_attributes", "description", "env_run_lists", "json_class", "name",
			"override_attributes", "run_list"),
		exactly(doc, "json_class", "Chef::Role"), exactly(doc, "chef_type", "role"),
		hash(doc, "default_attributes", "override_attributes"))
	if a != nil {
		return a
	}
	if !doc.has("name") {
		return invalid("Field 'name' missing")
	}
	if !nameOf(roleName, doc.str("name")) {
		return invalid("Field 'name' invalid")
	}
	raw, _ := doc.get("run_list")
	list, valid := runList(raw)
	if !valid {
		return invalid("Field 'run_list' is not a valid run list")
	}
	doc.set("run_list", list)
	raw, _ = doc.get("env_run_lists")
	lists, isObject := raw.(*object)
	if !isObject {
		return invalid("Field 'env_run_lists' contains invalid run lists")
	}
	for i, m := range lists.members {
		list, valid := runList(m.val)
		if !valid || !nameOf(environmentName, m.key) {
			return invalid("Field 'env_run_lists' contains invalid run lists")
		}
		lists.members[i].val = list
	}
	return nil
}

func (s *Server) listRoles(q *request) *answer { return q.list("roles", sortedKeys(q.org.roles)) }

// list is a map of names to URLs.
func (q *request) list(container string, names []string) *answer {
	if a := q.need("read", "containers/"+container); a != nil {
		return a
	}
	out := obj()
	for _, n := range names {
		out.members = append(out.members, member{n, q.url(container, n)})
	}
	return ok(out)
}

// indexed answers 500 while the search engine is down: documents go to the
// index before they go to the database (docs/chef-server-api.md §4.6).
func (s *Server) indexed() *answer {
	if s.indexDown {
		return fail(http.StatusInternalServerError, "internal service error")
	}
	return nil
}

func (s *Server) createRole(q *request) *answer {
	name := q.doc.str("name")
	if a := first(q.need("create", "containers/roles"), s.indexed()); a != nil {
		return a
	}
	if q.org.roles[name] != nil {
		return conflict("Role already exists")
	}
	q.org.own("roles", name, q.actor)
	q.org.roles[name] = encode(q.doc)
	q.org.changed("create", "/roles/"+name)
	return created(q.url("roles", name), obj("uri", q.url("roles", name)))
}

func (q *request) role(perm string) ([]byte, *answer) {
	body, found := q.org.roles[q.arg("name")]
	if !found {
		return nil, notFound("Cannot load role %s", q.arg("name"))
	}
	return body, q.need(perm, "roles/"+q.arg("name"))
}

func (s *Server) getRole(q *request) *answer {
	body, a := q.role("read")
	if a != nil {
		return a
	}
	return stored(body)
}

func stored(body []byte) *answer {
	return &answer{status: http.StatusOK, body: body, ctype: jsonType}
}

func (s *Server) putRole(q *request) *answer {
	old, a := q.role("update")
	if a = first(a, s.indexed()); a != nil {
		return a
	}
	body := encode(q.doc)
	if !bytes.Equal(old, body) {
		q.org.roles[q.arg("name")] = body
		q.org.changed("update", "/roles/"+q.arg("name"))
	}
	return stored(body)
}

func (s *Server) deleteRole(q *request) *answer {
	body, a := q.role("delete")
	if a != nil {
		return a
	}
	q.org.dropRole(q.arg("name"))
	return stored(body)
}

func (o *Org) dropRole(name string) {
	delete(o.roles, name)
	o.dropACL("roles/" + name)
	o.changed("delete", "/roles/"+name)
}
