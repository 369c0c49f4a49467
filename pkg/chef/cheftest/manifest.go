package cheftest

import (
	"slices"
	"strings"
)

// segmentKeys returns the file lists of a cookbook below API version 2.
func segmentKeys() []string {
	return []string{"attributes", "definitions", "files", "libraries", "providers", "recipes", "resources", "root_files", "templates"}
}

// cookbook is one stored version. Its parts are those of the database row:
// some metadata has columns of its own and is always there when read
// (docs/chef-server-api.md §3.2).
type cookbook struct {
	name       string
	ver        version
	frozen     bool
	doc        *object // without metadata and frozen?
	metadata   *object // without the three below
	attributes any
	depends    any
	longDesc   any
	sums       []string        // of all its files, sorted
	linked     map[string]bool // the checksums that are linked to this row
}

func newCookbook(name string, ver version, doc *object) *cookbook {
	meta, _ := doc.get("metadata")
	metadata, _ := meta.(*object)
	if metadata == nil {
		metadata = obj()
	}
	frozen, _ := doc.get("frozen?")
	c := &cookbook{name: name, ver: ver, frozen: frozen == true, linked: map[string]bool{}}
	c.doc = doc.clone().del("metadata").del("frozen?")
	take := func(key string, def any) any {
		if v, found := metadata.get(key); found {
			return v
		}
		return def
	}
	c.attributes, c.depends, c.longDesc = take("attributes", obj()), take("dependencies", obj()), take("long_description", "")
	c.metadata = metadata.clone().del("attributes").del("dependencies").del("long_description")
	for _, f := range manifestFiles(doc) {
		c.sums = append(c.sums, f.str("checksum"))
	}
	slices.Sort(c.sums)
	c.sums = slices.Compact(c.sums)
	return c
}

// manifestFiles returns all files of a manifest in either form.
func manifestFiles(doc *object) []*object {
	var out []*object
	for _, key := range append([]string{"all_files"}, segmentKeys()...) {
		v, _ := doc.get(key)
		list, _ := v.([]any)
		for _, e := range list {
			if f, isObject := e.(*object); isObject {
				out = append(out, f)
			}
		}
	}
	return out
}

func (c *cookbook) equals(d *cookbook) bool {
	return c.frozen == d.frozen && string(encode(c.doc)) == string(encode(d.doc)) &&
		string(encode(c.fullMetadata())) == string(encode(d.fullMetadata()))
}

func (c *cookbook) fullMetadata() *object {
	return c.metadata.clone().set("attributes", c.attributes).set("dependencies", c.depends).set("long_description", c.longDesc)
}

// renderManifest returns the version in the form of an API version. Stored segments become
// all_files for version 2 and the other way round; files of other folders are
// lost below version 2 (docs/chef-server-api.md §3.2).
func (c *cookbook) renderManifest(v2 bool, url func(sum string) string) *object {
	doc := c.doc.clone()
	if v2 {
		doc = toAllFiles(doc)
	} else {
		doc = toSegments(doc)
	}
	if url != nil {
		for i, m := range doc.members {
			if list, isList := m.val.([]any); isList && (m.key == "all_files" || slices.Contains(segmentKeys(), m.key)) {
				doc.members[i].val = withURLs(list, url)
			}
		}
	}
	return doc.set("frozen?", c.frozen).set("metadata", c.fullMetadata())
}

func withURLs(list []any, url func(string) string) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = e
		if f, isObject := e.(*object); isObject {
			out[i] = f.clone().set("url", url(f.str("checksum")))
		}
	}
	return out
}

func toAllFiles(doc *object) *object {
	if doc.has("all_files") {
		return doc
	}
	all := []any{}
	for _, seg := range segmentKeys() {
		v, _ := doc.get(seg)
		list, _ := v.([]any)
		for _, e := range list {
			if f, isObject := e.(*object); isObject {
				all = append(all, f.clone().set("name", seg+"/"+f.str("name")))
			}
		}
	}
	for _, seg := range segmentKeys() {
		doc.del(seg)
	}
	return doc.set("all_files", all)
}

// toSegments reverses the order of files, as erchef does.
func toSegments(doc *object) *object {
	v, found := doc.get("all_files")
	if !found {
		return doc
	}
	list, _ := v.([]any)
	by := map[string][]any{}
	for _, e := range slices.Backward(list) {
		f, isObject := e.(*object)
		if !isObject {
			continue
		}
		seg, rest, nested := strings.Cut(f.str("name"), "/")
		if !nested {
			seg, rest = "root_files", seg
		}
		by[seg] = append(by[seg], f.clone().set("name", rest))
	}
	for _, seg := range segmentKeys() {
		if by[seg] == nil {
			by[seg] = []any{}
		}
		doc.set(seg, by[seg])
	}
	return doc.del("all_files")
}

// recipeNames returns the recipes of a version as _recipes lists them.
func (c *cookbook) recipeNames() []string {
	v, _ := toAllFiles(c.doc.clone()).get("all_files")
	list, _ := v.([]any)
	var out []string
	for _, e := range list {
		f, isObject := e.(*object)
		if !isObject {
			continue
		}
		seg, rest, _ := strings.Cut(f.str("name"), "/")
		if seg != "recipes" {
			continue
		}
		rest = strings.TrimSuffix(rest[strings.LastIndex(rest, "/")+1:], ".rb")
		if rest == "default" {
			out = append(out, c.name)
		} else {
			out = append(out, c.name+"::"+rest)
		}
	}
	slices.Sort(out)
	return out
}
