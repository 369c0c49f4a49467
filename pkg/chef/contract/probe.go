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

// probe makes requests for one belief. After the first failure it does nothing, so that
// checks need no error handling.
type probe struct {
	ctx     context.Context
	s       Server
	err     error
	id      string
	names   int
	created []string // paths to delete
}

func newProbe(ctx context.Context, s Server) *probe {
	id := make([]byte, 5)
	_, _ = rand.Read(id)
	return &probe{ctx: ctx, s: s, id: "contract-" + hex.EncodeToString(id)}
}

// newName returns a unique name.
func (p *probe) newName() string {
	p.names++
	return fmt.Sprintf("%s-%d", p.id, p.names)
}

// deleteLater records a path to delete at the end.
func (p *probe) deleteLater(path string) string {
	p.created = append(p.created, path)
	return path
}

func (p *probe) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), time.Minute)
	defer cancel()
	var errs []error
	for i := len(p.created) - 1; i >= 0; i-- {
		r, err := p.s.Caller.Do(ctx, "DELETE", p.created[i], "")
		if err == nil && r.Status != 200 && r.Status != 404 {
			err = fmt.Errorf("%d %s", r.Status, r.Body)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("delete %s: %w", p.created[i], err))
		}
	}
	return errors.Join(errs...)
}

// recordFailure records the first failure.
func (p *probe) recordFailure(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// check records a failure unless ok.
func (p *probe) check(ok bool, format string, args ...any) {
	if !ok {
		p.recordFailure(format, args...)
	}
}

// sendRequest sends a request, changed by edits of the caller.
func (p *probe) sendRequest(method, path, body string, edits ...func(*Caller)) Reply {
	if p.err != nil {
		return Reply{Header: http.Header{}}
	}
	c := p.s.Caller
	for _, e := range edits {
		e(&c)
	}
	r, err := c.Do(p.ctx, method, path, body)
	if err != nil {
		p.recordFailure("%s %s: %w", method, path, err)
		return Reply{Header: http.Header{}}
	}
	return r
}

// wantStatus sends a request and checks the status of the answer.
func (p *probe) wantStatus(status int, method, path, body string, edits ...func(*Caller)) Reply {
	r := p.sendRequest(method, path, body, edits...)
	if p.err == nil && r.Status != status {
		p.recordFailure("%s %s: got %d %.300s, want %d", method, path, r.Status, r.Body, status)
	}
	return r
}

// wantRefusal is wantStatus with a text in the error.
func (p *probe) wantRefusal(status int, text, method, path, body string) {
	r := p.wantStatus(status, method, path, body)
	p.check(strings.Contains(r.Text(), text), "%s %s: got the error %q, want one with %q", method, path, r.Body, text)
}

// wantAbsent checks that the API itself answers that a path doesn't exist.
func (p *probe) wantAbsent(path string) {
	r := p.wantStatus(404, "GET", path, "")
	p.check(r.Genuine(), "GET %s: a 404 without the version header", path)
}

// wantEqual compares a member of an answer with JSON, by value.
func (p *probe) wantEqual(r Reply, member, want string) {
	var m map[string]any
	_ = decodeNumbers([]byte(`{"v":`+want+`}`), &m)
	got, found := r.Object()[member]
	p.check(found && reflect.DeepEqual(got, m["v"]), "%s is %v, want %s in %.300s", member, got, want, r.Body)
}

// wantExact compares a member of an answer with JSON, byte by byte.
func (p *probe) wantExact(r Reply, member, want string) {
	var m map[string]json.RawMessage
	_ = json.Unmarshal(r.Body, &m)
	p.check(string(m[member]) == want, "%s is %s, want %s in %.300s", member, m[member], want, r.Body)
}

// createRole creates a role.
func (p *probe) createRole(rest string) (path string) {
	n := p.newName()
	path = p.deleteLater("/roles/" + n)
	p.wantStatus(201, "POST", "/roles", `{"name":"`+n+`"`+rest+`}`)
	return path
}

func (p *probe) createEnvironment(rest string) (name, path string) {
	name = p.newName()
	path = p.deleteLater("/environments/" + name)
	p.wantStatus(201, "POST", "/environments", `{"name":"`+name+`"`+rest+`}`)
	return name, path
}

func (p *probe) createBag() (path string) {
	n := p.newName()
	path = p.deleteLater("/data/" + n)
	p.wantStatus(201, "POST", "/data", `{"name":"`+n+`"}`)
	return path
}

// createItem creates a bag with the item i.
func (p *probe) createItem(rest string) (path string) {
	bag := p.createBag()
	p.wantStatus(201, "POST", bag, `{"id":"i"`+rest+`}`)
	return bag + "/i"
}

func (p *probe) usesVersion2() bool { return p.s.Caller.Version == "" || p.s.Caller.Version == "2" }

// cookbook is a manifest to modify and send.
type cookbook struct {
	name, version string
	frozen        bool
	metadata      string // more members, with a comma before them
	extra         string // the same for the manifest
	recipes       []string
}

func (p *probe) newCookbook(recipes ...string) *cookbook {
	return &cookbook{name: p.newName(), version: "1.0.0", recipes: recipes}
}

func (c *cookbook) path() string { return "/cookbooks/" + c.name + "/" + c.version }

// manifestText returns the manifest in the form of the server's API version: each recipe is
// a file of the given content.
func (p *probe) manifestText(c *cookbook) string {
	var files []string
	for i, content := range c.recipes {
		name := fmt.Sprintf("r%d.rb", i)
		if p.usesVersion2() {
			name = "recipes/" + name
		}
		files = append(files, fmt.Sprintf(`{"name":%q,"path":"recipes/r%d.rb","checksum":%q,"specificity":"default"}`, name, i, md5Hex(content)))
	}
	list := "recipes"
	if p.usesVersion2() {
		list = "all_files"
	}
	return fmt.Sprintf(`{"name":"%[1]s-%[2]s","cookbook_name":%[1]q,"version":%[2]q,"json_class":"Chef::CookbookVersion",`+
		`"chef_type":"cookbook_version","frozen?":%[3]v,"metadata":{"name":%[1]q,"version":%[2]q%[4]s},%[5]q:[%[6]s]%[7]s}`,
		c.name, c.version, c.frozen, c.metadata, list, strings.Join(files, ","), c.extra)
}

// putCookbook uploads the content of a manifest and sends it.
func (p *probe) putCookbook(status int, c *cookbook, query string) Reply {
	p.uploadFiles(c.recipes...)
	return p.putManifest(status, c, query)
}

func (p *probe) putManifest(status int, c *cookbook, query string) Reply {
	return p.wantStatus(status, "PUT", p.deleteLater(c.path())+query, p.manifestText(c))
}

func md5Hex(content string) string {
	s := md5.Sum([]byte(content))
	return hex.EncodeToString(s[:])
}

// createSandbox creates a sandbox and returns its path and the URLs of what must be
// uploaded, by checksum.
func (p *probe) createSandbox(contents ...string) (path string, urls map[string]string) {
	var sums []string
	for _, c := range contents {
		sums = append(sums, `"`+md5Hex(c)+`":null`)
	}
	r := p.wantStatus(201, "POST", "/sandboxes", `{"checksums":{`+strings.Join(sums, ",")+`}}`)
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

// uploadFiles uploads content to the server and commits it.
func (p *probe) uploadFiles(contents ...string) {
	if len(contents) == 0 || p.err != nil {
		return
	}
	path, urls := p.createSandbox(contents...)
	for _, c := range contents {
		if u := urls[md5Hex(c)]; u != "" {
			r := p.sendFile("PUT", u, c)
			p.check(r.Status/100 == 2, "upload: got %d %s", r.Status, r.Body)
		}
	}
	p.wantStatus(200, "PUT", path, commit)
}

const commit = `{"is_completed":true}`

// sendFile requests a signed URL without Chef's headers.
func (p *probe) sendFile(method, url, content string) Reply {
	if p.err != nil {
		return Reply{Header: http.Header{}}
	}
	req, err := http.NewRequestWithContext(p.ctx, method, url, http.NoBody)
	if err != nil {
		p.recordFailure("%s of a file: %w", method, err)
		return Reply{Header: http.Header{}}
	}
	if method == "PUT" {
		raw, _ := hex.DecodeString(md5Hex(content))
		if content != "" {
			req, _ = http.NewRequestWithContext(p.ctx, method, url, strings.NewReader(content))
		}
		req.Header.Set("Content-Type", "application/x-binary")
		req.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(raw))
	}
	r, err := p.s.Caller.Send(req)
	if err != nil {
		p.recordFailure("%s of a file: %w", method, err)
	}
	return r
}

// fileURLs returns the URLs of all files of a manifest, in either form.
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
