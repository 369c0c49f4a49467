package cheftest_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/contract"
)

// manifestJSON is a cookbook at API version 2 with files of the given contents.
func manifestJSON(name, version string, frozen bool, files map[string]string) string {
	var list []string
	for path, content := range files {
		name := path
		if !strings.Contains(path, "/") {
			name = "root_files/" + path
		}
		list = append(list, fmt.Sprintf(`{"name":%q,"path":%q,"checksum":%q,"specificity":"default"}`, name, path,
			cheftest.MD5([]byte(content))))
	}
	return fmt.Sprintf(`{"name":"%[1]s-%[2]s","cookbook_name":%[1]q,"version":%[2]q,"frozen?":%[3]v,"metadata":{"name":%[1]q,`+
		`"version":%[2]q},"all_files":[%[4]s]}`,
		name, version, frozen, strings.Join(list, ","))
}

// uploadFiles puts content on the server through a sandbox.
func (w *testServer) uploadFiles(contents ...string) {
	w.Helper()
	var sums []string
	for _, c := range contents {
		sums = append(sums, `"`+cheftest.MD5([]byte(c))+`":null`)
	}
	r := w.wantStatus(201, "POST", "/sandboxes", `{"checksums":{`+strings.Join(sums, ",")+`}}`)
	checksums, _ := r.Object()["checksums"].(map[string]any)
	for _, c := range contents {
		one, _ := checksums[cheftest.MD5([]byte(c))].(map[string]any)
		if one["needs_upload"] == true {
			if got := w.putFile(one["url"].(string), c, nil).Status; got != 204 {
				w.Fatalf("upload: %d", got)
			}
		}
	}
	w.wantStatus(200, "PUT", "/sandboxes/"+r.Object()["sandbox_id"].(string), `{"is_completed":true}`, `"is_completed":true`, `"create_time"`)
}

// putFile uploads to a signed URL.
func (w *testServer) putFile(url, content string, edit func(*http.Request)) contract.Reply {
	w.Helper()
	raw, _ := hex.DecodeString(cheftest.MD5([]byte(content)))
	req, _ := http.NewRequestWithContext(context.Background(), "PUT", url, strings.NewReader(content))
	req.Header.Set("Content-Type", "application/x-binary")
	req.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(raw))
	if edit != nil {
		edit(req)
	}
	return w.sendRequest(req)
}

func (w *testServer) getFile(url string) contract.Reply {
	w.Helper()
	req, _ := http.NewRequestWithContext(context.Background(), "GET", url, http.NoBody)
	return w.sendRequest(req)
}

func (w *testServer) sendRequest(req *http.Request) contract.Reply {
	w.Helper()
	r, err := w.as.Send(req)
	if err != nil {
		w.Fatalf("send: %v", err)
	}
	return r
}

// fileURL is the URL of the first file of a cookbook version.
func (w *testServer) fileURL(path string) string {
	w.Helper()
	files, _ := w.wantStatus(200, "GET", path, "").Object()["all_files"].([]any)
	file, _ := files[0].(map[string]any)
	return file["url"].(string)
}

func TestCookbookUploadAndDownload(t *testing.T) {
	w := newTestServer(t)
	w.uploadFiles("recipe", "")
	body := manifestJSON("nginx", "1.2.0", false, map[string]string{"recipes/default.rb": "recipe"})
	r := w.wantStatus(201, "PUT", "/cookbooks/nginx/1.2.0", body, `"name":"nginx-1.2.0"`)
	if r.Header.Get("Location") != "http://chef.test/organizations/acme/cookbooks/nginx/1.2.0" {
		t.Errorf("Location %q", r.Header.Get("Location"))
	}
	w.wantStatus(200, "PUT", "/cookbooks/nginx/1.2.0", body)
	w.wantStatus(200, "GET", "/cookbooks/nginx/1.2.0", "", `"frozen?":false`, `"attributes":{},"dependencies":{},"long_description":""`,
		`"json_class":"Chef::CookbookVersion"`)
	w.wantStatus(200, "GET", "/cookbooks/nginx/_latest", "", "nginx-1.2.0")
	got := w.getFile(w.fileURL("/cookbooks/nginx/1.2.0"))
	if got.Status != 200 || string(got.Body) != "recipe" || got.Genuine() {
		t.Errorf("got %d %q", got.Status, got.Body)
	}
	w.wantStatus(404, "GET", "/cookbooks/nginx/9.0.0", "", "Cannot find a cookbook named nginx with version 9.0.0")
	w.wantStatus(400, "GET", "/cookbooks/nginx/one", "", "Invalid cookbook version 'one'.")
	w.wantStatus(200, "DELETE", "/cookbooks/nginx/1.2.0", "", `"recipes":[{"name":"default.rb"`) // segments at every version
	w.wantStatus(404, "GET", "/cookbooks/nginx", "", "Cannot find a cookbook named nginx")
}

func TestCookbookListings(t *testing.T) {
	w := newTestServer(t)
	for _, v := range []string{"1.9.0", "1.10.0", "0.1.0"} {
		w.org.PutCookbookMetadata("a", v, `{"dependencies":{"apt":">= 0.0.0"}}`, map[string][]byte{
			"recipes/default.rb": []byte(v), "recipes/ssl.rb": []byte("s")}, false)
	}
	const u = "http://chef.test/organizations/acme/cookbooks/a"
	one := `{"a":{"url":"` + u + `","versions":[{"version":"1.10.0","url":"` + u + `/1.10.0"}]}}`
	w.wantStatus(200, "GET", "/cookbooks", "", one)
	w.wantStatus(200, "GET", "/cookbooks?num_versions=1", "", one)
	w.wantStatus(200, "GET", "/cookbooks?num_versions=0", "", `"versions":[]`)
	w.wantStatus(200, "GET", "/cookbooks?num_versions=all", "", `1.10.0","url":"`+u+`/1.10.0"},{"version":"1.9.0"`)
	w.wantStatus(200, "GET", "/cookbooks/a", "", `"0.1.0"`)
	w.wantStatus(400, "GET", "/cookbooks?num_versions=-1", "", "invalid number of versions")
	w.wantStatus(400, "GET", "/cookbooks?num_versions=", "")
	w.wantStatus(200, "GET", "/cookbooks/_latest", "", `{"a":"`+u+`/1.10.0"}`)
	w.wantStatus(200, "GET", "/cookbooks/_recipes", "", `["a","a::ssl"]`)
	w.wantStatus(200, "GET", "/universe", "", `{"a":{"1.10.0":{"location_path":"`+u+
		`/1.10.0","location_type":"chef_server","dependencies":{"apt":">= 0.0.0"}}`)
}

func TestManifestsAreStrict(t *testing.T) {
	w := newTestServer(t)
	good := manifestJSON("a", "1.0.0", false, nil)
	for name, x := range map[string]struct{ old, new, text string }{
		"unknown key":           {`"frozen?"`, `"access":1,"frozen?"`, "Invalid key access in request body"},
		"segments at version 2": {`"all_files"`, `"recipes"`, "Invalid key recipes in request body"},
		"another name":          {`"name":"a-1.0.0"`, `"name":"b-1.0.0"`, "Field 'name' invalid"},
		"another version":       {`"version":"1.0.0"}`, `"version":"1.0"}`, "Field 'metadata.version' invalid"},
		"null in metadata":      {`"metadata":{`, `"metadata":{"maintainer":null,`, "Field 'metadata.maintainer' invalid"},
		"a bad dependency":      {`"metadata":{`, `"metadata":{"dependencies":{"x":"new"},`, "metadata.dependencies"},
		"a file without a path": {`"all_files":[`, `"all_files":[{"name":"x","checksum":"y","specificity":"z"}`,
			"Invalid element in array value of 'all_files'."},
		"no metadata": {`"metadata"`, `"metadata2"`, "Invalid key metadata2"},
	} {
		t.Run(name, func(t *testing.T) {
			w.T = t
			body := strings.Replace(good, x.old, x.new, 1)
			if body == good {
				t.Fatal("nothing was changed")
			}
			w.wantStatus(400, "PUT", "/cookbooks/a/1.0.0", body, x.text)
		})
	}
	w.T = t
	w.wantStatus(400, "PUT", "/cookbooks/a/1", good, "Field 'name' invalid")
	w.wantStatus(400, "PUT", "/cookbooks/a+b/1.0.0", good, "Invalid cookbook name")
	w.as.Version = "1"
	w.wantStatus(400, "PUT", "/cookbooks/a/1.0.0", good, "Invalid key all_files in request body")
	w.wantStatus(201, "PUT", "/cookbooks/a/1.0.0", strings.Replace(good, `"all_files"`, `"recipes"`, 1))
}

func TestSegmentsAndAllFiles(t *testing.T) {
	w := newTestServer(t)
	w.org.PutCookbook("new", "1.0.0", map[string][]byte{
		"recipes/default.rb": []byte("a"), "ohai/plugin.rb": []byte("b"), "metadata.rb": []byte("c")}, false)
	w.as.Version = "1"
	r := w.wantStatus(200, "GET", "/cookbooks/new/1.0.0", "", `"recipes":[{"name":"default.rb","path":"recipes/default.rb"`,
		`"root_files":[{"name":"metadata.rb"`, `"attributes":[]`)
	if strings.Contains(string(r.Body), "ohai") || strings.Contains(string(r.Body), "all_files") {
		t.Errorf("files of other folders are lost below version 2, got %s", r.Body)
	}
	sum := cheftest.MD5([]byte("x"))
	w.uploadFiles("x")
	w.wantStatus(201, "PUT", "/cookbooks/old/1.0.0", `{"name":"old-1.0.0","cookbook_name":"old","metadata":{"version":"1.0.0"},
		"recipes":[{"name":"default.rb","path":"recipes/default.rb","checksum":"`+sum+`","specificity":"default","url":"http://noise"}]}`)
	w.as.Version = "2"
	r = w.wantStatus(200, "GET", "/cookbooks/old/1.0.0", "", `"all_files":[{"name":"recipes/default.rb","path":"recipes/default.rb"`)
	if strings.Contains(string(r.Body), "noise") {
		t.Errorf("the url is always the server's own, got %s", r.Body)
	}
}

func TestFrozenVersions(t *testing.T) {
	w := newTestServer(t)
	w.uploadFiles("one", "two")
	one, two := map[string]string{"recipes/a.rb": "one"}, map[string]string{"recipes/a.rb": "two"}
	w.wantStatus(201, "PUT", "/cookbooks/a/1.0.0", manifestJSON("a", "1.0.0", false, one))
	w.wantStatus(200, "PUT", "/cookbooks/a/1.0.0", manifestJSON("a", "1.0.0", true, one))
	const frozen = "The cookbook a at version 1.0.0 is frozen. Use the 'force' option to override."
	w.wantStatus(409, "PUT", "/cookbooks/a/1.0.0", manifestJSON("a", "1.0.0", true, one), frozen) // even the same
	w.wantStatus(409, "PUT", "/cookbooks/a/1.0.0?force=false", manifestJSON("a", "1.0.0", true, two), frozen)
	w.wantStatus(200, "PUT", "/cookbooks/a/1.0.0?force=yes", manifestJSON("a", "1.0.0", false, two), `"frozen?":true`)
	w.wantStatus(200, "GET", "/cookbooks/a/1.0.0", "", `"frozen?":true`, cheftest.MD5([]byte("two")))
}

func TestFailedCreateIsKept(t *testing.T) {
	w := newTestServer(t)
	body := manifestJSON("a", "1.0.0", true, map[string]string{"recipes/a.rb": "missing"})
	w.wantStatus(400, "PUT", "/cookbooks/a/1.0.0", body, "Manifest has a checksum that hasn't been uploaded.")
	w.wantStatus(200, "GET", "/cookbooks/a", "", "1.0.0")
	w.wantStatus(200, "GET", "/cookbooks/a/1.0.0", "", `"frozen?":true`, "recipes/a.rb")
	if torn := w.org.DamagedCookbooks(); len(torn) != 1 {
		t.Errorf("torn: %v", torn)
	}
	w.wantStatus(409, "PUT", "/cookbooks/a/1.0.0", body)
	w.wantStatus(400, "PUT", "/cookbooks/a/1.0.0?force=true", body, "Manifest has checksum "+cheftest.MD5([]byte("missing"))+
		" but it hasn't yet been uploaded")
	w.uploadFiles("missing")
	w.wantStatus(200, "PUT", "/cookbooks/a/1.0.0?force=true", body)
	if torn := w.org.DamagedCookbooks(); len(torn) != 0 {
		t.Errorf("torn: %v", torn)
	}
}

func TestUnlinkedContentIsDeletedAtOnce(t *testing.T) {
	w := newTestServer(t)
	w.uploadFiles("shared", "own", "never linked")
	w.wantStatus(201, "PUT", "/cookbooks/a/1.0.0", manifestJSON("a", "1.0.0", false,
		map[string]string{"recipes/a.rb": "shared", "recipes/b.rb": "own"}))
	w.wantStatus(201, "PUT", "/cookbooks/b/1.0.0", manifestJSON("b", "1.0.0", false, map[string]string{"recipes/a.rb": "shared"}))
	needs := func() string {
		w.Helper()
		var out []string
		for _, c := range []string{"shared", "own", "never linked"} {
			sum := cheftest.MD5([]byte(c))
			r := w.wantStatus(201, "POST", "/sandboxes", `{"checksums":{"`+sum+`":null}}`)
			if strings.Contains(string(r.Body), `"needs_upload":true`) {
				out = append(out, c)
			}
		}
		return strings.Join(out, ",")
	}
	if got := needs(); got != "" {
		t.Errorf("needs %q", got)
	}
	url := w.fileURL("/cookbooks/b/1.0.0")
	w.wantStatus(200, "DELETE", "/cookbooks/a/1.0.0", "")
	if got := needs(); got != "own" {
		t.Errorf("needs %q", got)
	}
	if w.getFile(url).Status != 200 {
		t.Error("shared content stays")
	}
	w.wantStatus(200, "PUT", "/cookbooks/b/1.0.0", manifestJSON("b", "1.0.0", false, nil))
	if got := needs(); got != "shared,own" {
		t.Errorf("needs %q", got)
	}
	if got := w.getFile(url).Status; got != 404 {
		t.Errorf("forgotten content: %d", got)
	}
}

// The real server, seen with Chef Infra Server 15.10, looks for a checksum that two
// overwrites dropped once more than it is there.
func TestConcurrentOverwritesThatDropAFileCollide(t *testing.T) {
	w := newTestServer(t)
	for _, name := range []string{"a", "b"} {
		w.org.PutCookbook(name, "1.0.0", map[string][]byte{"x": []byte("shared")}, false)
	}
	var both sync.WaitGroup
	both.Add(2)
	overlap := w.srv.Fault(cheftest.Fault{Method: "PUT", Path: "/cookbooks/*", Do: func(*http.Request) { both.Done(); both.Wait() }})
	statuses := make(chan int, 2)
	for _, name := range []string{"a", "b"} {
		go func() {
			r, err := w.as.Do(t.Context(), "PUT", "/cookbooks/"+name+"/1.0.0", manifestJSON(name, "1.0.0", false, nil))
			if err != nil {
				t.Error(err)
			}
			statuses <- r.Status
		}()
	}
	if sum := <-statuses + <-statuses; sum != 200+500 {
		t.Errorf("statuses add up to %d, want one 200 and one 500", sum)
	}
	overlap.Remove()
	for _, name := range []string{"a", "b"} {
		w.wantStatus(200, "PUT", "/cookbooks/"+name+"/1.0.0", manifestJSON(name, "1.0.0", false, nil))
	}
}

func TestSandboxes(t *testing.T) {
	w := newTestServer(t)
	for _, body := range []string{`{"checksums":{}}`, `{"checksums":{"xyz":null}}`, `{"checksums":{"` + cheftest.MD5(nil) + `":1}}`, `{}`} {
		w.wantStatus(400, "POST", "/sandboxes", body, "checksums")
	}
	a, b := cheftest.MD5([]byte("a")), cheftest.MD5([]byte("b"))
	r := w.wantStatus(201, "POST", "/sandboxes", `{"checksums":{"`+a+`":null,"`+b+`":null}}`)
	id, _ := r.Object()["sandbox_id"].(string)
	if l := r.Header.Get("Location"); !strings.HasPrefix(l, "http://chef.test/organizations/acme/sandboxes/") || strings.HasSuffix(l, id) {
		t.Errorf("Location %q; want one of another id than %s", l, id)
	}
	if uri, _ := r.Object()["uri"].(string); uri != "http://chef.test/organizations/acme/sandboxes/"+id {
		t.Errorf("uri %q", uri)
	}
	url := func(sum string) string {
		sums, _ := r.Object()["checksums"].(map[string]any)
		one, _ := sums[sum].(map[string]any)
		return one["url"].(string)
	}
	w.wantStatus(503, "PUT", "/sandboxes/"+id, `{"is_completed":true}`, "Committed incomplete sandbox: [")
	w.putFile(url(a), "a", nil)
	w.wantStatus(503, "PUT", "/sandboxes/"+id, `{"is_completed":true}`, `{"error":["Committed incomplete sandbox: [<<\"`+b+`\">>]"]}`)
	w.wantStatus(201, "POST", "/sandboxes", `{"checksums":{"`+a+`":null}}`, `"needs_upload":true`) // uploaded, not committed
	w.putFile(url(b), "b", nil)
	w.wantStatus(500, "PUT", "/sandboxes/"+id, `{}`)
	w.wantStatus(200, "PUT", "/sandboxes/"+id, `{"is_completed":true}`, `"checksums":["`+a+`","`+b+`"]`)
	w.wantStatus(404, "PUT", "/sandboxes/"+id, `{"is_completed":true}`, "No such sandbox '"+id+"'.")
	w.wantStatus(201, "POST", "/sandboxes", `{"checksums":{"`+a+`":null}}`, `"needs_upload":false`)
}

func TestSignedURLs(t *testing.T) {
	now := time.Now()
	w := newTestServer(t, cheftest.Options{Now: func() time.Time { return now }})
	w.as.Now = func() time.Time { return now }
	sum := cheftest.MD5([]byte("x"))
	r := w.wantStatus(201, "POST", "/sandboxes", `{"checksums":{"`+sum+`":null}}`)
	sums, _ := r.Object()["checksums"].(map[string]any)
	one, _ := sums[sum].(map[string]any)
	up := one["url"].(string)
	header := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	for name, x := range map[string]struct {
		url, content string
		edit         func(*http.Request)
		status       int
	}{
		"another type":        {up, "x", header("Content-Type", "text/plain"), 403},
		"no MD5":              {up, "x", header("Content-MD5", ""), 403},
		"the MD5 of others":   {up, "y", nil, 403},
		"other bytes":         {up, "y", header("Content-MD5", "nd1OlRVmEV4VGAQcM8tMIw=="), 403},
		"a changed query":     {strings.Replace(up, "X-Amz-Expires=900", "X-Amz-Expires=901", 1), "x", nil, 403},
		"a re-encoded query":  {strings.Replace(up, "%2F", "/", 1), "x", nil, 403},
		"another host":        {strings.Replace(up, "chef.test", "chef.other", 1), "x", nil, 403},
		"a checksum of hers":  {strings.Replace(up, sum, cheftest.MD5([]byte("y")), 1), "y", nil, 403},
		"unknown length":      {up, "x", func(r *http.Request) { r.ContentLength = -1 }, 411},
		"as it should":        {up, "x", nil, 204},
		"twice is no problem": {up, "x", nil, 204},
	} {
		if got := w.putFile(x.url, x.content, x.edit); got.Status != x.status || got.Status == 403 &&
			!strings.Contains(string(got.Body), "<Error>") {
			t.Errorf("%s: got %d %s, want %d", name, got.Status, got.Body, x.status)
		}
	}
	broken := func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("y")), 1
		raw, _ := hex.DecodeString(sum)
		r.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(raw))
	}
	if got := w.putFile(up, "x", broken); got.Status != 406 {
		t.Errorf("bytes that aren't the MD5: %d", got.Status)
	}
	w.org.PutCookbook("a", "1.0.0", map[string][]byte{"metadata.rb": []byte("x")}, false)
	down := w.fileURL("/cookbooks/a/1.0.0")
	now = now.Add(899 * time.Second)
	if got := w.putFile(up, "x", nil).Status; got != 204 {
		t.Errorf("before its end: %d", got)
	}
	now = now.Add(time.Second)
	if got := w.putFile(up, "x", nil).Status; got != 403 {
		t.Errorf("an upload URL lives 900 s: %d", got)
	}
	if got := w.getFile(down).Status; got != 200 {
		t.Errorf("a download URL lives longer: %d", got)
	}
	now = now.Add(8 * time.Hour)
	if got := w.getFile(down); got.Status != 403 || !strings.Contains(string(got.Body), "<Error>") {
		t.Errorf("an old download URL: %d %s", got.Status, got.Body)
	}
}

func TestDamagedContent(t *testing.T) {
	w := newTestServer(t)
	w.org.PutCookbook("a", "1.0.0", map[string][]byte{"metadata.rb": []byte("x")}, false)
	sum := cheftest.MD5([]byte("x"))
	url := w.fileURL("/cookbooks/a/1.0.0")
	w.org.ReplaceContent(sum, []byte("y"))
	if got := string(w.getFile(url).Body); got != "y" {
		t.Errorf("got %q", got)
	}
	w.org.LoseContent(sum)
	if got := w.getFile(url).Status; got != 404 {
		t.Errorf("got %d", got)
	}
	if len(w.org.DamagedCookbooks()) != 1 || !strings.Contains(w.org.Snapshot()["/cookbooks/a/1.0.0"], "broken_files") {
		t.Error("torn content shows")
	}
}

func TestOverTheNetwork(t *testing.T) {
	srv := cheftest.Start(t)
	org := srv.AddOrg("acme")
	as := contract.Caller{Base: org.URL(), User: "c", Key: org.AddClient("c"), HTTP: http.DefaultClient}
	w := &testServer{T: t, srv: srv, org: org, as: as}
	org.PutCookbook("a", "1.0.0", map[string][]byte{"metadata.rb": []byte("content")}, false)
	if got := string(w.getFile(w.fileURL("/cookbooks/a/1.0.0")).Body); got != "content" {
		t.Errorf("got %q", got)
	}
	proxy := httptest.NewServer(srv)
	defer proxy.Close()
	as.Base = proxy.URL + "/organizations/acme"
	w.wantAs(as, 200, "GET", "/cookbooks", "", proxy.URL)
}
