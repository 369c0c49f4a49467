package cheftest

func (s *Server) apiVersion(*request) *answer {
	return ok(obj("min_api_version", s.opts.MinAPIVersion, "max_api_version", s.opts.MaxAPIVersion))
}

func (s *Server) listOrgs(q *request) *answer {
	if a := q.superuserOnly(); a != nil {
		return a
	}
	out := obj()
	for _, n := range sortedKeys(s.orgs) {
		out.set(n, q.baseURL()+"/organizations/"+n)
	}
	return ok(out)
}

func (s *Server) createOrg(q *request) *answer {
	name := q.doc.str("name")
	if !validOrgName(name) {
		return invalid("Field 'name' invalid")
	}
	if q.doc.str("full_name") == "" {
		return invalid("Field 'full_name' missing")
	}
	if a := q.superuserOnly(); a != nil {
		return a
	}
	if s.orgs[name] != nil {
		return conflict("Organization already exists")
	}
	o := newOrg(s, name)
	o.full = q.doc.str("full_name")
	s.orgs[name] = o
	validator := o.newClient(name+"-validator", true, nil)
	key := s.newKey()
	validator.addKey("default", &key.PublicKey)
	uri := q.baseURL() + "/organizations/" + name
	return created(uri, obj("uri", uri, "clientname", validator.name, "private_key", string(PrivatePEM(key))))
}

func (s *Server) getOrg(q *request) *answer {
	if a := q.checkPermission("read", "organizations"); a != nil {
		return a
	}
	return ok(obj("name", q.org.name, "full_name", q.org.full, "guid", q.org.guid))
}

func (s *Server) deleteOrg(q *request) *answer {
	if a := q.superuserOnly(); a != nil {
		return a
	}
	delete(s.orgs, q.org.name)
	return ok(obj("name", q.org.name, "full_name", q.org.full, "guid", q.org.guid))
}
