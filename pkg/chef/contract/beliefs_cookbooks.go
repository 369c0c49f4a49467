package contract

import (
	"bytes"
	"reflect"
	"strings"
)

// listVersions returns the versions of a cookbook in a listing.
func (p *probe) listVersions(path, name string) (versions []string) {
	one, _ := p.wantStatus(200, "GET", path, "").Object()[name].(map[string]any)
	list, _ := one["versions"].([]any)
	for _, e := range list {
		v, _ := e.(map[string]any)
		text, _ := v["version"].(string)
		versions = append(versions, text)
	}
	return versions
}

// createThreeVersions creates the versions 1.10.0, 1.9.0 and 0.1.0 of a cookbook.
func (p *probe) createThreeVersions() string {
	c := p.newCookbook("contract a")
	for _, v := range []string{"1.9.0", "0.1.0", "1.10.0"} {
		c.version = v
		p.putCookbook(201, c, "")
	}
	return c.name
}

func manifestBeliefs() []belief {
	bad := func(status int, text string, change func(*cookbook)) func(*probe) {
		return func(p *probe) {
			c := p.newCookbook()
			path := p.deleteLater(c.path())
			change(c)
			p.wantRefusal(status, text, "PUT", path, p.manifestText(c))
		}
	}
	return []belief{
		{"cookbooks/create is 201 and update 200", func(p *probe) {
			c := p.newCookbook("contract a")
			p.putCookbook(201, c, "")
			c.metadata = `,"description":"new"`
			p.putCookbook(200, c, "")
			meta, _ := p.wantStatus(200, "GET", c.path(), "").Object()["metadata"].(map[string]any)
			p.check(meta["description"] == "new", "got %v", meta)
		}},
		{"cookbooks/the same PUT again is 200", func(p *probe) {
			c := p.newCookbook("contract a")
			p.putCookbook(201, c, "")
			p.putManifest(200, c, "")
		}},
		{"cookbooks/some metadata is there even if never sent", func(p *probe) {
			c := p.newCookbook()
			p.putCookbook(201, c, "")
			meta, _ := p.wantStatus(200, "GET", c.path(), "").Object()["metadata"].(map[string]any)
			_, attributes := meta["attributes"].(map[string]any)
			_, dependencies := meta["dependencies"].(map[string]any)
			p.check(attributes && dependencies && meta["long_description"] == "", "got %v", meta)
		}},
		{"cookbooks/other metadata is kept as sent", func(p *probe) {
			c := p.newCookbook()
			c.metadata = `,"contract":{"b":["1",null],"a":"x"}`
			p.putCookbook(201, c, "")
			meta, _ := p.wantStatus(200, "GET", c.path(), "").Object()["metadata"].(map[string]any)
			p.check(reflect.DeepEqual(meta["contract"], map[string]any{"b": []any{"1", nil}, "a": "x"}), "got %v", meta)
		}},
		{"cookbooks/unknown key is 400", bad(400, "Invalid key access in request body", func(c *cookbook) { c.extra = `,"access":1` })},
		{"cookbooks/the manifest's form must be that of the version", func(p *probe) {
			c := p.newCookbook()
			form := `,"all_files":[]`
			if p.usesVersion2() {
				form = `,"recipes":[]`
			}
			c.extra = form
			path := p.deleteLater(c.path())
			p.wantRefusal(400, "Invalid key", "PUT", path, p.manifestText(c))
		}},
		{"cookbooks/another name is 400", bad(400, "", func(c *cookbook) { c.name += "x" })},
		{"cookbooks/another version is 400", bad(400, "", func(c *cookbook) { c.version = "1.0.1" })},
		{"cookbooks/null for a string of metadata is 400", bad(400, "maintainer", func(c *cookbook) { c.metadata = `,"maintainer":null` })},
		{"cookbooks/a bad dependency is 400", bad(400, "", func(c *cookbook) { c.metadata = `,"dependencies":{"a":"new"}` })},
		{"cookbooks/frozen? may be left out", func(p *probe) {
			c := p.newCookbook()
			body := strings.Replace(p.manifestText(c), `"frozen?":false,`, "", 1)
			p.wantStatus(201, "PUT", p.deleteLater(c.path()), body)
			p.wantEqual(p.wantStatus(200, "GET", c.path(), ""), "frozen?", "false")
		}},
		{"cookbooks/files are all_files at 2 and segments below", func(p *probe) {
			c := p.newCookbook("contract a")
			p.putCookbook(201, c, "")
			m := p.wantStatus(200, "GET", c.path(), "", func(c *Caller) { c.Version = "1" }).Object()
			_, segments := m["recipes"].([]any)
			_, empty := m["templates"].([]any)
			p.check(segments && empty && m["all_files"] == nil, "at 1: %v", m)
			m = p.wantStatus(200, "GET", c.path(), "", func(c *Caller) { c.Version = "2" }).Object()
			_, all := m["all_files"].([]any)
			p.check(all && m["recipes"] == nil, "at 2: %v", m)
		}},
		{"cookbooks/files of other folders are kept", func(p *probe) {
			p.uploadFiles("contract a")
			c := p.newCookbook()
			body := strings.Replace(p.manifestText(c), `"all_files":[`,
				`"all_files":[{"name":"ohai/x.rb","path":"ohai/x.rb","checksum":"`+md5Hex("contract a")+`","specificity":"default"}`, 1)
			p.wantStatus(201, "PUT", p.deleteLater(c.path()), body)
			r := p.wantStatus(200, "GET", c.path(), "")
			p.check(bytes.Contains(r.Body, []byte("ohai/x.rb")), "got %s", r.Body)
		}},
		{"cookbooks/a list shows the newest version", func(p *probe) {
			name := p.createThreeVersions()
			got := p.listVersions("/cookbooks", name)
			p.check(strings.Join(got, " ") == "1.10.0", "got %v", got)
		}},
		{"cookbooks/num_versions=all shows all, highest first", func(p *probe) {
			name := p.createThreeVersions()
			got := p.listVersions("/cookbooks?num_versions=all", name)
			p.check(strings.Join(got, " ") == "1.10.0 1.9.0 0.1.0", "got %v", got)
		}},
		{"cookbooks/one name lists all its versions", func(p *probe) {
			name := p.createThreeVersions()
			got := p.listVersions("/cookbooks/"+name, name)
			p.check(strings.Join(got, " ") == "1.10.0 1.9.0 0.1.0", "got %v", got)
		}},
		{"cookbooks/_latest is the newest version", func(p *probe) {
			p.wantEqual(p.wantStatus(200, "GET", "/cookbooks/"+p.createThreeVersions()+"/_latest", ""), "version", `"1.10.0"`)
		}},
		{"cookbooks/num_versions must be a number or all", func(p *probe) { p.wantStatus(400, "GET", "/cookbooks?num_versions=-1", "") }},
		{"cookbooks/absent version is 404 with the version header", func(p *probe) {
			c := p.newCookbook()
			p.putCookbook(201, c, "")
			p.wantAbsent("/cookbooks/" + c.name + "/2.0.0")
		}},
		{"cookbooks/absent name is 404 with the version header", func(p *probe) {
			n := p.newName()
			p.wantAbsent("/cookbooks/" + n)
			p.wantAbsent("/cookbooks/" + n + "/1.0.0")
		}},
		{"cookbooks/a version that is none is 400", func(p *probe) { p.wantStatus(400, "GET", "/cookbooks/"+p.newName()+"/one", "") }},
		{"cookbooks/the last version takes the name along", func(p *probe) {
			c := p.newCookbook()
			p.putCookbook(201, c, "")
			p.wantStatus(200, "DELETE", c.path(), "")
			p.wantAbsent("/cookbooks/" + c.name)
			p.check(p.wantStatus(200, "GET", "/cookbooks", "").Object()[c.name] == nil, "still listed")
		}},
		{"cookbooks/universe shows dependencies", func(p *probe) {
			c := p.newCookbook()
			c.metadata = `,"dependencies":{"apt":">= 1.0.0"}`
			p.putCookbook(201, c, "")
			one, _ := p.wantStatus(200, "GET", "/universe", "").Object()[c.name].(map[string]any)
			v, _ := one["1.0.0"].(map[string]any)
			deps, _ := v["dependencies"].(map[string]any)
			p.check(deps["apt"] == ">= 1.0.0", "got %v", one)
		}},
	}
}

func frozenBeliefs() []belief {
	frozen := func(p *probe) *cookbook {
		c := p.newCookbook("contract a")
		c.frozen = true
		p.putCookbook(201, c, "")
		return c
	}
	return []belief{
		{"frozen/PUT without force is 409", func(p *probe) {
			c := frozen(p)
			c.metadata = `,"description":"new"`
			p.wantRefusal(409, "is frozen. Use the 'force' option to override.", "PUT", c.path(), p.manifestText(c))
		}},
		{"frozen/the same PUT without force is 409", func(p *probe) { p.putManifest(409, frozen(p), "") }},
		{"frozen/force=true replaces the content", func(p *probe) {
			c := frozen(p)
			c.recipes = []string{"contract b"}
			p.putCookbook(200, c, "?force=true")
			p.check(bytes.Contains(p.wantStatus(200, "GET", c.path(), "").Body, []byte(md5Hex("contract b"))), "the old content is there")
		}},
		{"frozen/it stays frozen when false is sent", func(p *probe) {
			c := frozen(p)
			c.frozen = false
			p.putManifest(200, c, "?force=true")
			p.wantEqual(p.wantStatus(200, "GET", c.path(), ""), "frozen?", "true")
		}},
		{"frozen/an update may freeze", func(p *probe) {
			c := p.newCookbook()
			p.putCookbook(201, c, "")
			c.frozen = true
			p.putCookbook(200, c, "")
			p.wantEqual(p.wantStatus(200, "GET", c.path(), ""), "frozen?", "true")
		}},
		{"frozen/it can be deleted", func(p *probe) { p.wantStatus(200, "DELETE", frozen(p).path(), "") }},
	}
}
