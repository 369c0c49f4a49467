package contract

import (
	"strings"
	"time"
)

// needsUpload reports whether the server asks for some content.
func (p *probe) needsUpload(content string) bool {
	_, urls := p.createSandbox(content)
	return urls[md5Hex(content)] != ""
}

// newContent returns content that no server has.
func (p *probe) newContent() string { return p.newName() }

func contentBeliefs() []belief {
	return []belief{
		{"content/create with an unknown checksum is 400", func(p *probe) {
			r := p.putManifest(400, p.newCookbook(p.newContent()), "")
			p.check(strings.Contains(r.Text(), "hasn't been uploaded"), "got %s", r.Body)
		}},
		{"content/the failed create is listed and readable afterwards", func(p *probe) {
			c := p.newCookbook(p.newContent())
			p.putManifest(400, c, "")
			p.wantStatus(200, "GET", c.path(), "")
			p.check(len(p.listVersions("/cookbooks/"+c.name, c.name)) == 1, "not listed")
		}},
		{"content/update with an unknown checksum is 400", func(p *probe) {
			c := p.newCookbook()
			p.putCookbook(201, c, "")
			c.recipes = []string{p.newContent()}
			r := p.putManifest(400, c, "")
			p.check(strings.Contains(r.Text(), "been uploaded"), "got %s", r.Body)
		}},
		{"content/an update names the checksum that is missing", func(p *probe) {
			c := p.newCookbook()
			p.putCookbook(201, c, "")
			c.recipes = []string{p.newContent()}
			r := p.putManifest(400, c, "")
			p.check(strings.Contains(r.Text(), "Manifest has checksum "+md5Hex(c.recipes[0])), "got %s", r.Body)
		}},
		{"content/a failed update leaves the manifest as it was", func(p *probe) {
			c := p.newCookbook()
			p.putCookbook(201, c, "")
			before := p.wantStatus(200, "GET", c.path(), "")
			c.recipes = []string{p.newContent()}
			p.putManifest(400, c, "")
			after := p.wantStatus(200, "GET", c.path(), "")
			p.check(string(before.Body) == string(after.Body), "got %s, then %s", before.Body, after.Body)
		}},
		{"content/it comes down by URL without Chef's headers", func(p *probe) {
			content := p.newContent()
			c := p.newCookbook(content)
			p.putCookbook(201, c, "")
			urls := fileURLs(p.wantStatus(200, "GET", c.path(), ""))
			p.check(len(urls) == 1, "%d URLs", len(urls))
			for _, u := range urls {
				r := p.sendFile("GET", u, "")
				p.check(r.Status == 200 && string(r.Body) == content, "got %d %s", r.Status, r.Body)
			}
		}},
		{"content/a changed download URL is refused", func(p *probe) {
			c := p.newCookbook(p.newContent())
			p.putCookbook(201, c, "")
			for _, u := range fileURLs(p.wantStatus(200, "GET", c.path(), "")) {
				r := p.sendFile("GET", u+"0", "")
				p.check(r.Status == 403, "got %d", r.Status)
			}
		}},
		{"content/two files may share it", func(p *probe) {
			content := p.newContent()
			c := p.newCookbook(content, content)
			p.uploadFiles(content)
			p.putManifest(201, c, "")
			p.check(len(fileURLs(p.wantStatus(200, "GET", c.path(), ""))) == 2, "not two files")
		}},
		{"content/an empty file is legal", func(p *probe) {
			c := p.newCookbook("")
			p.putCookbook(201, c, "")
			for _, u := range fileURLs(p.wantStatus(200, "GET", c.path(), "")) {
				r := p.sendFile("GET", u, "")
				p.check(r.Status == 200 && len(r.Body) == 0, "got %d %q", r.Status, r.Body)
			}
		}},
		{"content/what a deleted version alone used is forgotten at once", func(p *probe) {
			content := p.newContent()
			c := p.newCookbook(content)
			p.putCookbook(201, c, "")
			p.check(!p.needsUpload(content), "it is wanted while in use")
			p.wantStatus(200, "DELETE", c.path(), "")
			p.check(p.needsUpload(content), "it isn't wanted again")
		}},
		{"content/what an update dropped is forgotten at once", func(p *probe) {
			content := p.newContent()
			c := p.newCookbook(content)
			p.putCookbook(201, c, "")
			c.recipes = nil
			p.putCookbook(200, c, "")
			p.check(p.needsUpload(content), "it isn't wanted again")
		}},
		{"content/what an update keeps stays", func(p *probe) {
			kept := p.newContent()
			c := p.newCookbook(kept, p.newContent())
			p.putCookbook(201, c, "")
			c.recipes = []string{kept}
			p.putManifest(200, c, "")
			for _, u := range fileURLs(p.wantStatus(200, "GET", c.path(), "")) {
				r := p.sendFile("GET", u, "")
				p.check(r.Status == 200 && string(r.Body) == kept, "got %d %s", r.Status, r.Body)
			}
		}},
		{"content/what another version uses stays after an update", func(p *probe) {
			content := p.newContent()
			a, b := p.newCookbook(content), p.newCookbook(content)
			p.putCookbook(201, a, "")
			p.putCookbook(201, b, "")
			b.recipes = nil
			p.putManifest(200, b, "")
			for _, u := range fileURLs(p.wantStatus(200, "GET", a.path(), "")) {
				p.check(p.sendFile("GET", u, "").Status == 200, "it is gone")
			}
		}},
		{"content/what another version uses stays", func(p *probe) {
			content := p.newContent()
			a, b := p.newCookbook(content), p.newCookbook(content)
			p.putCookbook(201, a, "")
			p.putCookbook(201, b, "")
			p.wantStatus(200, "DELETE", a.path(), "")
			p.check(!p.needsUpload(content), "it is wanted again")
		}},
		{"content/what a sandbox committed survives the deletion of another version", func(p *probe) {
			c := p.newCookbook(p.newContent())
			p.putCookbook(201, c, "")
			promised := p.newContent()
			p.uploadFiles(promised)
			p.wantStatus(200, "DELETE", c.path(), "")
			p.putManifest(201, p.newCookbook(promised), "")
		}},
		{"content/what a sandbox committed survives the update of another version", func(p *probe) {
			c := p.newCookbook(p.newContent())
			p.putCookbook(201, c, "")
			promised := p.newContent()
			p.uploadFiles(promised)
			c.recipes = nil
			p.putManifest(200, c, "")
			p.putManifest(201, p.newCookbook(promised), "")
		}},
	}
}

func sandboxBeliefs() []belief {
	return []belief{
		{"sandboxes/create is 201 with URLs", func(p *probe) {
			c := p.newContent()
			_, urls := p.createSandbox(c)
			p.check(strings.HasPrefix(urls[md5Hex(c)], "http"), "no URL")
		}},
		// The Location of Chef Infra Server names another id, which no sandbox has.
		{"sandboxes/create names the sandbox in its body", func(p *probe) {
			r := p.wantStatus(201, "POST", "/sandboxes", `{"checksums":{"`+md5Hex(p.newContent())+`":null}}`)
			id, _ := r.Object()["sandbox_id"].(string)
			uri, _ := r.Object()["uri"].(string)
			p.check(id != "" && strings.HasSuffix(uri, "/sandboxes/"+id), "sandbox_id %q, uri %q", id, uri)
		}},
		{"sandboxes/one without checksums is 400", func(p *probe) { p.wantStatus(400, "POST", "/sandboxes", `{"checksums":{}}`) }},
		{"sandboxes/a checksum that is none is 400", func(p *probe) { p.wantStatus(400, "POST", "/sandboxes", `{"checksums":{"xyz":null}}`) }},
		{"sandboxes/commit without the content is 503", func(p *probe) {
			path, _ := p.createSandbox(p.newContent())
			p.wantStatus(503, "PUT", path, commit)
		}},
		{"sandboxes/commit answers the checksums", func(p *probe) {
			c := p.newContent()
			path, urls := p.createSandbox(c)
			p.sendFile("PUT", urls[md5Hex(c)], c)
			r := p.wantStatus(200, "PUT", path, commit)
			p.wantEqual(r, "checksums", `["`+md5Hex(c)+`"]`)
			p.wantEqual(r, "is_completed", "true")
		}},
		{"sandboxes/a second commit is 404", func(p *probe) {
			c := p.newContent()
			path, urls := p.createSandbox(c)
			p.sendFile("PUT", urls[md5Hex(c)], c)
			p.wantStatus(200, "PUT", path, commit)
			p.wantStatus(404, "PUT", path, commit)
		}},
		// prepare-org --check and doctor probe the right to create by it.
		{"sandboxes/commit of one that isn't there is 404", func(p *probe) {
			p.wantStatus(404, "PUT", "/sandboxes/00000000000000000000000000000000", commit)
		}},
		{"sandboxes/commit without is_completed is 500", func(p *probe) {
			path, _ := p.createSandbox(p.newContent())
			p.wantStatus(500, "PUT", path, `{}`)
		}},
		{"sandboxes/content that was committed isn't wanted again", func(p *probe) {
			c := p.newContent()
			p.uploadFiles(c)
			p.check(!p.needsUpload(c), "it is wanted")
		}},
		{"sandboxes/content that wasn't committed is wanted again", func(p *probe) {
			c := p.newContent()
			_, urls := p.createSandbox(c)
			p.sendFile("PUT", urls[md5Hex(c)], c)
			p.check(p.needsUpload(c), "it isn't wanted")
		}},
		{"sandboxes/an upload succeeds with 2xx", func(p *probe) {
			c := p.newContent()
			_, urls := p.createSandbox(c)
			r := p.sendFile("PUT", urls[md5Hex(c)], c)
			p.check(r.Status/100 == 2, "got %d %s", r.Status, r.Body)
		}},
		{"sandboxes/an upload of other bytes is 4xx", func(p *probe) {
			c := p.newContent()
			_, urls := p.createSandbox(c)
			r := p.sendFile("PUT", urls[md5Hex(c)], "other bytes")
			p.check(r.Status/100 == 4, "got %d %s", r.Status, r.Body)
		}},
		{"sandboxes/a changed upload URL is refused", func(p *probe) {
			c := p.newContent()
			_, urls := p.createSandbox(c)
			r := p.sendFile("PUT", urls[md5Hex(c)]+"0", c)
			p.check(r.Status == 403, "got %d %s", r.Status, r.Body)
		}},
	}
}

func otherBeliefs() []belief {
	listed := func(path string) func(*probe) {
		return func(p *probe) {
			r := p.wantStatus(200, "GET", path, "")
			p.check(r.isValidJSON() && r.Body[0] == '{', "got %q", r.Body)
		}
	}
	return []belief{
		{"search/a role turns up whole", func(p *probe) {
			path := p.createRole(`,"description":"found"`)
			query := "/search/role?q=name:" + strings.TrimPrefix(path, "/roles/")
			var rows []any
			for end := time.Now().Add(20 * time.Second); p.err == nil && len(rows) == 0 && time.Now().Before(end); {
				rows, _ = p.wantStatus(200, "GET", query, "").Object()["rows"].([]any)
				if len(rows) == 0 {
					<-time.After(200 * time.Millisecond) // the index lags
				}
			}
			p.check(len(rows) == 1, "%d rows", len(rows))
			if len(rows) == 1 {
				row, _ := rows[0].(map[string]any)
				p.check(row["description"] == "found" && row["json_class"] == "Chef::Role", "got %v", row)
			}
		}},
		{"search/rows and start cut the list", func(p *probe) {
			r := p.wantStatus(200, "GET", "/search/role?q=*:*&rows=1&start=0", "")
			rows, isList := r.Object()["rows"].([]any)
			p.check(isList && len(rows) <= 1, "got %s", r.Body)
			p.wantEqual(r, "start", "0")
		}},
		{"search/an unknown index is 404", func(p *probe) {
			p.wantRefusal(404, "I don't know how to search for", "GET", "/search/"+p.newName(), "")
		}},
		{"search/the indexes are listed", listed("/search")},
		{"policies/they are listed", listed("/policies")},
		{"policies/an absent one is 404 with the version header", func(p *probe) { p.wantAbsent("/policies/" + p.newName()) }},
		{"policies/groups are listed", listed("/policy_groups")},
		{"policies/artifacts are listed", listed("/cookbook_artifacts")},
		{"people/groups are listed", listed("/groups")},
		{"people/principals answers without a signature", func(p *probe) {
			r := p.wantStatus(200, "GET", "/principals/"+p.s.Caller.User, "", withoutHeaders("X-Ops-Sign", "X-Ops-Authorization-1"))
			p.check(strings.Contains(string(r.Body), "public_key"), "got %s", r.Body)
		}},
		{"people/an absent principal is 404 and says what is missing", func(p *probe) {
			p.wantEqual(p.wantStatus(404, "GET", "/principals/contract-nobody", ""), "not_found", `"principal"`)
		}},
	}
}
