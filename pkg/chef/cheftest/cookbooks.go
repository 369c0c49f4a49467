package cheftest

import (
	"slices"
	"strconv"
)

// sortedVersions returns a cookbook's versions, highest first.
func (o *Org) sortedVersions(name string) []*cookbook {
	list := make([]*cookbook, 0, len(o.cookbooks[name]))
	for _, c := range o.cookbooks[name] {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *cookbook) int { return b.ver.compare(a.ver) })
	return list
}

// parseNumVersions reads num_versions: a number, "all", or 1 when left out.
func parseNumVersions(q *request) *answer {
	values := q.r.URL.Query()
	if !values.Has("num_versions") || values.Get("num_versions") == "all" {
		return nil
	}
	if n, err := strconv.Atoi(values.Get("num_versions")); err != nil || n < 0 {
		return invalid("You have requested an invalid number of versions (x >= 0 || 'all')")
	}
	return nil
}

func (q *request) versionList(name string, limit int) *object {
	list := []any{}
	for i, c := range q.org.sortedVersions(name) {
		if limit >= 0 && i >= limit {
			break
		}
		list = append(list, obj("version", c.ver.String(), "url", q.urlOf("cookbooks", name, c.ver.String())))
	}
	return obj("url", q.urlOf("cookbooks", name), "versions", list)
}

func (s *Server) listCookbooks(q *request) *answer {
	if a := q.checkPermission("read", "containers/cookbooks"); a != nil {
		return a
	}
	limit := 1
	switch n := q.r.URL.Query().Get("num_versions"); n {
	case "":
	case "all":
		limit = -1
	default:
		limit, _ = strconv.Atoi(n)
	}
	out := obj()
	for _, name := range sortedKeys(q.org.cookbooks) {
		out.members = append(out.members, member{name, q.versionList(name, limit)})
	}
	return ok(out)
}

func (s *Server) getCookbook(q *request) *answer {
	if a := q.checkPermission("read", "containers/cookbooks"); a != nil {
		return a
	}
	name := q.arg("name")
	switch name {
	case "_latest":
		out := obj()
		for _, n := range sortedKeys(q.org.cookbooks) {
			out.set(n, q.urlOf("cookbooks", n, q.org.sortedVersions(n)[0].ver.String()))
		}
		return ok(out)
	case "_recipes":
		list := []string{}
		for _, n := range sortedKeys(q.org.cookbooks) {
			list = append(list, q.org.sortedVersions(n)[0].recipeNames()...)
		}
		return ok(list)
	}
	if len(q.org.cookbooks[name]) == 0 {
		return notFound("Cannot find a cookbook named %s", name)
	}
	return ok(obj(name, q.versionList(name, -1)))
}

func (s *Server) getUniverse(q *request) *answer {
	if a := q.checkPermission("read", "containers/cookbooks"); a != nil {
		return a
	}
	out := obj()
	for _, name := range sortedKeys(q.org.cookbooks) {
		versions := obj()
		for _, c := range q.org.sortedVersions(name) {
			versions.set(c.ver.String(), obj("location_path", q.urlOf("cookbooks", name, c.ver.String()),
				"location_type", "chef_server", "dependencies", c.depends))
		}
		out.set(name, versions)
	}
	return ok(out)
}
