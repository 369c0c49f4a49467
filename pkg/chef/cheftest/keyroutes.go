package cheftest

import (
	"net/http"
	"time"
)

const never = "infinity"

// parseKeyRequest checks create_key and public_key of a new user or client.
func parseKeyRequest(q *request) *answer {
	create, _ := q.doc.get("create_key")
	text := q.doc.str("public_key")
	if create == true && text != "" {
		return invalid("You must specify either create_key or public_key, but not both")
	}
	if _, valid := parsePublicPEM(text); text != "" && !valid {
		return invalid("Public Key must be a valid key.")
	}
	return nil
}

// withKey sets the key of a new account and adds it to the answer: as chef_key from API
// version 1 on, inline before.
func (s *Server) withKey(q *request, a *account, out *object, uri string) *object {
	create, _ := q.doc.get("create_key")
	if q.version == 0 && !q.doc.has("public_key") {
		create = true // version 0 always creates one
	}
	if text := q.doc.str("public_key"); text != "" {
		pub, _ := parsePublicPEM(text)
		a.setKey(pubKey{name: "default", text: text, pub: pub})
	}
	private := ""
	if create == true {
		key := s.newKey()
		a.addKey("default", &key.PublicKey)
		private = string(PrivatePEM(key))
	}
	if len(a.keys) == 0 {
		return out
	}
	if q.version == 0 {
		out.set("public_key", a.publicKey())
		if private != "" {
			out.set("private_key", private)
		}
		return out
	}
	key := keyJSON(a.keys[0]).set("uri", uri+"/keys/default")
	if private != "" {
		key.set("private_key", private)
	}
	return out.set("chef_key", key)
}

func keyJSON(k pubKey) *object {
	expires := never
	if !k.expires.IsZero() {
		expires = k.expires.Format(time.RFC3339)
	}
	return obj("name", k.name, "public_key", k.text, "expiration_date", expires)
}

// keyOwner returns the account whose keys a route is about and checks the permission.
func (q *request) keyOwner(perm string) (*account, string, *answer) {
	if q.inOrg && q.arg("user") == "" {
		c := q.org.clients[q.arg("name")]
		if c == nil {
			return nil, "", notFound("Cannot load client %s", q.arg("name"))
		}
		return c, q.urlOf("clients", c.name), q.checkPermission(perm, "clients/"+c.name)
	}
	name := q.arg("user")
	u := q.s.users[name]
	if u == nil {
		return nil, "", failText(http.StatusNotFound, "Could not find user %s", name)
	}
	admin := q.inOrg && perm == "read" && q.org.hasPermission(q.actor, "read", "organizations")
	if q.actor != u && !admin {
		return u, "", q.superuserOnly()
	}
	return u, q.baseURL() + "/users/" + name, nil
}

func (s *Server) listKeys(q *request) *answer {
	who, base, a := q.keyOwner("read")
	if a != nil {
		return a
	}
	list := []any{}
	for _, k := range who.keys {
		expired := !k.expires.IsZero() && !s.now().Before(k.expires)
		list = append(list, obj("name", k.name, "uri", base+"/keys/"+k.name, "expired", expired))
	}
	return ok(list)
}

func parseKey(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	name := q.doc.str("name")
	if name == "" {
		name = q.arg("key")
	}
	if !validName(roleName, name) {
		return invalid("Field 'name' invalid")
	}
	q.doc.set("name", name)
	expires := q.doc.str("expiration_date")
	if expires == "" && q.r.Method == http.MethodPost {
		return invalid("Field 'expiration_date' missing")
	}
	if expires != "" && expires != never {
		if _, err := time.Parse(time.RFC3339, expires); err != nil {
			return invalid("Field 'expiration_date' invalid")
		}
	}
	create, _ := q.doc.get("create_key")
	if q.r.Method == http.MethodPost && create != true && q.doc.str("public_key") == "" {
		return invalid("You must either provide a valid value for 'public_key', or specify 'create_key': true")
	}
	return parseKeyRequest(q)
}

// storeKey sets a key from the body and returns the private key if it created one.
func (s *Server) storeKey(q *request, who *account, old pubKey) string {
	k, private := old, ""
	k.name = q.doc.str("name")
	if text := q.doc.str("public_key"); text != "" {
		k.text = text
		k.pub, _ = parsePublicPEM(text)
	}
	if create, _ := q.doc.get("create_key"); create == true {
		key := s.newKey()
		k.text, k.pub, private = publicPEM(&key.PublicKey), &key.PublicKey, string(PrivatePEM(key))
	}
	switch expires := q.doc.str("expiration_date"); expires {
	case "":
	case never:
		k.expires = time.Time{}
	default:
		k.expires, _ = time.Parse(time.RFC3339, expires)
	}
	who.setKey(k)
	return private
}

func (s *Server) createKey(q *request) *answer {
	who, base, a := q.keyOwner("update")
	if a != nil {
		return a
	}
	name := q.doc.str("name")
	if _, exists := who.findKey(name); exists {
		return conflict("A key named %s already exists for %s.", name, who.name)
	}
	out := obj("uri", base+"/keys/"+name)
	if private := s.storeKey(q, who, pubKey{}); private != "" {
		out.set("private_key", private)
	}
	return created(base+"/keys/"+name, out)
}

// withNamedKey calls what with the key in the path.
func (s *Server) withNamedKey(q *request, perm string, what func(*account, pubKey) *answer) *answer {
	who, _, a := q.keyOwner(perm)
	if a != nil {
		return a
	}
	k, found := who.findKey(q.arg("key"))
	if !found {
		return failText(http.StatusNotFound, "There is no key named %s associated with %s.", q.arg("key"), who.name)
	}
	return what(who, k)
}

func (s *Server) getKey(q *request) *answer {
	return s.withNamedKey(q, "read", func(_ *account, k pubKey) *answer { return ok(keyJSON(k)) })
}

func (s *Server) putKey(q *request) *answer {
	return s.withNamedKey(q, "update", func(who *account, k pubKey) *answer {
		private := s.storeKey(q, who, k)
		k, _ = who.findKey(q.doc.str("name"))
		out := keyJSON(k)
		if private != "" {
			out.set("private_key", private)
		}
		return ok(out)
	})
}

func (s *Server) deleteKey(q *request) *answer {
	return s.withNamedKey(q, "update", func(who *account, k pubKey) *answer {
		var kept []pubKey
		for _, other := range who.keys {
			if other.name != k.name {
				kept = append(kept, other)
			}
		}
		who.keys = kept
		return ok(keyJSON(k))
	})
}
