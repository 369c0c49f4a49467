package cheftest

import (
	"bytes"
	"net/http"
)

func parseBag(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	if !q.doc.has("name") {
		return invalid("Field 'name' missing")
	}
	if !validName(roleName, q.doc.str("name")) {
		return invalid("Field 'name' invalid")
	}
	return nil
}

// parseItem unwraps a wrapped item. The id of a new item comes from the body;
// that of an update may be left out (docs/chef-server-api.md §4.4).
func parseItem(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	q.doc = unwrapItem(q.doc)
	if id := q.arg("item"); id != "" {
		if q.doc.has("id") && q.doc.str("id") != id {
			return invalid("DataBagItem name mismatch.")
		}
		q.doc.set("id", id)
	}
	if !q.doc.has("id") {
		return invalid("Field 'id' missing")
	}
	if !validName(roleName, q.doc.str("id")) {
		return invalid("Field 'id' invalid")
	}
	return nil
}

func unwrapItem(doc *object) *object {
	raw, _ := doc.get("raw_data")
	inner, isObject := raw.(*object)
	if doc.str("json_class") == "Chef::DataBagItem" && isObject {
		return inner
	}
	return doc
}

func wrapItem(bag, id string, body []byte) *object {
	item, _ := decode(body)
	return obj("name", "data_bag_item_"+bag+"_"+id, "json_class", "Chef::DataBagItem",
		"chef_type", "data_bag_item", "data_bag", bag, "raw_data", item)
}

func (s *Server) listBags(q *request) *answer { return q.listNames("data", sortedKeys(q.org.bags)) }

func (s *Server) createBag(q *request) *answer {
	name := q.doc.str("name")
	if a := q.checkPermission("create", "containers/data"); a != nil {
		return a
	}
	if q.org.bags[name] != nil {
		return conflict("Data bag already exists")
	}
	q.org.newBag(name, q.actor)
	return created(q.urlOf("data", name), obj("uri", q.urlOf("data", name)))
}

func (o *Org) newBag(name string, creator *account) {
	o.createACL("data", name, creator)
	o.bags[name] = map[string][]byte{}
	o.recordChange("create", "/data/"+name)
}

func (q *request) findBag(perm string, absent func() *answer) (map[string][]byte, *answer) {
	items, found := q.org.bags[q.arg("name")]
	if !found {
		return nil, absent()
	}
	return items, q.checkPermission(perm, "data/"+q.arg("name"))
}

func (q *request) missingBag() *answer { return notFound("Cannot load data bag %s", q.arg("name")) }

func (s *Server) getBag(q *request) *answer {
	items, a := q.findBag("read", q.missingBag)
	if a != nil {
		return a
	}
	out := obj()
	for _, id := range sortedKeys(items) {
		out.members = append(out.members, member{id, q.urlOf("data", q.arg("name"), id)})
	}
	return ok(out)
}

func (s *Server) deleteBag(q *request) *answer {
	_, a := q.findBag("delete", q.missingBag)
	if a != nil {
		return a
	}
	q.org.dropBag(q.arg("name"))
	return ok(obj("name", q.arg("name"), "json_class", "Chef::DataBag", "chef_type", "data_bag"))
}

func (o *Org) dropBag(name string) {
	delete(o.bags, name)
	o.dropACL("data/" + name)
	o.recordChange("delete", "/data/"+name)
}

func (s *Server) createItem(q *request) *answer {
	bag, id := q.arg("name"), q.doc.str("id")
	items, a := q.findBag("create", func() *answer {
		return notFound("No data bag '%s' could be found. Please create this data bag before adding items to it.", bag)
	})
	if a = firstAnswer(a, s.checkIndex()); a != nil {
		return a
	}
	if items[id] != nil {
		return conflict("Data Bag Item '%s' already exists in Data Bag '%s'.", id, bag)
	}
	items[id] = encode(q.doc)
	q.org.recordChange("create", "/data/"+bag+"/"+id)
	return created(q.urlOf("data", bag, id), q.itemEcho())
}

// itemEcho returns the answer of POST and PUT: the item with two more keys.
func (q *request) itemEcho() *object {
	return q.doc.clone().set("chef_type", "data_bag_item").set("data_bag", q.arg("name"))
}

func (q *request) findItem(perm string) ([]byte, *answer) {
	bag, id := q.arg("name"), q.arg("item")
	absent := func() *answer {
		if q.r.Method == http.MethodDelete {
			return notFound("Cannot load data bag %s item %s", bag, id)
		}
		return notFound("Cannot load data bag item %s for data bag %s", id, bag)
	}
	items, a := q.findBag(perm, absent)
	if a != nil {
		return nil, a
	}
	body, found := items[id]
	if !found {
		return nil, absent()
	}
	return body, nil
}

func (s *Server) getItem(q *request) *answer {
	body, a := q.findItem("read")
	if a != nil {
		return a
	}
	return rawJSON(body)
}

func (s *Server) putItem(q *request) *answer {
	old, a := q.findItem("update")
	if a = firstAnswer(a, s.checkIndex()); a != nil {
		return a
	}
	if body := encode(q.doc); !bytes.Equal(old, body) {
		q.org.bags[q.arg("name")][q.arg("item")] = body
		q.org.recordChange("update", "/data/"+q.arg("name")+"/"+q.arg("item"))
	}
	return ok(q.itemEcho())
}

func (s *Server) deleteItem(q *request) *answer {
	body, a := q.findItem("delete")
	if a != nil {
		return a
	}
	q.org.dropItem(q.arg("name"), q.arg("item"))
	return ok(wrapItem(q.arg("name"), q.arg("item"), body))
}

func (o *Org) dropItem(bag, id string) {
	delete(o.bags[bag], id)
	o.recordChange("delete", "/data/"+bag+"/"+id)
}
