package cheftest

import "net/http"

func (o *Org) newClient(name string, validator bool, creator *account) *account {
	c := &account{name: name, kind: clientKind, authz: guidOf("client", o.name, name), validator: validator}
	o.clients[name] = c
	o.createACL("clients", name, creator)
	o.acls["clients/"+name].grantAll(c)
	o.groups["clients"].clients = addName(o.groups["clients"].clients, name)
	return c
}

func (o *Org) dropClient(name string) {
	delete(o.clients, name)
	o.dropACL("clients/" + name)
	for _, g := range o.groups {
		g.clients = removeName(g.clients, name)
	}
	for _, rights := range o.acls {
		for p, e := range rights {
			e.clients = removeName(e.clients, name)
			rights[p] = e
		}
	}
}

func (o *Org) clientJSON(c *account, version int) *object {
	out := obj("name", c.name, "clientname", c.name, "orgname", o.name, "json_class", "Chef::ApiClient",
		"chef_type", "client", "validator", c.validator)
	if version == 0 {
		out.set("public_key", c.publicKey())
	}
	return out
}

func (s *Server) listClients(q *request) *answer {
	if a := q.checkPermission("read", "containers/clients"); a != nil {
		return a
	}
	out := obj()
	for _, n := range sortedKeys(q.org.clients) {
		out.set(n, q.urlOf("clients", n))
	}
	return ok(out)
}

func parseClient(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	name := q.doc.str("name")
	if name == "" {
		name = q.doc.str("clientname")
	}
	if !validName(environmentName, name) {
		return invalid("Invalid client name '%s' using regex: 'Malformed client name.  Must be A-Z, a-z, 0-9, _, -, or .'.", name)
	}
	q.doc.set("name", name)
	return parseKeyRequest(q)
}

func (s *Server) createClient(q *request) *answer {
	name := q.doc.str("name")
	if a := q.checkPermission("create", "containers/clients"); a != nil {
		return a
	}
	if q.org.clients[name] != nil {
		return conflict("Client already exists")
	}
	validator, _ := q.doc.get("validator")
	c := q.org.newClient(name, validator == true, q.actor)
	uri := q.urlOf("clients", name)
	return created(uri, s.withKey(q, c, obj("uri", uri), uri))
}

func (q *request) findClient(perm string) (*account, *answer) {
	c := q.org.clients[q.arg("name")]
	if c == nil {
		return nil, notFound("Cannot load client %s", q.arg("name"))
	}
	return c, q.checkPermission(perm, "clients/"+c.name)
}

func (s *Server) getClient(q *request) *answer {
	c, a := q.findClient("read")
	if a != nil {
		return a
	}
	return ok(q.org.clientJSON(c, q.version))
}

func (s *Server) putClient(q *request) *answer {
	c, a := q.findClient("update")
	if a != nil {
		return a
	}
	if q.version > 0 && (q.doc.has("public_key") || q.doc.has("private_key")) {
		return invalid("Since Server API v1, all keys must be updated via the keys endpoint. ")
	}
	if v, found := q.doc.get("validator"); found {
		c.validator = v == true
	}
	if text := q.doc.str("public_key"); text != "" {
		pub, valid := parsePublicPEM(text)
		if !valid {
			return invalid("Public Key must be a valid key.")
		}
		c.setKey(pubKey{name: "default", text: text, pub: pub})
	}
	return ok(q.org.clientJSON(c, q.version))
}

func (s *Server) deleteClient(q *request) *answer {
	c, a := q.findClient("delete")
	if a != nil {
		return a
	}
	q.org.dropClient(c.name)
	return ok(q.org.clientJSON(c, q.version))
}

// getPrincipal returns the principals of a name, without a signature
// (docs/chef-server-api.md §7.4).
func (s *Server) getPrincipal(q *request) *answer {
	name := q.arg("name")
	var list []any
	if c := q.org.clients[name]; c != nil {
		list = append(list, principalJSON(c, true))
	}
	if u := s.users[name]; u != nil {
		_, member := q.org.members[name]
		list = append(list, principalJSON(u, member))
	}
	switch {
	case len(list) == 0:
		return failWith(http.StatusNotFound, obj("not_found", "principal", "error", "Cannot find principal "+name))
	case q.version == 0:
		return ok(list[0])
	}
	return ok(obj("principals", list))
}

func principalJSON(a *account, member bool) *object {
	return obj("name", a.name, "public_key", a.publicKey(), "type", a.kind, "authz_id", a.authz, "org_member", member)
}
