package cheftest

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

func parseSandbox(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	v, found := q.doc.get("checksums")
	if !found {
		return invalid("Field 'checksums' missing")
	}
	sums, isObject := v.(*object)
	if !isObject || len(sums.members) == 0 {
		return invalid("Field 'checksums' invalid")
	}
	for _, m := range sums.members {
		if b, err := hex.DecodeString(m.key); err != nil || len(b) != 16 || m.val != nil {
			return invalid("Field 'checksums' invalid")
		}
	}
	return nil
}

// createSandbox returns which content the organization doesn't know yet
// (docs/chef-server-api.md §3.5).
func (s *Server) createSandbox(q *request) *answer {
	if a := q.checkPermission("create", "containers/sandboxes"); a != nil {
		return a
	}
	v, _ := q.doc.get("checksums")
	wanted, _ := v.(*object)
	s.uploads++
	id := guidOf("sandbox", q.org.guid, fmt.Sprint(s.uploads))
	out := obj()
	var sums []string
	for _, m := range wanted.members {
		if out.has(m.key) {
			continue
		}
		sums = append(sums, m.key)
		if q.org.hasContent(m.key) {
			out.set(m.key, obj("needs_upload", false))
		} else {
			out.set(m.key, obj("url", q.uploadURL(m.key), "needs_upload", true))
		}
	}
	q.org.sandboxes[id] = sums
	// The Location is made of the body that was sent and names no sandbox: only what
	// the answer says does.
	location := q.urlOf("sandboxes", MD5(q.body))
	return created(location, obj("sandbox_id", id, "uri", q.urlOf("sandboxes", id), "checksums", out))
}

// hasContent reports whether the server assumes that it has some content.
func (o *Org) hasContent(sum string) bool {
	return o.known[sum] && (!o.s.opts.ChecksStore || MD5(o.blobs[sum]) == sum)
}

func parseCommit(q *request) *answer {
	if a := parseBody(q); a != nil {
		return a
	}
	if v, _ := q.doc.get("is_completed"); v != true {
		return fail(http.StatusInternalServerError, "internal service error") // the server has no error text for it
	}
	return nil
}

// commitSandbox makes uploaded content known. A sandbox is gone once it is
// committed, so a second commit is a 404.
func (s *Server) commitSandbox(q *request) *answer {
	if a := q.checkPermission("create", "containers/sandboxes"); a != nil {
		return a
	}
	id := q.arg("id")
	sums, found := q.org.sandboxes[id]
	if !found {
		return notFound("No such sandbox '%s'.", id)
	}
	var missing []string
	for _, sum := range sums {
		if _, there := q.org.blobs[strings.ToLower(sum)]; !there && !q.org.known[sum] {
			missing = append(missing, `<<"`+sum+`">>`)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fail(http.StatusServiceUnavailable, "Committed incomplete sandbox: [%s]", strings.Join(missing, ","))
	}
	for _, sum := range sums {
		q.org.known[sum] = true
	}
	delete(q.org.sandboxes, id)
	return ok(obj("guid", id, "name", id, "checksums", sums,
		"create_time", s.now().Format("2006-01-02T15:04:05+00:00"), "is_completed", true))
}
