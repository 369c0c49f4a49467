package cheftest

import (
	"net/http"
	"strings"
)

func parsePolicy(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	for _, k := range []string{"name", "revision_id"} {
		if !q.doc.has(k) {
			return invalid("Field '%s' missing", k)
		}
		if v := q.doc.str(k); !validName(roleName, v) || len(v) > 255 {
			return invalid("Field '%s' invalid", k)
		}
	}
	if got := q.doc.str("name"); got != q.arg("policy") {
		return invalid("Field 'name' invalid : %s does not match %s", got, q.arg("policy"))
	}
	list, valid := stringList(q.doc, "run_list")
	if !q.doc.has("run_list") {
		return invalid("Field 'run_list' missing")
	}
	for _, item := range list {
		valid = valid && strings.HasPrefix(item, "recipe[") && strings.Contains(item, "::") && validRunListItem(item)
	}
	if !valid {
		return invalid("Field 'run_list' is not a valid run list")
	}
	locks, _ := q.doc.get("cookbook_locks")
	if _, isObject := locks.(*object); !isObject {
		return invalid("Field 'cookbook_locks' invalid")
	}
	return nil
}

// missingPolicy returns a 404 with an HTML body and the version header
// (docs/chef-server-api.md §13).
func missingPolicy() *answer {
	a := htmlPage(http.StatusNotFound)
	a.frontEnd = false
	return a
}

func (q *request) revisionList(policy string) *object {
	revisions := obj()
	for _, id := range sortedKeys(q.org.policies[policy]) {
		revisions.set(id, obj())
	}
	return revisions
}

func (s *Server) listPolicies(q *request) *answer {
	if a := q.checkPermission("read", "containers/policies"); a != nil {
		return a
	}
	out := obj()
	for _, n := range sortedKeys(q.org.policies) {
		if len(q.org.policies[n]) > 0 {
			out.set(n, obj("uri", q.urlOf("policies", n), "revisions", q.revisionList(n)))
		}
	}
	return ok(out)
}

// checkPolicy checks that the policy in the path exists, and a permission on it.
func (q *request) checkPolicy(perm string) *answer {
	name := q.arg("policy")
	if q.org.policies[name] == nil {
		return missingPolicy()
	}
	return q.checkPermission(perm, "policies/"+name)
}

func (s *Server) getPolicy(q *request) *answer {
	if a := q.checkPolicy("read"); a != nil {
		return a
	}
	return ok(q.describePolicy(q.arg("policy")))
}

// describePolicy returns the answer about a policy, which is empty without revisions
// (docs/chef-server-api.md §5.1).
func (q *request) describePolicy(name string) *object {
	if len(q.org.policies[name]) == 0 {
		return obj()
	}
	return obj("revisions", q.revisionList(name))
}

func (s *Server) deletePolicy(q *request) *answer {
	if a := q.checkPolicy("delete"); a != nil {
		return a
	}
	name := q.arg("policy")
	body := ok(q.describePolicy(name))
	delete(q.org.policies, name)
	q.org.dropACL("policies/" + name)
	for _, bound := range q.org.policyGroups {
		delete(bound, name)
	}
	q.org.recordChange("delete", "/policies/"+name)
	return body
}

func (o *Org) newPolicy(name string, creator *account) {
	if o.policies[name] == nil {
		o.policies[name] = map[string]*object{}
		o.createACL("policies", name, creator)
	}
}

func (s *Server) createRevision(q *request) *answer {
	name, id := q.arg("policy"), q.doc.str("revision_id")
	a := q.checkCreatePermission("policies")
	if q.org.policies[name] != nil {
		a = q.checkPermission("create", "policies/"+name)
	}
	if a != nil {
		return a
	}
	if q.org.policies[name][id] != nil {
		return failWith(http.StatusConflict, "Policy '"+name+"' with revision_id '"+id+" already exists.")
	}
	q.org.newPolicy(name, q.actor)
	q.org.policies[name][id] = q.doc
	q.org.recordChange("create", "/policies/"+name+"/revisions/"+id)
	return created(q.urlOf("policies", name), q.doc)
}

func (q *request) findRevision(perm string) (*object, *answer) {
	name := q.arg("policy")
	doc := q.org.policies[name][q.arg("revision")]
	if doc == nil {
		return nil, missingPolicy()
	}
	return doc, q.checkPermission(perm, "policies/"+name)
}

func (s *Server) getRevision(q *request) *answer {
	doc, a := q.findRevision("read")
	if a != nil {
		return a
	}
	groups := []string{}
	for _, g := range sortedKeys(q.org.policyGroups) {
		if q.org.policyGroups[g][q.arg("policy")] == q.arg("revision") {
			groups = append(groups, g)
		}
	}
	return ok(doc.clone().set("policy_group_list", groups))
}

func (s *Server) deleteRevision(q *request) *answer {
	doc, a := q.findRevision("delete")
	if a != nil {
		return a
	}
	q.org.dropRevision(q.arg("policy"), q.arg("revision"))
	return ok(doc)
}

func (o *Org) dropRevision(name, id string) {
	delete(o.policies[name], id)
	for _, bound := range o.policyGroups {
		if bound[name] == id {
			delete(bound, name)
		}
	}
	o.recordChange("delete", "/policies/"+name+"/revisions/"+id)
}
