package cheftest

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The Put methods below store objects without HTTP and without checking
// permissions, with the validation of the API. They create or replace, record rows
// for updated_since as the API does, and panic on JSON that the server would
// refuse: that is a mistake in a test.

func mustDoc(what, text string) *object {
	v, err := decode([]byte(text))
	doc, isObject := v.(*object)
	if err != nil || !isObject {
		panic("cheftest: " + what + " is not a JSON object")
	}
	return doc
}

func mustSucceed(what string, a *answer) {
	if a != nil {
		panic("cheftest: " + what + ": " + string(a.body))
	}
}

// storeBody stores a body under a name and records the change, if there is one.
func (o *Org) storeBody(m map[string][]byte, container, name, path string, body []byte) {
	old, existed := m[name]
	m[name] = body
	switch {
	case !existed:
		if container != "" {
			o.createACL(container, name, nil)
		}
		o.recordChange("create", path)
	case string(old) != string(body):
		o.recordChange("update", path)
	}
}

// PutRole stores a role. Its name may be left out of the JSON.
func (o *Org) PutRole(name, text string) {
	doc := mustDoc("role "+name, text)
	doc.setDefaults("name", name)
	mustSucceed("role "+name, checkRole(doc))
	o.s.withLock(func() { o.storeBody(o.roles, "roles", name, "/roles/"+name, encode(doc)) })
}

// PutEnvironment stores an environment. Its name may be left out of the JSON.
func (o *Org) PutEnvironment(name, text string) {
	doc := mustDoc("environment "+name, text)
	doc.setDefaults("name", name)
	mustSucceed("environment "+name, checkEnvironment(doc))
	o.s.withLock(func() { o.storeBody(o.environments, "environments", name, "/environments/"+name, encode(doc)) })
}

// PutDataBag creates a data bag, if it doesn't exist.
func (o *Org) PutDataBag(name string) {
	o.s.withLock(func() {
		if o.bags[name] == nil {
			o.newBag(name, nil)
		}
	})
}

// PutDataBagItem stores an item, and creates its bag if necessary. The id may be
// left out of the JSON.
func (o *Org) PutDataBagItem(bag, id, text string) {
	doc := mustDoc("item "+id, text)
	doc.setDefaults("id", id)
	o.PutDataBag(bag)
	o.s.withLock(func() { o.storeBody(o.bags[bag], "", id, "/data/"+bag+"/"+id, encode(doc)) })
}

// PutCookbook stores a cookbook version with its files by path, whether or not
// it is frozen.
func (o *Org) PutCookbook(name, ver string, files map[string][]byte, frozen bool) {
	o.PutCookbookMetadata(name, ver, `{}`, files, frozen)
}

// PutCookbookMetadata is PutCookbook with given metadata; name and version may be left
// out of it.
func (o *Org) PutCookbookMetadata(name, ver, metadata string, files map[string][]byte, frozen bool) {
	meta := mustDoc("metadata of "+name, metadata)
	meta.setDefaults("name", name, "version", ver)
	list := []any{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		list = append(list, fileEntry(path, files[path]))
	}
	o.putManifest(name, ver, obj("name", name+"-"+ver, "cookbook_name", name, "version", ver,
		"json_class", "Chef::CookbookVersion", "chef_type", "cookbook_version",
		"frozen?", frozen, "metadata", meta, "all_files", list), files)
}

func fileEntry(path string, content []byte) *object {
	name := path
	if !strings.Contains(path, "/") {
		name = "root_files/" + path
	}
	return obj("name", name, "path", path, "checksum", MD5(content), "specificity", "default")
}

// MD5 is the checksum by which the server knows content.
func MD5(content []byte) string {
	sum := md5.Sum(content)
	return hex.EncodeToString(sum[:])
}

// PutCookbookManifest stores a cookbook version as it was sent, in the form of
// API version 2 or of segments. Content by any name is uploaded first.
func (o *Org) PutCookbookManifest(name, ver, manifest string, content ...[]byte) {
	files := map[string][]byte{}
	for i, c := range content {
		files[fmt.Sprint(i)] = c
	}
	o.putManifest(name, ver, mustDoc("manifest of "+name, manifest), files)
}

func (o *Org) putManifest(name, ver string, doc *object, content map[string][]byte) {
	mustSucceed("cookbook "+name, checkCookbook(doc, name, ver, doc.has("all_files")))
	parsed, _ := parseVersion(ver)
	fresh := newCookbook(name, parsed, doc)
	o.s.withLock(func() {
		for _, c := range content {
			o.addContent(c)
		}
		old := o.cookbooks[name][parsed]
		if old == nil {
			if !o.storeCookbook(fresh, nil) {
				panic("cheftest: cookbook " + name + " names content that isn't there")
			}
			return
		}
		if _, missing := o.relinkChecksums(old, fresh); missing != "" {
			panic("cheftest: cookbook " + name + " names content that isn't there: " + missing)
		}
		o.cookbooks[name][parsed] = fresh
		if !fresh.equals(old) {
			o.recordChange("update", "/cookbooks/"+name+"/"+parsed.String())
		}
	})
}

func (o *Org) addContent(c []byte) {
	sum := MD5(c)
	o.blobs[sum], o.known[sum] = slices.Clone(c), true
}

// LoseContent deletes content from the bookshelf while the database still has it: a
// damaged server (docs/chef-server-api.md §3.4).
func (o *Org) LoseContent(sum string) { o.s.withLock(func() { delete(o.blobs, sum) }) }

// ReplaceContent replaces the bytes of a checksum: a damaged server.
func (o *Org) ReplaceContent(sum string, bytes []byte) {
	o.s.withLock(func() { o.blobs[sum] = slices.Clone(bytes) })
}

// DeleteRole deletes a role, if it exists; the other Delete methods do the same for
// their kind.
func (o *Org) DeleteRole(name string) {
	o.s.withLock(func() {
		if o.roles[name] != nil {
			o.dropRole(name)
		}
	})
}

// DeleteEnvironment removes an environment.
func (o *Org) DeleteEnvironment(name string) {
	o.s.withLock(func() {
		if o.environments[name] != nil && name != defaultEnvironment {
			o.dropEnvironment(name)
		}
	})
}

// DeleteDataBag removes a bag with its items.
func (o *Org) DeleteDataBag(name string) {
	o.s.withLock(func() {
		if o.bags[name] != nil {
			o.dropBag(name)
		}
	})
}

// DeleteDataBagItem removes an item.
func (o *Org) DeleteDataBagItem(bag, id string) {
	o.s.withLock(func() {
		if o.bags[bag][id] != nil {
			o.dropItem(bag, id)
		}
	})
}

// DeleteCookbook removes one version of a cookbook.
func (o *Org) DeleteCookbook(name, ver string) {
	v, _ := parseVersion(ver)
	o.s.withLock(func() {
		if c := o.cookbooks[name][v]; c != nil {
			o.dropCookbook(c)
		}
	})
}

// JSON returns the stored JSON of a role, environment or data bag item by its path,
// such as /data/users/alice, or nil.
func (o *Org) JSON(path string) json.RawMessage {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	parts := splitPath(path)
	switch {
	case len(parts) == 2 && parts[0] == "roles":
		return slices.Clone(o.roles[parts[1]])
	case len(parts) == 2 && parts[0] == "environments":
		return slices.Clone(o.environments[parts[1]])
	case len(parts) == 3 && parts[0] == "data":
		return slices.Clone(o.bags[parts[1]][parts[2]])
	}
	return nil
}
