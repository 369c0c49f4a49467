package contract

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"
)

// probe makes requests for one belief. After the first surprise it does no
// more, so that checks read straight through.
type probe struct {
	ctx   context.Context
	s     Server
	err   error
	id    string
	names int
	made  []string // paths to delete
}

func newProbe(ctx context.Context, s Server) *probe {
	id := make([]byte, 5)
	_, _ = rand.Read(id)
	return &probe{ctx: ctx, s: s, id: "contract-" + hex.EncodeToString(id)}
}

// name is a name that nobody else uses.
func (p *probe) name() string {
	p.names++
	return fmt.Sprintf("%s-%d", p.id, p.names)
}

// owns notes a path to delete at the end.
func (p *probe) owns(path string) string {
	p.made = append(p.made, path)
	return path
}

func (p *probe) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), time.Minute)
	defer cancel()
	var errs []error
	for i := len(p.made) - 1; i >= 0; i-- {
		r, err := p.s.Caller.Do(ctx, "DELETE", p.made[i], "")
		if err == nil && r.Status != 200 && r.Status != 404 {
			err = fmt.Errorf("%d %s", r.Status, r.Body)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("delete %s: %w", p.made[i], err))
		}
	}
	return errors.Join(errs...)
}

// fails records the first surprise.
func (p *probe) fails(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// check records a surprise unless ok.
func (p *probe) check(ok bool, format string, args ...any) {
	if !ok {
		p.fails(format, args...)
	}
}

// do sends a request, changed by edits of the caller.
func (p *probe) do(method, path, body string, edits ...func(*Caller)) Reply {
	if p.err != nil {
		return Reply{Header: http.Header{}}
	}
	c := p.s.Caller
	for _, e := range edits {
		e(&c)
	}
	r, err := c.Do(p.ctx, method, path, body)
	if err != nil {
		p.fails("%s %s: %w", method, path, err)
		return Reply{Header: http.Header{}}
	}
	return r
}

// want sends a request and checks the status of the answer.
func (p *probe) want(status int, method, path, body string, edits ...func(*Caller)) Reply {
	r := p.do(method, path, body, edits...)
	if p.err == nil && r.Status != status {
		p.fails("%s %s: got %d %.300s, want %d", method, path, r.Status, r.Body, status)
	}
	return r
}

// refused is want with a text in the error.
func (p *probe) refused(status int, text, method, path, body string) {
	r := p.want(status, method, path, body)
	p.check(strings.Contains(r.Text(), text), "%s %s: got the error %q, want one with %q", method, path, r.Body, text)
}

// absent checks that a path isn't there, by the API's own word.
func (p *probe) absent(path string) {
	r := p.want(404, "GET", path, "")
	p.check(r.Genuine(), "GET %s: a 404 without the version header", path)
}

// equal compares a member of an answer with JSON, by what it means.
func (p *probe) equal(r Reply, member, want string) {
	var m map[string]any
	_ = decode([]byte(`{"v":`+want+`}`), &m)
	got, found := r.Object()[member]
	p.check(found && reflect.DeepEqual(got, m["v"]), "%s is %v, want %s in %.300s", member, got, want, r.Body)
}

// exact compares a member of an answer with JSON, byte by byte.
func (p *probe) exact(r Reply, member, want string) {
	var m map[string]json.RawMessage
	_ = json.Unmarshal(r.Body, &m)
	p.check(string(m[member]) == want, "%s is %s, want %s in %.300s", member, m[member], want, r.Body)
}

// role makes a role.
func (p *probe) role(rest string) (path string) {
	n := p.name()
	path = p.owns("/roles/" + n)
	p.want(201, "POST", "/roles", `{"name":"`+n+`"`+rest+`}`)
	return path
}

func (p *probe) environment(rest string) (name, path string) {
	name = p.name()
	path = p.owns("/environments/" + name)
	p.want(201, "POST", "/environments", `{"name":"`+name+`"`+rest+`}`)
	return name, path
}

func (p *probe) bag() (path string) {
	n := p.name()
	path = p.owns("/data/" + n)
	p.want(201, "POST", "/data", `{"name":"`+n+`"}`)
	return path
}

// item makes a bag with the item i.
func (p *probe) item(rest string) (path string) {
	bag := p.bag()
	p.want(201, "POST", bag, `{"id":"i"`+rest+`}`)
	return bag + "/i"
}

func (p *probe) v2() bool { return p.s.Caller.Version == "" || p.s.Caller.Version == "2" }

// cookbook is a manifest to change and send.
type cookbook struct {
	name, version string
	frozen        bool
	metadata      string // more members, with a comma before them
	extra         string // the same for the manifest
	recipes       []string
}

func (p *probe) cookbook(recipes ...string) *cookbook {
	return &cookbook{name: p.name(), version: "1.0.0", recipes: recipes}
}

func (c *cookbook) path() string { return "/cookbooks/" + c.name + "/" + c.version }

// text is the manifest in the form of the server's API version: each recipe is
// a file of the given content.
func (p *probe) text(c *cookbook) string {
	var files []string
	for i, content := range c.recipes {
		name := fmt.Sprintf("r%d.rb", i)
		if p.v2() {
			name = "recipes/" + name
		}
		files = append(files, fmt.Sprintf(`{"name":%q,"path":"recipes/r%d.rb","checksum":%q,"specificity":"default"}`, name, i, sum(content)))
	}
	list := "recipes"
	if p.v2() {
		list = "all_files"
	}
	return fmt.Sprintf(`{"name":"%[1]s-%[2]s","cookbook_name":%[1]q,"version":%[2]q,"json_class":"Chef::CookbookVersion",`+
		`"chef_type":"cookbook_version","frozen?":%[3]v,"metadata":{"name":%[1]q,"version":%[2]q%[4]s},%[5]q:[%[6]s]%[7]s}`,
		c.name, c.version, c.frozen, c.metadata, list, strings.Join(files, ","), c.extra)
}

// put sends a manifest with the content uploaded before.
func (p *probe) put(status int, c *cookbook, query string) Reply {
	p.upload(c.recipes...)
	return p.putOnly(status, c, query)
}

func (p *probe) putOnly(status int, c *cookbook, query string) Reply {
	return p.want(status, "PUT", p.owns(c.path())+query, p.text(c))
}

func sum(content string) string {
	s := md5.Sum([]byte(content))
	return hex.EncodeToString(s[:])
}

// sandbox asks for a sandbox and returns its path and the URLs of what must be
// uploaded, by checksum.
func (p *probe) sandbox(contents ...string) (path string, urls map[string]string) {
	var sums []string
	for _, c := range contents {
		sums = append(sums, `"`+sum(c)+`":null`)
	}
	r := p.want(201, "POST", "/sandboxes", `{"checksums":{`+strings.Join(sums, ",")+`}}`)
	urls = map[string]string{}
	checksums, _ := r.Object()["checksums"].(map[string]any)
	for k, v := range checksums {
		one, _ := v.(map[string]any)
		if one["needs_upload"] == true {
			urls[k], _ = one["url"].(string)
		}
	}
	id, _ := r.Object()["sandbox_id"].(string)
	return "/sandboxes/" + id, urls
}

// upload puts content on the server and commits it.
func (p *probe) upload(contents ...string) {
	if len(contents) == 0 || p.err != nil {
		return
	}
	path, urls := p.sandbox(contents...)
	for _, c := range contents {
		if u := urls[sum(c)]; u != "" {
			r := p.send("PUT", u, c)
			p.check(r.Status/100 == 2, "upload: got %d %s", r.Status, r.Body)
		}
	}
	p.want(200, "PUT", path, commit)
}

const commit = `{"is_completed":true}`

// send reaches a signed URL without any of Chef's headers.
func (p *probe) send(method, url, content string) Reply {
	if p.err != nil {
		return Reply{Header: http.Header{}}
	}
	req, err := http.NewRequestWithContext(p.ctx, method, url, http.NoBody)
	if err != nil {
		p.fails("%s of a file: %w", method, err)
		return Reply{Header: http.Header{}}
	}
	if method == "PUT" {
		raw, _ := hex.DecodeString(sum(content))
		if content != "" {
			req, _ = http.NewRequestWithContext(p.ctx, method, url, strings.NewReader(content))
		}
		req.Header.Set("Content-Type", "application/x-binary")
		req.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(raw))
	}
	r, err := p.s.Caller.Send(req)
	if err != nil {
		p.fails("%s of a file: %w", method, err)
	}
	return r
}

// fileURLs are the URLs of all files of a manifest, in either form.
func fileURLs(r Reply) (urls []string) {
	for _, v := range r.Object() {
		list, _ := v.([]any)
		for _, e := range list {
			f, _ := e.(map[string]any)
			if u, _ := f["url"].(string); u != "" {
				urls = append(urls, u)
			}
		}
	}
	return urls
}
