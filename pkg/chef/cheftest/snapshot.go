package cheftest

import (
	"fmt"
	"slices"
	"strings"
)

// Snapshot returns all replicable content of the organization: path to canonical JSON,
// so that two servers have the same content exactly if their snapshots are equal.
// Object keys are sorted, cookbooks are in the form of API version 2 with files sorted
// by path and no URLs, and file content that is missing or damaged is listed under
// "broken_files". A data bag itself is {}. The environment _default is left out.
func (o *Org) Snapshot() map[string]string {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	out := map[string]string{}
	for n, b := range o.roles {
		out["/roles/"+n] = canonicalJSON(b)
	}
	for n, b := range o.environments {
		if n != defaultEnvironment {
			out["/environments/"+n] = canonicalJSON(b)
		}
	}
	for bag, items := range o.bags {
		out["/data/"+bag] = "{}"
		for id, b := range items {
			out["/data/"+bag+"/"+id] = canonicalJSON(b)
		}
	}
	for n, versions := range o.cookbooks {
		for v, c := range versions {
			out["/cookbooks/"+n+"/"+v.String()] = o.cookbookSnapshot(c)
		}
	}
	o.policySnapshot(out)
	return out
}

// policySnapshot adds policy revisions, the revision that each group binds to
// each policy, and cookbook artifacts.
func (o *Org) policySnapshot(out map[string]string) {
	for n, revisions := range o.policies {
		for id, doc := range revisions {
			out["/policies/"+n+"/revisions/"+id] = string(encode(sortKeys(doc)))
		}
	}
	for g, bound := range o.policyGroups {
		out["/policy_groups/"+g] = "{}"
		for policy, id := range bound {
			out["/policy_groups/"+g+"/policies/"+policy] = string(encode(id))
		}
	}
	for n, artifacts := range o.artifacts {
		for id, a := range artifacts {
			doc := filesInOrder(toAllFiles(a.doc.clone().del("json_class")))
			if broken := o.brokenSums(a.sums, a.linked); len(broken) > 0 {
				doc.set("broken_files", broken)
			}
			out["/cookbook_artifacts/"+n+"/"+id] = string(encode(sortKeys(doc)))
		}
	}
}

func canonicalJSON(b []byte) string {
	v, _ := decode(b)
	return string(encode(sortKeys(v)))
}

func sortKeys(v any) any {
	switch t := v.(type) {
	case []any:
		out := make([]any, len(t))
		for i := range t {
			out[i] = sortKeys(t[i])
		}
		return out
	case *object:
		out := t.clone()
		slices.SortStableFunc(out.members, func(a, b member) int { return strings.Compare(a.key, b.key) })
		for i := range out.members {
			out.members[i].val = sortKeys(out.members[i].val)
		}
		return out
	}
	return v
}

func (o *Org) cookbookSnapshot(c *cookbook) string {
	doc := filesInOrder(c.renderManifest(true, nil))
	if broken := o.brokenFiles(c); len(broken) > 0 {
		doc.set("broken_files", broken)
	}
	return string(encode(sortKeys(doc)))
}

// filesInOrder sorts the files of a manifest by path and removes their URLs.
func filesInOrder(doc *object) *object {
	v, _ := doc.get("all_files")
	list, _ := v.([]any)
	sorted := make([]any, 0, len(list))
	for _, e := range list {
		if f, isObject := e.(*object); isObject {
			sorted = append(sorted, f.clone().del("url"))
		}
	}
	slices.SortFunc(sorted, func(a, b any) int {
		return strings.Compare(a.(*object).str("path"), b.(*object).str("path"))
	})
	return doc.set("all_files", sorted)
}

// brokenFiles returns the checksums of a version whose content is missing or damaged.
func (o *Org) brokenFiles(c *cookbook) []string { return o.brokenSums(c.sums, c.linked) }

func (o *Org) brokenSums(sums []string, linked map[string]bool) []string {
	var list []string
	for _, sum := range sums {
		content, found := o.blobs[sum]
		if !found || !linked[sum] || MD5(content) != sum {
			list = append(list, sum)
		}
	}
	return list
}

// DamagedCookbooks returns the cookbook versions with a missing or damaged file, such as
// "nginx 1.0.0: 5bb8…".
func (o *Org) DamagedCookbooks() []string {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	var out []string
	for _, name := range sortedKeys(o.cookbooks) {
		for _, c := range o.sortedVersions(name) {
			if broken := o.brokenFiles(c); len(broken) > 0 {
				out = append(out, fmt.Sprintf("%s %s: %s", name, c.ver, strings.Join(broken, " ")))
			}
		}
	}
	return out
}
