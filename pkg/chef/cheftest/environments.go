package cheftest

import (
	"bytes"
	"net/http"
)

const defaultEnvironment = "_default"

func parseEnvironment(q *request) *answer {
	if a := keepDefault(q); a != nil {
		return a
	}
	if a := parseBody(q); a != nil {
		return a
	}
	return checkEnvironment(q.doc)
}

// keepDefault is the 405 of _default, which can't be changed.
func keepDefault(q *request) *answer {
	if q.arg("name") != defaultEnvironment {
		return nil
	}
	return fail(http.StatusMethodNotAllowed, "The '_default' environment cannot be modified.").with("Allow", "GET")
}

func checkEnvironment(doc *object) *answer {
	doc.fill("description", "", "json_class", "Chef::Environment", "chef_type", "environment",
		"default_attributes", obj(), "override_attributes", obj(), "cookbook_versions", obj())
	if !doc.has("name") {
		return invalid("Field 'name' missing")
	}
	if !nameOf(environmentName, doc.str("name")) {
		return invalid("Field 'name' invalid")
	}
	return first(
		optionalStrings(doc, "", "description"),
		exactly(doc, "json_class", "Chef::Environment"), exactly(doc, "chef_type", "environment"),
		hash(doc, "default_attributes", "override_attributes"),
		constraints(doc, "cookbook_versions", "cookbook_versions"),
		strictKeys(doc, "name", "description", "json_class", "chef_type", "default_attributes", "override_attributes",
			"cookbook_versions"))
}

func (s *Server) listEnvironments(q *request) *answer {
	return q.list("environments", sortedKeys(q.org.environments))
}

func (s *Server) createEnvironment(q *request) *answer {
	name := q.doc.str("name")
	if a := first(q.need("create", "containers/environments"), s.indexed()); a != nil {
		return a
	}
	if q.org.environments[name] != nil {
		return conflict("Environment already exists")
	}
	q.org.own("environments", name, q.actor)
	q.org.environments[name] = encode(q.doc)
	q.org.changed("create", "/environments/"+name)
	return created(q.url("environments", name), obj("uri", q.url("environments", name)))
}

func (q *request) environment(perm string) ([]byte, *answer) {
	body, found := q.org.environments[q.arg("name")]
	if !found {
		return nil, notFound("Cannot load environment %s", q.arg("name"))
	}
	return body, q.need(perm, "environments/"+q.arg("name"))
}

func (s *Server) getEnvironment(q *request) *answer {
	body, a := q.environment("read")
	if a != nil {
		return a
	}
	return stored(body)
}

// putEnvironment renames when the body has another name (docs/chef-server-api.md
// §4.3).
func (s *Server) putEnvironment(q *request) *answer {
	old, a := q.environment("update")
	if a = first(a, s.indexed()); a != nil {
		return a
	}
	o, from, to, body := q.org, q.arg("name"), q.doc.str("name"), encode(q.doc)
	if from == to {
		if !bytes.Equal(old, body) {
			o.environments[to] = body
			o.changed("update", "/environments/"+to)
		}
		return stored(body)
	}
	if o.environments[to] != nil {
		return conflict("Environment already exists")
	}
	delete(o.environments, from)
	o.environments[to] = body
	o.acls["environments/"+to] = o.acls["environments/"+from]
	o.dropACL("environments/" + from)
	o.changed("delete", "/environments/"+from)
	o.changed("create", "/environments/"+to)
	return created(q.url("environments", to), q.doc)
}

func (s *Server) deleteEnvironment(q *request) *answer {
	body, a := q.environment("delete")
	if a != nil {
		return a
	}
	q.org.dropEnvironment(q.arg("name"))
	return stored(body)
}

func (o *Org) dropEnvironment(name string) {
	delete(o.environments, name)
	o.dropACL("environments/" + name)
	o.changed("delete", "/environments/"+name)
}
