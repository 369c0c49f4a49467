package contract

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

func withProtocol(v string) func(*Caller) { return func(c *Caller) { c.Protocol = v } }

func withEdit(f func(*http.Request)) func(*Caller) { return func(c *Caller) { c.Edit = f } }

func withoutHeaders(headers ...string) func(*Caller) {
	return withEdit(func(r *http.Request) {
		for _, h := range headers {
			r.Header.Del(h)
		}
	})
}

func withClockShift(shift time.Duration) func(*Caller) {
	return func(c *Caller) { c.Now = func() time.Time { return time.Now().Add(shift) } }
}

// wantUnauthorized checks that a request is refused with 401 and a text.
func wantUnauthorized(text string, edits ...func(*Caller)) func(*probe) {
	return func(p *probe) {
		r := p.wantStatus(401, "GET", "/roles", "", edits...)
		p.check(strings.Contains(r.Text(), text), "got the error %s, want one with %q", r.Body, text)
		p.check(r.Genuine(), "no version header")
	}
}

func signingBeliefs() []belief {
	accepted := func(edits ...func(*Caller)) func(*probe) {
		return func(p *probe) { p.wantStatus(200, "GET", "/roles", "", edits...) }
	}
	return []belief{
		{"signing/version 1.3 is accepted", accepted(withProtocol("1.3"))},
		{"signing/version 1.1 is accepted", accepted(withProtocol("1.1"))},
		{"signing/version 1.0 is accepted", accepted(withProtocol("1.0"))},
		{"signing/the query is not signed", func(p *probe) { p.wantStatus(200, "GET", "/cookbooks?num_versions=all", "") }},
		{"signing/a changed path is 401", wantUnauthorized("", withEdit(func(r *http.Request) {
			r.URL.Path = strings.Replace(r.URL.Path, "/roles", "/data", 1)
		}))},
		{"signing/a changed API version is 401", wantUnauthorized("", withEdit(func(r *http.Request) {
			r.Header.Set("X-Ops-Server-API-Version", "0")
		}))},
		{"signing/a wrong signature says so", wantUnauthorized("Invalid signature for user or client", withEdit(func(r *http.Request) {
			r.Header.Set("X-Ops-Timestamp", time.Now().UTC().Add(time.Minute).Format("2006-01-02T15:04:05Z"))
		}))},
		{"signing/a changed body is 401", func(p *probe) {
			r := p.wantStatus(401, "POST", "/data", `{"name":"`+p.newName()+`"}`, withEdit(func(r *http.Request) {
				body := `{"name":"` + p.newName() + `"}`
				r.Body, r.ContentLength = http.NoBody, 0
				fresh, _ := http.NewRequest("POST", r.URL.String(), strings.NewReader(body))
				r.Body, r.ContentLength = fresh.Body, fresh.ContentLength
			}))
			p.check(r.Genuine(), "no version header")
		}},
		{"signing/a clock 16 minutes behind is 401", wantUnauthorized("clock", withClockShift(-16*time.Minute))},
		{"signing/a clock 16 minutes ahead is 401", wantUnauthorized("clock", withClockShift(16*time.Minute))},
		{"signing/a wrong clock is to be synchronized", wantUnauthorized("Synchronize the clock on your host.", withClockShift(time.Hour))},
		{"signing/a clock 10 minutes off is accepted", accepted(withClockShift(10 * time.Minute))},
		{"signing/an unknown name is 401", wantUnauthorized("Failed to authenticate as", func(c *Caller) { c.User = "contract-nobody" })},
		{"signing/another header missing is 400", func(p *probe) {
			r := p.wantStatus(400, "GET", "/roles", "", withoutHeaders("X-Ops-Timestamp"))
			p.check(r.Genuine() && r.Text() != "", "got %s", r.Body)
		}},
		{"signing/an unknown protocol version is 400", func(p *probe) {
			r := p.wantStatus(400, "GET", "/roles", "",
				withEdit(func(r *http.Request) { r.Header.Set("X-Ops-Sign", "algorithm=sha256;version=9.9;") }))
			p.check(r.Genuine() && strings.Contains(r.Text(), "ersion"), "got %s", r.Body)
		}},
		{"signing/an unknown protocol version is called unsupported", func(p *probe) {
			r := p.wantStatus(400, "GET", "/roles", "",
				withEdit(func(r *http.Request) { r.Header.Set("X-Ops-Sign", "algorithm=sha256;version=9.9;") }))
			p.check(strings.Contains(r.Text(), "Unsupported authentication protocol version"), "got %s", r.Body)
		}},
	}
}

// isValidJSON reports whether an answer could pass for content.
func (r Reply) isValidJSON() bool { return r.Status == 200 && len(r.Body) > 0 && json.Valid(r.Body) }

func answerBeliefs() []belief {
	return []belief{
		{"front end/no X-Chef-Version is a page and not the API", func(p *probe) {
			r := p.sendRequest("GET", "/roles", "", withoutHeaders("X-Chef-Version"))
			p.check(!r.isValidJSON(), "got the list: %s", r.Body)
		}},
		{"front end/no X-Ops-UserId is 401", func(p *probe) { p.wantStatus(401, "GET", "/roles", "", withoutHeaders("X-Ops-UserId")) }},
		{"routes/an unknown route is never a 200 with JSON", func(p *probe) {
			r := p.sendRequest("GET", "/contract_unknown", "")
			p.check(!r.isValidJSON(), "got %s", r.Body)
		}},
		{"routes/an unknown route is 404", func(p *probe) { p.wantStatus(404, "GET", "/contract_unknown", "") }},
		{"routes/an unknown route has no version header", func(p *probe) {
			p.check(!p.sendRequest("GET", "/contract_unknown", "").Genuine(), "it has one")
		}},
		{"routes/updated_since is a list or not the API's answer", updatedSince},
		{"routes/another method is 405", func(p *probe) { p.wantStatus(405, "DELETE", "/roles", "") }},
		{"answers/every one has the version header", func(p *probe) {
			path := p.createRole("")
			for _, r := range []Reply{p.sendRequest("GET", path, ""), p.sendRequest("GET", "/roles/"+p.newName(), ""),
				p.sendRequest("POST", "/roles", "{")} {
				p.check(r.Genuine(), "a %d without it", r.Status)
			}
		}},
		{"answers/the version header is JSON with numbers as strings", func(p *probe) {
			r := p.wantStatus(200, "GET", "/roles", "")
			var v map[string]string
			err := json.Unmarshal([]byte(r.Header.Get("X-Ops-Server-API-Version")), &v)
			p.check(err == nil && v["min_version"] != "" && v["max_version"] != "" && v["response_version"] != "",
				"got %s", r.Header.Get("X-Ops-Server-API-Version"))
		}},
		{"answers/a success is application/json", func(p *probe) {
			r := p.wantStatus(200, "GET", "/roles", "")
			p.check(strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"), "got %q", r.Header.Get("Content-Type"))
		}},
		{"answers/an error is JSON with the member error", func(p *probe) {
			p.check(p.sendRequest("GET", "/roles/"+p.newName(), "").Text() != "", "no text")
		}},
		{"answers/no ETag and no Last-Modified", func(p *probe) {
			h := p.wantStatus(200, "GET", p.createRole(""), "").Header
			p.check(h.Get("ETag") == "" && h.Get("Last-Modified") == "", "got %v", h)
		}},
		{"versions/server_api_version returns the range", func(p *probe) {
			r := p.wantStatus(200, "GET", "/server_api_version", "", func(c *Caller) { c.Base = p.s.Root })
			_, least := r.Object()["min_api_version"].(json.Number)
			_, most := r.Object()["max_api_version"].(json.Number)
			p.check(least && most, "got %s", r.Body)
		}},
		{"versions/one out of range is 406 and names the range", func(p *probe) {
			r := p.wantStatus(406, "GET", "/roles", "", func(c *Caller) { c.Version = "99" })
			p.check(r.Object()["error"] == "invalid-x-ops-server-api-version", "got %s", r.Body)
			p.wantEqual(r, "min_version", "0")
		}},
		{"versions/none at all is version 0", func(p *probe) { p.wantStatus(200, "GET", "/roles", "", func(c *Caller) { c.Version = "none" }) }},
		{"organizations/an absent one is 404 by the API, before the signature", func(p *probe) {
			r := p.wantStatus(404, "GET", "/organizations/contract-nowhere/roles", "", func(c *Caller) {
				c.Base, c.User = p.s.Root, "contract-nobody"
			})
			p.check(r.Genuine() && strings.Contains(r.Text(), "does not exist"), "got %s", r.Body)
		}},
		{"bodies/broken JSON is 400", func(p *probe) { p.wantStatus(400, "POST", "/roles", `{"name":`) }},
		{"bodies/another Content-Type is 415", func(p *probe) {
			n := p.newName()
			p.deleteLater("/roles/" + n)
			p.wantStatus(415, "POST", "/roles", `{"name":"`+n+`"}`, withEdit(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }))
		}},
		{"bodies/one above 2 MB is 413", func(p *probe) { p.wantStatus(413, "PUT", p.createRole(""), tooLarge()) }},
		{"bodies/a 413 of the API is JSON", func(p *probe) {
			r := p.wantStatus(413, "PUT", p.createRole(""), tooLarge())
			p.check(r.Genuine() && strings.Contains(r.Text(), "JSON must be no more than"), "got %.200s", r.Body)
		}},
		{"bodies/one of 900 kB is accepted", func(p *probe) {
			p.wantStatus(200, "PUT", p.createRole(""), `{"description":"`+strings.Repeat("x", 900_000)+`"}`)
		}},
	}
}

// updatedSince: servers without a feed must not look as if they had an empty
// one.
func updatedSince(p *probe) {
	r := p.sendRequest("GET", "/updated_since?seq=0", "")
	var rows []json.RawMessage
	list := r.Status == 200 && json.Unmarshal(r.Body, &rows) == nil
	p.check(list || !r.isValidJSON(), "got %d %.200s", r.Status, r.Body)
}

func tooLarge() string { return `{"description":"` + strings.Repeat("x", 2_000_000) + `"}` }
