package cheftest

import "net/http"

func (q *request) policyGroupJSON(name string) *object {
	bound := obj()
	for _, p := range sortedKeys(q.org.policyGroups[name]) {
		bound.set(p, obj("revision_id", q.org.policyGroups[name][p]))
	}
	return obj("uri", q.urlOf("policy_groups", name), "policies", bound)
}

func (s *Server) listPolicyGroups(q *request) *answer {
	if a := q.checkPermission("read", "containers/policy_groups"); a != nil {
		return a
	}
	out := obj()
	for _, n := range sortedKeys(q.org.policyGroups) {
		out.set(n, q.policyGroupJSON(n))
	}
	return ok(out)
}

func (q *request) checkPolicyGroup(perm string) *answer {
	name := q.arg("group")
	if q.org.policyGroups[name] == nil {
		return missingPolicy()
	}
	return q.checkPermission(perm, "policy_groups/"+name)
}

func (s *Server) getPolicyGroup(q *request) *answer {
	if a := q.checkPolicyGroup("read"); a != nil {
		return a
	}
	return ok(q.policyGroupJSON(q.arg("group")))
}

func (s *Server) deletePolicyGroup(q *request) *answer {
	if a := q.checkPolicyGroup("delete"); a != nil {
		return a
	}
	name := q.arg("group")
	body := ok(q.policyGroupJSON(name))
	q.org.dropPolicyGroup(name)
	return body
}

func (o *Org) dropPolicyGroup(name string) {
	delete(o.policyGroups, name)
	o.dropACL("policy_groups/" + name)
	o.recordChange("delete", "/policy_groups/"+name)
}

// findBinding returns the revision that a group binds.
func (q *request) findBinding(perm string) (*object, *answer) {
	group, policy := q.arg("group"), q.arg("policy")
	id, found := q.org.policyGroups[group][policy]
	if !found {
		return nil, notFound("Cannot load policy %s in policy group %s", policy, group)
	}
	return q.org.policies[policy][id], firstAnswer(q.checkPermission(perm, "policies/"+policy),
		q.checkPermission(perm, "policy_groups/"+group))
}

func (s *Server) getBinding(q *request) *answer {
	doc, a := q.findBinding("read")
	if a != nil {
		return a
	}
	return ok(doc)
}

// putBinding creates policy, group and revision as needed. An existing revision isn't
// changed, whatever the body says (docs/chef-server-api.md §5.2).
func (s *Server) putBinding(q *request) *answer {
	o, group, policy, id := q.org, q.arg("group"), q.arg("policy"), q.doc.str("revision_id")
	right := func(container, name string, exists bool) *answer {
		if exists {
			return q.checkPermission("update", container+"/"+name)
		}
		return q.checkCreatePermission(container)
	}
	if a := firstAnswer(right("policies", policy, o.policies[policy] != nil),
		right("policy_groups", group, o.policyGroups[group] != nil)); a != nil {
		return a
	}
	o.newPolicy(policy, q.actor)
	if o.policies[policy][id] == nil {
		o.policies[policy][id] = q.doc
		o.recordChange("create", "/policies/"+policy+"/revisions/"+id)
	}
	if o.bindRevision(group, policy, id, q.actor) {
		return ok(q.doc)
	}
	return jsonAnswer(http.StatusCreated, q.doc)
}

// bindRevision binds a revision and reports whether the group had the policy before.
func (o *Org) bindRevision(group, policy, id string, actor *account) (existed bool) {
	if o.policyGroups[group] == nil {
		o.policyGroups[group] = map[string]string{}
		o.createACL("policy_groups", group, actor)
	}
	_, existed = o.policyGroups[group][policy]
	o.policyGroups[group][policy] = id
	o.recordChange("update", "/policy_groups/"+group)
	return existed
}

func (s *Server) deleteBinding(q *request) *answer {
	doc, a := q.findBinding("delete")
	if a != nil {
		return a
	}
	delete(q.org.policyGroups[q.arg("group")], q.arg("policy"))
	q.org.recordChange("update", "/policy_groups/"+q.arg("group"))
	return ok(doc)
}
