package cheftest

import (
	"net/http"
)

// artifact is a cookbook artifact: a cookbook under a content identifier that
// never changes (docs/chef-server-api.md §5).
type artifact struct {
	doc    *object
	sums   []string
	linked map[string]bool
}

func parseArtifact(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	for _, k := range []string{"name", "identifier"} {
		want := q.arg(k)
		if !q.doc.has(k) {
			return invalid("Field '%s' missing", k)
		}
		if got := q.doc.str(k); got != want {
			return invalid("Field '%s' invalid : %s does not match %s", k, got, want)
		}
		if !validName(roleName, want) || len(want) > 255 {
			return invalid("Field '%s' invalid", k)
		}
	}
	for _, key := range append([]string{"all_files"}, segmentKeys()...) {
		if a := checkFiles(q.doc, key); a != nil {
			return a
		}
	}
	return nil
}

func (q *request) artifactList(name string) *object {
	list := []any{}
	for _, id := range sortedKeys(q.org.artifacts[name]) {
		list = append(list, obj("url", q.urlOf("cookbook_artifacts", name, id), "identifier", id))
	}
	return obj("url", q.urlOf("cookbook_artifacts", name), "versions", list)
}

func (s *Server) listArtifacts(q *request) *answer {
	if a := q.checkPermission("read", "containers/cookbook_artifacts"); a != nil {
		return a
	}
	out := obj()
	for _, n := range sortedKeys(q.org.artifacts) {
		out.set(n, q.artifactList(n))
	}
	return ok(out)
}

func (s *Server) getArtifacts(q *request) *answer {
	name := q.arg("name")
	if q.org.artifacts[name] == nil {
		return notFound("not_found")
	}
	if a := q.checkPermission("read", "containers/cookbook_artifacts"); a != nil {
		return a
	}
	return ok(obj(name, q.artifactList(name)))
}

func (q *request) findArtifact(perm string) (*artifact, *answer) {
	found := q.org.artifacts[q.arg("name")][q.arg("identifier")]
	if found == nil {
		return nil, notFound("not_found")
	}
	return found, q.checkPermission(perm, "cookbook_artifacts/"+q.arg("name"))
}

func (q *request) artifactJSON(found *artifact) *object {
	doc := found.doc.clone().del("json_class")
	if q.version >= 2 {
		doc = toAllFiles(doc)
	} else {
		doc = toSegments(doc)
	}
	for i, m := range doc.members {
		if list, isList := m.val.([]any); isList {
			doc.members[i].val = withURLs(list, q.fileURL)
		}
	}
	return doc
}

func (s *Server) getArtifact(q *request) *answer {
	found, a := q.findArtifact("read")
	if a != nil {
		return a
	}
	return ok(q.artifactJSON(found))
}

// putArtifact only creates, in one transaction.
func (s *Server) putArtifact(q *request) *answer {
	name, id := q.arg("name"), q.arg("identifier")
	o := q.org
	a, exists := q.checkCreatePermission("cookbook_artifacts"), o.artifacts[name][id] != nil
	if exists {
		a = q.checkPermission("update", "cookbook_artifacts/"+name)
	}
	if a != nil {
		return a
	}
	if exists {
		return failText(http.StatusConflict, "Cookbook artifact already exists")
	}
	if o.newArtifact(name, id, q.doc, q.actor) {
		return invalid("Manifest has a checksum that hasn't been uploaded.")
	}
	return created(q.urlOf("cookbook_artifacts", name, id), q.doc)
}

// newArtifact stores an artifact, or reports that content is missing.
func (o *Org) newArtifact(name, id string, doc *object, actor *account) (missing bool) {
	made := &artifact{doc: doc.clone(), sums: newCookbook(name, version{}, doc).sums, linked: map[string]bool{}}
	made.doc.setDefaults("frozen?", false)
	for _, sum := range made.sums {
		if !o.known[sum] {
			return true
		}
	}
	o.linkChecksums(made.linked, made.sums)
	if o.artifacts[name] == nil {
		o.artifacts[name] = map[string]*artifact{}
		o.createACL("cookbook_artifacts", name, actor)
	}
	o.artifacts[name][id] = made
	o.recordChange("create", "/cookbook_artifacts/"+name+"/"+id)
	return false
}

func (s *Server) deleteArtifact(q *request) *answer {
	found, a := q.findArtifact("delete")
	if a != nil {
		return a
	}
	body := ok(q.artifactJSON(found))
	q.org.dropArtifact(q.arg("name"), q.arg("identifier"))
	return body
}

func (o *Org) dropArtifact(name, id string) {
	o.unlinkChecksums(o.artifacts[name][id].linked, nil, true)
	delete(o.artifacts[name], id)
	if len(o.artifacts[name]) == 0 {
		delete(o.artifacts, name)
		o.dropACL("cookbook_artifacts/" + name)
	}
	o.recordChange("delete", "/cookbook_artifacts/"+name+"/"+id)
}
