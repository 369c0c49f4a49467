package cheftest

import "net/http"

func (q *request) policyGroupJSON(name string) *object {
	bound := obj()
	for _, p := range sortedKeys(q.org.policyGroups[name]) {
		bound.set(p, obj("revision_id", q.org.policyGroups[name][p]))
	}
	return obj("uri", q.url("policy_groups", name), "policies", bound)
}

func (s *Server) listPolicyGroups(q *request) *answer {
	if a := q.need("read", "containers/policy_groups"); a != nil {
		return a
	}
	out := obj()
	for _, n := range sortedKeys(q.org.policyGroups) {
		out.set(n, q.policyGroupJSON(n))
	}
	return ok(out)
}

func (q *request) policyGroup(perm string) *answer {
	name := q.arg("group")
	if q.org.policyGroups[name] == nil {
		return missingPolicy()
	}
	return q.need(perm, "policy_groups/"+name)
}

func (s *Server) getPolicyGroup(q *request) *answer {
	if a := q.policyGroup("read"); a != nil {
		return a
	}
	return ok(q.policyGroupJSON(q.arg("group")))
}

func (s *Server) deletePolicyGroup(q *request) *answer {
	if a := q.policyGroup("delete"); a != nil {
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
	o.changed("delete", "/policy_groups/"+name)
}

// bound is the revision that a group binds.
func (q *request) bound(perm string) (*object, *answer) {
	group, policy := q.arg("group"), q.arg("policy")
	id, found := q.org.policyGroups[group][policy]
	if !found {
		return nil, notFound("Cannot load policy %s in policy group %s", policy, group)
	}
	return q.org.policies[policy][id], first(q.need(perm, "policies/"+policy), q.need(perm, "policy_groups/"+group))
}

func (s *Server) getBound(q *request) *answer {
	doc, a := q.bound("read")
	if a != nil {
		return a
	}
	return ok(doc)
}

// bind makes policy, group and revision as needed. An existing revision stays
// as it is, whatever the body says (docs/chef-server-api.md §5.2).
func (s *Server) bind(q *request) *answer {
	o, group, policy, id := q.org, q.arg("group"), q.arg("policy"), q.doc.str("revision_id")
	right := func(container, name string, exists bool) *answer {
		if exists {
			return q.need("update", container+"/"+name)
		}
		return q.needCreate(container)
	}
	if a := first(right("policies", policy, o.policies[policy] != nil),
		right("policy_groups", group, o.policyGroups[group] != nil)); a != nil {
		return a
	}
	o.newPolicy(policy, q.actor)
	if o.policies[policy][id] == nil {
		o.policies[policy][id] = q.doc
		o.changed("create", "/policies/"+policy+"/revisions/"+id)
	}
	if o.bindRevision(group, policy, id, q.actor) {
		return ok(q.doc)
	}
	return reply(http.StatusCreated, q.doc)
}

// bindRevision tells whether the group held the policy before.
func (o *Org) bindRevision(group, policy, id string, actor *account) (existed bool) {
	if o.policyGroups[group] == nil {
		o.policyGroups[group] = map[string]string{}
		o.own("policy_groups", group, actor)
	}
	_, existed = o.policyGroups[group][policy]
	o.policyGroups[group][policy] = id
	o.changed("update", "/policy_groups/"+group)
	return existed
}

func (s *Server) unbind(q *request) *answer {
	doc, a := q.bound("delete")
	if a != nil {
		return a
	}
	delete(q.org.policyGroups[q.arg("group")], q.arg("policy"))
	q.org.changed("update", "/policy_groups/"+q.arg("group"))
	return ok(doc)
}
