package cheftest

import (
	"maps"
	"net/http"
	"slices"
)

// parseCookbook checks a manifest. The form must be that of the API version
// (docs/chef-server-api.md §3.3).
func parseCookbook(q *request) *answer {
	name, text := q.arg("name"), q.arg("version")
	if a := parseCookbookVersion(q); a != nil {
		return a
	}
	if !validName(cookbookName, name) {
		return invalid("Invalid cookbook name '%s' using regex: 'Malformed cookbook name. Must only contain A-Z, a-z, 0-9, _, . or -'.", name)
	}
	if a := parseBody(q); a != nil {
		return a
	}
	return checkCookbook(q.doc, name, text, q.version >= 2)
}

func parseCookbookVersion(q *request) *answer {
	text := q.arg("version")
	if q.r.Method != http.MethodPut && (text == "_latest" || text == "latest") {
		return nil
	}
	if _, valid := parseVersion(text); !valid {
		return invalid("Invalid cookbook version '%s'.", text)
	}
	return nil
}

func checkCookbook(doc *object, name, text string, v2 bool) *answer {
	doc.setDefaults("json_class", "Chef::CookbookVersion", "chef_type", "cookbook_version", "frozen?", false)
	lists := segmentKeys()
	if v2 {
		lists = []string{"all_files"}
	}
	allowed := append([]string{"chef_type", "cookbook_name", "frozen?", "json_class", "metadata", "name", "version"}, lists...)
	meta, found := doc.get("metadata")
	metadata, isObject := meta.(*object)
	switch a := firstAnswer(strictKeys(doc, allowed...), checkString(doc, "name", name+"-"+text), checkString(doc, "cookbook_name", name),
		checkString(doc, "json_class", "Chef::CookbookVersion"), checkString(doc, "chef_type", "cookbook_version")); {
	case a != nil:
		return a
	case !found:
		return invalid("Field 'metadata' missing")
	case !isObject:
		return invalid("Field 'metadata' invalid")
	}
	if doc.has("version") {
		if a := checkString(doc, "version", text); a != nil {
			return a
		}
	}
	if a := checkMetadata(metadata, text, v2); a != nil {
		return a
	}
	for _, key := range lists {
		if a := checkFiles(doc, key); a != nil {
			return a
		}
	}
	return nil
}

func checkMetadata(m *object, text string, v2 bool) *answer {
	if !m.has("version") {
		return invalid("Field 'metadata.version' missing")
	}
	if v, _ := m.get("version"); v != text {
		return invalid("Field 'metadata.version' invalid")
	}
	if v, found := m.get("name"); found {
		if s, isString := v.(string); !isString || !validName(cookbookName, s) {
			return invalid("Field 'metadata.name' invalid")
		}
	}
	a := optionalStrings(m, "metadata.", "description", "long_description", "maintainer", "maintainer_email", "license")
	if a != nil {
		return a
	}
	maps := []string{"platforms", "dependencies"}
	if !v2 {
		maps = append(maps, "recommendations", "suggestions", "conflicting", "replacing")
	}
	for _, key := range maps {
		if a := checkConstraints(m, key, "metadata."+key); a != nil {
			return a
		}
	}
	return nil
}

func checkFiles(doc *object, key string) *answer {
	v, found := doc.get(key)
	if !found {
		return nil
	}
	list, isList := v.([]any)
	if !isList {
		return invalid("Field '%s' invalid", key)
	}
	for _, e := range list {
		f, isObject := e.(*object)
		if !isObject {
			return invalid("Invalid element in array value of '%s'.", key)
		}
		for _, k := range []string{"name", "path", "checksum", "specificity"} {
			if v, _ := f.get(k); v == nil {
				return invalid("Invalid element in array value of '%s'.", key)
			} else if _, isString := v.(string); !isString {
				return invalid("Invalid element in array value of '%s'.", key)
			}
		}
	}
	return nil
}

// cookbookAt returns the version in the path.
func (q *request) cookbookAt(perm string) (*cookbook, *answer) {
	name, text := q.arg("name"), q.arg("version")
	var c *cookbook
	if v, valid := parseVersion(text); valid {
		c = q.org.cookbooks[name][v]
	} else if list := q.org.sortedVersions(name); len(list) > 0 {
		c = list[0]
	}
	if c == nil {
		return nil, notFound("Cannot find a cookbook named %s with version %s", name, text)
	}
	return c, q.checkPermission(perm, "cookbooks/"+name)
}

func (s *Server) getCookbookVersion(q *request) *answer {
	c, a := q.cookbookAt("read")
	if a != nil {
		return a
	}
	return ok(c.renderManifest(q.version >= 2, q.fileURL))
}

// putCookbookVersion creates or updates. It isn't one transaction, so that a
// failed create is kept (docs/chef-server-api.md §3.3, §13).
func (s *Server) putCookbookVersion(q *request) *answer {
	o, name := q.org, q.arg("name")
	ver, _ := parseVersion(q.arg("version"))
	fresh := newCookbook(name, ver, q.doc)
	old := o.cookbooks[name][ver]
	if old == nil {
		return s.createCookbook(q, fresh)
	}
	if a := q.checkPermission("update", "cookbooks/"+name); a != nil {
		return a
	}
	force := q.r.URL.Query()
	if old.frozen && (!force.Has("force") || force.Get("force") == "false") {
		return conflict("The cookbook %s at version %s is frozen. Use the 'force' option to override.", name, ver)
	}
	fresh.frozen = fresh.frozen || old.frozen
	echo := ok(q.doc.set("frozen?", fresh.frozen))
	if fresh.equals(old) && len(old.linked) == len(old.sums) {
		return echo
	}
	dropped := slices.DeleteFunc(slices.Collect(maps.Keys(old.linked)), func(sum string) bool { return slices.Contains(fresh.sums, sum) })
	forgotten, missing := o.relinkChecksums(old, fresh)
	if missing != "" {
		return invalid("Manifest has checksum %s but it hasn't yet been uploaded", missing)
	}
	o.cookbooks[name][ver] = fresh
	o.recordChange("update", "/cookbooks/"+name+"/"+ver.String())
	if o.overwriteCollides(q, dropped, forgotten) {
		return fail(http.StatusInternalServerError, "internal service error")
	}
	return echo
}

func (s *Server) createCookbook(q *request, c *cookbook) *answer {
	o := q.org
	a := q.checkCreatePermission("cookbooks")
	if o.cookbooks[c.name] != nil {
		a = q.checkPermission("update", "cookbooks/"+c.name)
	}
	if a != nil {
		return a
	}
	if !o.storeCookbook(c, q.actor) {
		return invalid("Manifest has a checksum that hasn't been uploaded.")
	}
	return created(q.urlOf("cookbooks", c.name, c.ver.String()), q.doc)
}

// storeCookbook adds a version; it returns false if a checksum is unknown, but stores
// the version even then.
func (o *Org) storeCookbook(c *cookbook, creator *account) bool {
	if o.cookbooks[c.name] == nil {
		o.cookbooks[c.name] = map[version]*cookbook{}
		o.createACL("cookbooks", c.name, creator)
	}
	o.cookbooks[c.name][c.ver] = c
	o.recordChange("create", "/cookbooks/"+c.name+"/"+c.ver.String())
	return o.linkChecksums(c.linked, c.sums) == ""
}

func (s *Server) deleteCookbookVersion(q *request) *answer {
	c, a := q.cookbookAt("delete")
	if a != nil {
		return a
	}
	body := ok(c.renderManifest(false, q.fileURL)) // in segments, whatever the version asked for
	q.org.dropCookbook(c)
	return body
}

func (o *Org) dropCookbook(c *cookbook) {
	o.unlinkChecksums(c.linked, nil, true)
	delete(o.cookbooks[c.name], c.ver)
	if len(o.cookbooks[c.name]) == 0 {
		delete(o.cookbooks, c.name)
		o.dropACL("cookbooks/" + c.name)
	}
	o.recordChange("delete", "/cookbooks/"+c.name+"/"+c.ver.String())
}
