package cheftest

import (
	"bytes"
	"net/http"
)

const defaultEnvironment = "_default"

func parseEnvironment(q *request) *answer {
	if a := refuseDefault(q); a != nil {
		return a
	}
	if a := parseBody(q); a != nil {
		return a
	}
	return checkEnvironment(q.doc)
}

// refuseDefault returns the 405 of _default, which can't be changed.
func refuseDefault(q *request) *answer {
	if q.arg("name") != defaultEnvironment {
		return nil
	}
	return fail(http.StatusMethodNotAllowed, "The '_default' environment cannot be modified.").withHeader("Allow", "GET")
}

func checkEnvironment(doc *object) *answer {
	doc.setDefaults("description", "", "json_class", "Chef::Environment", "chef_type", "environment",
		"default_attributes", obj(), "override_attributes", obj(), "cookbook_versions", obj())
	if !doc.has("name") {
		return invalid("Field 'name' missing")
	}
	if !validName(environmentName, doc.str("name")) {
		return invalid("Field 'name' invalid")
	}
	return firstAnswer(
		optionalStrings(doc, "", "description"),
		checkString(doc, "json_class", "Chef::Environment"), checkString(doc, "chef_type", "environment"),
		checkHashes(doc, "default_attributes", "override_attributes"),
		checkConstraints(doc, "cookbook_versions", "cookbook_versions"),
		strictKeys(doc, "name", "description", "json_class", "chef_type", "default_attributes", "override_attributes",
			"cookbook_versions"))
}

func (s *Server) listEnvironments(q *request) *answer {
	return q.listNames("environments", sortedKeys(q.org.environments))
}

func (s *Server) createEnvironment(q *request) *answer {
	name := q.doc.str("name")
	if a := firstAnswer(q.checkPermission("create", "containers/environments"), s.checkIndex()); a != nil {
		return a
	}
	if q.org.environments[name] != nil {
		return conflict("Environment already exists")
	}
	q.org.createACL("environments", name, q.actor)
	q.org.environments[name] = encode(q.doc)
	q.org.recordChange("create", "/environments/"+name)
	return created(q.urlOf("environments", name), obj("uri", q.urlOf("environments", name)))
}

func (q *request) findEnvironment(perm string) ([]byte, *answer) {
	body, found := q.org.environments[q.arg("name")]
	if !found {
		return nil, notFound("Cannot load environment %s", q.arg("name"))
	}
	return body, q.checkPermission(perm, "environments/"+q.arg("name"))
}

func (s *Server) getEnvironment(q *request) *answer {
	body, a := q.findEnvironment("read")
	if a != nil {
		return a
	}
	return rawJSON(body)
}

// putEnvironment renames when the body has another name (docs/chef-server-api.md
// §4.3).
func (s *Server) putEnvironment(q *request) *answer {
	old, a := q.findEnvironment("update")
	if a = firstAnswer(a, s.checkIndex()); a != nil {
		return a
	}
	o, from, to, body := q.org, q.arg("name"), q.doc.str("name"), encode(q.doc)
	if from == to {
		if !bytes.Equal(old, body) {
			o.environments[to] = body
			o.recordChange("update", "/environments/"+to)
		}
		return rawJSON(body)
	}
	if o.environments[to] != nil {
		return conflict("Environment already exists")
	}
	delete(o.environments, from)
	o.environments[to] = body
	o.acls["environments/"+to] = o.acls["environments/"+from]
	o.dropACL("environments/" + from)
	o.recordChange("delete", "/environments/"+from)
	o.recordChange("create", "/environments/"+to)
	return created(q.urlOf("environments", to), q.doc)
}

func (s *Server) deleteEnvironment(q *request) *answer {
	body, a := q.findEnvironment("delete")
	if a != nil {
		return a
	}
	q.org.dropEnvironment(q.arg("name"))
	return rawJSON(body)
}

func (o *Org) dropEnvironment(name string) {
	delete(o.environments, name)
	o.dropACL("environments/" + name)
	o.recordChange("delete", "/environments/"+name)
}
