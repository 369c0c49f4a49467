package cheftest

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// indexNow returns the names in each search index without any lag.
func (o *Org) indexNow() map[string]map[string]bool {
	index := map[string]map[string]bool{"role": nameSet(o.roles), "environment": nameSet(o.environments), "client": nameSet(o.clients)}
	for bag, items := range o.bags {
		index[bag] = nameSet(items)
	}
	return index
}

func nameSet[V any](m map[string]V) map[string]bool {
	set := make(map[string]bool, len(m))
	for k := range m {
		set[k] = true
	}
	return set
}

// FreezeIndex lets the search index lag: names that come later aren't found
// and deleted names are still found, until RefreshIndex or ThawIndex. The
// content of rows is current always (docs/chef-server-api.md §6.2).
func (o *Org) FreezeIndex() {
	o.s.withLock(func() { o.frozenIndex, o.index = true, o.indexNow() })
}

// RefreshIndex updates a frozen index once.
func (o *Org) RefreshIndex() { o.FreezeIndex() }

// ThawIndex ends the lag of the index.
func (o *Org) ThawIndex() { o.s.withLock(func() { o.frozenIndex, o.index = false, nil }) }

// DropFromIndex removes a name from the frozen index, like a lost index entry.
func (o *Org) DropFromIndex(index, name string) {
	o.s.withLock(func() {
		if o.frozenIndex {
			delete(o.index[index], name)
		}
	})
}

func (s *Server) listIndexes(q *request) *answer {
	out := obj()
	for _, n := range append([]string{"node", "role", "client", "environment"}, sortedKeys(q.org.bags)...) {
		out.set(n, q.urlOf("search", n))
	}
	return ok(out)
}

// parseSearch checks q, rows and start, and the body of a partial search.
func parseSearch(q *request) *answer {
	values := q.r.URL.Query()
	for _, k := range []string{"rows", "start"} {
		if n, err := strconv.Atoi(values.Get(k)); values.Get(k) != "" && (err != nil || n < 0) {
			return invalid("invalid '%s' value: '%s'", k, values.Get(k))
		}
	}
	if _, known := searchQuery(values.Get("q")); !known {
		return invalid("invalid search query: '%s'", values.Get("q"))
	}
	if q.r.Method == "GET" {
		return nil
	}
	if a := parseBody(q); a != nil {
		return a
	}
	for _, m := range q.doc.members {
		if _, valid := stringList(q.doc, m.key); !valid {
			return invalid("invalid partial search request body")
		}
	}
	return nil
}

// searchQuery parses *:*, name:PATTERN, id:PATTERN and several of these joined
// by OR, no more.
func searchQuery(text string) (patterns []string, known bool) {
	if text == "" || text == "*:*" {
		return []string{"*"}, true
	}
	for _, term := range strings.Split(text, " OR ") {
		field, pattern, found := strings.Cut(term, ":")
		if !found || field != "name" && field != "id" || strings.ContainsAny(pattern, " ()[]\"") {
			return nil, false
		}
		patterns = append(patterns, pattern)
	}
	return patterns, true
}

func (s *Server) searchIndex(q *request) *answer {
	index := q.arg("index")
	values := q.r.URL.Query()
	patterns, _ := searchQuery(values.Get("q"))
	all := q.org.indexNow()
	if q.org.frozenIndex {
		all = q.org.index
	}
	var names []string
	exact := map[string]bool{} // a query may name a hundred
	for _, p := range patterns {
		exact[p] = true
	}
	globs := slices.DeleteFunc(patterns, func(p string) bool { return !strings.ContainsAny(p, `*?[\`) })
	for _, n := range sortedKeys(all[index]) {
		if exact[n] || slices.ContainsFunc(globs, func(p string) bool { matched, _ := path.Match(p, n); return matched }) {
			names = append(names, n)
		}
	}
	start, rows := 0, 1000
	if t := values.Get("start"); t != "" {
		start, _ = strconv.Atoi(t)
	}
	if t := values.Get("rows"); t != "" {
		rows, _ = strconv.Atoi(t)
	}
	total := len(names)
	if w := q.org.searchWindow; w > 0 {
		if start+rows > w {
			return fail(500, "internal service error")
		}
		total = min(total, w)
	}
	names = names[min(start, total):min(start+rows, total)]
	list := []any{}
	for _, n := range names {
		if row := q.searchRow(index, n); row != nil {
			list = append(list, q.org.replaceRow(index, row))
		}
	}
	builtIn := slices.Contains([]string{"node", "role", "client", "environment"}, index)
	if _, bag := q.org.bags[index]; !builtIn && !bag {
		return notFound("I don't know how to search for %s data objects.", index)
	}
	return ok(obj("total", total, "start", start, "rows", list))
}

// searchRow returns one row, or nil if the database doesn't have it any more.
func (q *request) searchRow(index, name string) *object {
	var doc *object
	var url string
	switch index {
	case "role":
		doc, url = decodeDoc(q.org.roles[name]), q.urlOf("roles", name)
	case "environment":
		doc, url = decodeDoc(q.org.environments[name]), q.urlOf("environments", name)
	case "client":
		if c := q.org.clients[name]; c != nil {
			doc, url = q.org.clientJSON(c, 0), q.urlOf("clients", name)
		}
	default:
		body, found := q.org.bags[index][name]
		if !found {
			return nil
		}
		doc, url = decodeDoc(body), q.urlOf("data", index, name)
		if q.doc == nil || len(q.doc.members) == 0 {
			return wrapItem(index, name, body)
		}
	}
	if doc == nil || q.doc == nil || len(q.doc.members) == 0 {
		return doc
	}
	data := obj()
	for _, m := range q.doc.members {
		keys, _ := stringList(q.doc, m.key)
		data.set(m.key, valueAt(doc, keys))
	}
	return obj("url", url, "data", data)
}

func decodeDoc(body []byte) *object {
	v, _ := decode(body)
	o, _ := v.(*object)
	return o
}

// valueAt returns the value at a path of keys, or nil.
func valueAt(v any, keys []string) any {
	if len(keys) == 0 {
		return nil
	}
	for _, k := range keys {
		o, isObject := v.(*object)
		if !isObject {
			return nil
		}
		v, _ = o.get(k)
	}
	return v
}
