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

// checkRole sets missing keys and converts run lists to their stored form
// (docs/chef-server-api.md §4.2).
func checkRole(doc *object) *answer {
	doc.setDefaults("json_class", "Chef::Role", "chef_type", "role", "default_attributes", obj(), "override_attributes", obj(),
		"run_list", []any{}, "env_run_lists", obj())
	a := firstAnswer(
		strictKeys(doc, "chef_type", "default_attributes", "description", "env_run_lists", "json_class", "name",
			"override_attributes", "run_list"),
		checkString(doc, "json_class", "Chef::Role"), checkString(doc, "chef_type", "role"),
		checkHashes(doc, "default_attributes", "override_attributes"))
	if a != nil {
		return a
	}
	if !doc.has("name") {
		return invalid("Field 'name' missing")
	}
	if !validName(roleName, doc.str("name")) {
		return invalid("Field 'name' invalid")
	}
	raw, _ := doc.get("run_list")
	list, valid := parseRunList(raw)
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
		list, valid := parseRunList(m.val)
		if !valid || !validName(environmentName, m.key) {
			return invalid("Field 'env_run_lists' contains invalid run lists")
		}
		lists.members[i].val = list
	}
	return nil
}

func (s *Server) listRoles(q *request) *answer { return q.listNames("roles", sortedKeys(q.org.roles)) }

// listNames returns a map of names to URLs.
func (q *request) listNames(container string, names []string) *answer {
	if a := q.checkPermission("read", "containers/"+container); a != nil {
		return a
	}
	out := obj()
	for _, n := range names {
		out.members = append(out.members, member{n, q.urlOf(container, n)})
	}
	return ok(out)
}

// checkIndex answers 500 while the search engine is down: documents are indexed before
// they are stored in the database (docs/chef-server-api.md §4.6).
func (s *Server) checkIndex() *answer {
	if s.indexDown {
		return fail(http.StatusInternalServerError, "internal service error")
	}
	return nil
}

func (s *Server) createRole(q *request) *answer {
	name := q.doc.str("name")
	if a := firstAnswer(q.checkPermission("create", "containers/roles"), s.checkIndex()); a != nil {
		return a
	}
	if q.org.roles[name] != nil {
		return conflict("Role already exists")
	}
	q.org.createACL("roles", name, q.actor)
	q.org.roles[name] = encode(q.doc)
	q.org.recordChange("create", "/roles/"+name)
	return created(q.urlOf("roles", name), obj("uri", q.urlOf("roles", name)))
}

func (q *request) findRole(perm string) ([]byte, *answer) {
	body, found := q.org.roles[q.arg("name")]
	if !found {
		return nil, notFound("Cannot load role %s", q.arg("name"))
	}
	return body, q.checkPermission(perm, "roles/"+q.arg("name"))
}

func (s *Server) getRole(q *request) *answer {
	body, a := q.findRole("read")
	if a != nil {
		return a
	}
	return rawJSON(body)
}

func rawJSON(body []byte) *answer {
	return &answer{status: http.StatusOK, body: body, ctype: jsonType}
}

func (s *Server) putRole(q *request) *answer {
	old, a := q.findRole("update")
	if a = firstAnswer(a, s.checkIndex()); a != nil {
		return a
	}
	body := encode(q.doc)
	if !bytes.Equal(old, body) {
		q.org.roles[q.arg("name")] = body
		q.org.recordChange("update", "/roles/"+q.arg("name"))
	}
	return rawJSON(body)
}

func (s *Server) deleteRole(q *request) *answer {
	body, a := q.findRole("delete")
	if a != nil {
		return a
	}
	q.org.dropRole(q.arg("name"))
	return rawJSON(body)
}

func (o *Org) dropRole(name string) {
	delete(o.roles, name)
	o.dropACL("roles/" + name)
	o.recordChange("delete", "/roles/"+name)
}
