package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func isWrite(r *http.Request) bool { return r.Method != http.MethodGet }

func TestRequestsOfACookbookPut(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	if err := w.copyObject("/data/empty", true); err != nil { // negotiates
		t.Fatal(err)
	}
	w.replica.ResetRequests()
	if err := w.copyObject("/cookbooks/a/1.0.0", true); err != nil {
		t.Fatal(err)
	}
	counts := w.replica.Requests().Counts()
	if counts["POST"] != 1 || counts["PUT"] != 3+2 || counts["GET"] != 0 {
		t.Errorf("requests %v, want 1 sandbox, 3 uploads, 1 commit, 1 manifest", requestLines(w.replica))
	}
	w.from.PutCookbook("a", "2.0.0", map[string][]byte{"recipes/default.rb": []byte("one"), "new": []byte("new")}, false)
	w.replica.ResetRequests()
	w.mustCopy("/cookbooks/a/2.0.0", true)
	if n := len(w.replica.Requests().Method("PUT")); n != 1+2 {
		t.Errorf("%d PUTs, want the one new file, the commit and the manifest", n)
	}
}

// TestOverwritesThatDropTheSameFileDoNotOverlap: of concurrent overwrites that drop the
// same file, Chef Infra Server answers all but one with 500.
func TestOverwritesThatDropTheSameFileDoNotOverlap(t *testing.T) {
	w := newFixture(t)
	names := []string{"a", "b", "c", "d"}
	for _, name := range names {
		w.from.PutCookbook(name, "1.0.0", map[string][]byte{"recipes/default.rb": []byte(name), ".editorconfig": []byte("shared")}, false)
		w.mustCopy("/cookbooks/"+name+"/1.0.0", true)
		w.from.PutCookbook(name, "1.0.0", map[string][]byte{"recipes/default.rb": []byte(name)}, false)
	}
	w.replica.Fault(cheftest.Fault{Method: http.MethodPut, Path: "/cookbooks/*", Delay: 20 * time.Millisecond})
	w.replica.ResetRequests()
	var group sync.WaitGroup
	for _, name := range names {
		group.Go(func() {
			if err := w.copyObject("/cookbooks/"+name+"/1.0.0", false); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	manifests := slices.DeleteFunc(requestLines(w.replica),
		func(line string) bool { return !strings.HasPrefix(line, "PUT /organizations/copy/cookbooks/") })
	if len(manifests) != len(names) {
		t.Errorf("manifests were sent again after a 500: %v", manifests)
	}
	for _, name := range names {
		w.wantSame("/cookbooks/" + name + "/1.0.0")
	}
}

func TestFrozenVersionsAreReplacedAndThawed(t *testing.T) {
	w := newFixture(t)
	for _, frozen := range []bool{true, true, false, true} {
		w.from.DeleteCookbook("a", "1.0.0")
		w.from.PutCookbook("a", "1.0.0", map[string][]byte{"x": []byte(fmt.Sprint(frozen, w.log.Len()))}, frozen)
		w.mustCopy("/cookbooks/a/1.0.0", false)
	}
}

// TestFrozenStateIsReplicated: freezing alone is a change, and a frozen version isn't
// deleted on the replica to write its content.
func TestFrozenStateIsReplicated(t *testing.T) {
	w := newFixture(t)
	files := map[string][]byte{"recipes/default.rb": []byte("one")}
	w.from.PutCookbook("a", "1.0.0", files, false)
	w.mustCopy("/cookbooks/a/1.0.0", true)
	loose := w.mustGet("/cookbooks/a/1.0.0").Fingerprint
	w.from.PutCookbook("a", "1.0.0", files, true)
	if w.mustGet("/cookbooks/a/1.0.0").Fingerprint == loose {
		t.Error("the fingerprint doesn't tell that the version was frozen")
	}
	for _, content := range []string{"one", "forced"} {
		w.from.PutCookbook("a", "1.0.0", map[string][]byte{"recipes/default.rb": []byte(content)}, true)
		w.replica.ResetRequests()
		w.mustCopy("/cookbooks/a/1.0.0", false)
		if deletes := w.replica.Requests().Method("DELETE"); len(deletes) > 0 {
			t.Errorf("content %q: the version was deleted on the way: %v", content, deletes)
		}
		got, err := w.target.Get(context.Background(), mustParseRef(t, "/cookbooks/a/1.0.0"))
		if err != nil || !strings.Contains(string(got.Body), `"frozen?":true`) {
			t.Errorf("content %q: the replica holds %s, %v; want it frozen", content, got.Body, err)
		}
	}
}

func TestCookbookIsSentToOlderServersInSegments(t *testing.T) {
	for _, highest := range []int{1, cheftest.OnlyVersion0} {
		w := newFixture(t, cheftest.Options{MaxAPIVersion: highest})
		w.from.PutCookbook("a", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("one"), "metadata.rb": []byte("two"),
			"templates/default/x.erb": []byte("t")}, false)
		w.mustCopy("/cookbooks/a/1.0.0", true)

		w.from.PutCookbook("b", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("one"), "ohai/plugin.rb": []byte("lost"),
			"spec/a/b.rb": []byte("lost too")}, false)
		obj := w.mustGet("/cookbooks/b/1.0.0")
		print, dropped, err := w.target.Expect(context.Background(), obj)
		if err != nil || print == obj.Fingerprint {
			t.Errorf("expected fingerprint %q, error %v", print, err)
		}
		wantStrings(t, "dropped", dropped, "ohai/plugin.rb", "spec/a/b.rb")
		e := wantClass(t, w.copyObject("/cookbooks/b/1.0.0", true), fault.Degraded)
		if !strings.Contains(e.Error(), "ohai/plugin.rb") || e.Hint == "" {
			t.Errorf("error %v, hint %q", e, e.Hint)
		}
		w.wantSame("/cookbooks/b/1.0.0")
	}
}

// TestRootFilesWithoutASegment: some tools name root files without root_files/ in
// all_files; servers return them below it to clients of API versions 0 and 1.
func TestRootFilesWithoutASegment(t *testing.T) {
	for _, highest := range []int{2, 1} {
		w := newFixture(t, cheftest.Options{MaxAPIVersion: highest})
		w.from.PutCookbook("other", "1.0.0", map[string][]byte{"x": []byte("one")}, false)
		sum := cheftest.MD5([]byte("one"))
		w.from.PutCookbookManifest("a", "1.0.0", `{"name":"a-1.0.0","cookbook_name":"a","version":"1.0.0",`+
			`"json_class":"Chef::CookbookVersion","chef_type":"cookbook_version",`+
			`"frozen?":false,"metadata":{"name":"a","version":"1.0.0"},"all_files":[{"name":"metadata.rb","path":"metadata.rb",`+
			`"checksum":"`+sum+`","specificity":"default"}]}`)
		w.mustCopy("/cookbooks/a/1.0.0", true)
	}
}

func TestShortVersionsAreKept(t *testing.T) {
	w := newFixture(t)
	w.from.PutCookbookManifest("a", "1.0", `{"name":"a-1.0","cookbook_name":"a","version":"1.0",`+
		`"json_class":"Chef::CookbookVersion","chef_type":"cookbook_version",`+
		`"frozen?":false,"metadata":{"name":"a","version":"1.0"},"all_files":[]}`)
	refs, err := w.source.List(context.Background(), object.Scope{Kind: object.Cookbook})
	if err != nil {
		t.Fatal(err)
	}
	wantStrings(t, "list", refPaths(refs), "/cookbooks/a/1.0.0")
	w.mustCopy("/cookbooks/a/1.0.0", true)
}

func TestNullMetadataIsDroppedWhenTheReplicaRefusesIt(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	obj := w.mustGet("/cookbooks/a/1.0.0")
	obj.Body = []byte(strings.Replace(string(obj.Body), `"metadata":{`, `"metadata":{"maintainer":null,"mine":null,`, 1))
	obj.Body = []byte(strings.Replace(string(obj.Body), `"maintainer":"",`, ``, 1))
	err := w.target.Put(context.Background(), obj, true, sourceContent{w.source, obj})
	e := wantClass(t, err, fault.Degraded)
	if !strings.Contains(e.Error(), "metadata.maintainer") || strings.Contains(e.Error(), "mine") {
		t.Errorf("error %v", e)
	}
	if torn := w.to.DamagedCookbooks(); len(torn) > 0 {
		t.Error(torn)
	}
}

func TestNullMetadataIsNoLastingDifference(t *testing.T) {
	for _, key := range []string{"name", "description", "long_description", "maintainer", "maintainer_email", "license",
		"platforms", "dependencies"} {
		w := newFixture(t)
		fillOrg(w.from)
		obj := w.mustGet("/cookbooks/a/1.0.0")
		meta := fmt.Sprintf(`"metadata":{"version":"1.0.0",%q:null}`, key)
		i := strings.Index(string(obj.Body), `"metadata":{`)
		body := string(obj.Body[:i]) + meta + "}"
		obj, err := decodeObject(obj.Ref, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		err = w.target.Put(context.Background(), obj, true, sourceContent{w.source, obj})
		wantClass(t, err, fault.Degraded)
		want, _, err := w.target.Expect(context.Background(), obj)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.target.Get(context.Background(), obj.Ref); err != nil || got.Fingerprint != want {
			t.Errorf("%s: error %v, or another fingerprint than expected\nsent %s\ngot  %s", key, err, body, got.Body)
		}
	}
}

func TestContentDeletedAfterTheSandboxIsSentAgain(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	w.to.PutCookbook("other", "1.0.0", map[string][]byte{"x": []byte("one")}, false)
	// The server has "one" when the sandbox is created; then its only user is deleted.
	w.replica.Fault(cheftest.Fault{Method: "PUT", Path: "/cookbooks/a/1.0.0", Nth: 1, Times: 1,
		Do: func(*http.Request) { w.to.DeleteCookbook("other", "1.0.0") }})
	w.mustCopy("/cookbooks/a/1.0.0", true)
	if n := len(w.replica.Requests().Containing("/sandboxes").Method("POST")); n != 2 {
		t.Errorf("%d sandboxes, want a second one", n)
	}
}

func TestIncompleteCreateIsDeleted(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	lose := func(*http.Request) {
		w.to.PutCookbook("other", "1.0.0", map[string][]byte{"x": []byte("one")}, false)
		w.to.DeleteCookbook("other", "1.0.0")
	}
	w.replica.Fault(cheftest.Fault{Method: "PUT", Path: "/cookbooks/a/1.0.0", Do: lose})
	err := w.copyObject("/cookbooks/a/1.0.0", true)
	wantClass(t, err, fault.Transient)
	refs, err := w.target.List(context.Background(), object.Scope{Kind: object.Cookbook})
	if err != nil || len(refs) > 0 {
		t.Errorf("the replica lists %v, error %v", refPaths(refs), err)
	}
	if n := len(w.replica.Requests().Containing("/cookbooks/a").Method("PUT")); n != maxCycles {
		t.Errorf("%d manifests were sent, want %d", n, maxCycles)
	}
}

// TestCommitIsRetriedWhileTheFileStoreIsSlow: three attempts with the first sandbox fail,
// and one with the second.
func TestCommitIsRetriedWhileTheFileStoreIsSlow(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	w.replica.Fault(cheftest.Fault{Method: "PUT", Path: "/sandboxes/*", Times: 4, Status: 503,
		Body: `{"error":["Committed incomplete sandbox"]}`})
	w.mustCopy("/cookbooks/a/1.0.0", true)
}

func TestExpiredUploadURLsGetASmallerSandbox(t *testing.T) {
	w := newFixture(t)
	files := map[string][]byte{}
	for i := range 20 {
		files[fmt.Sprintf("files/f%02d", i)] = fmt.Appendf(nil, "content %d", i)
	}
	w.from.PutCookbook("a", "1.0.0", files, false)
	// The upload URLs of a sandbox expire after six uploads.
	var sent atomic.Int32
	w.replica.Fault(cheftest.Fault{Method: "POST", Path: "/sandboxes", Do: func(*http.Request) { sent.Store(0) }})
	w.replica.Fault(cheftest.Fault{Method: "PUT", Path: "/bookshelf/*", Status: 403, Body: `<Error><Code>AccessDenied</Code></Error>`,
		Match: func(*http.Request) bool { return sent.Add(1) > 6 }})
	w.mustCopy("/cookbooks/a/1.0.0", true)
}

func TestRefusedUploadURLsAreReported(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	w.replica.Fault(cheftest.Fault{Method: "PUT", Path: "/bookshelf/*", Status: 403, Body: `<Error><Code>AccessDenied</Code></Error>`})
	e := wantClass(t, w.copyObject("/cookbooks/a/1.0.0", true), fault.Transient)
	if !strings.Contains(e.Hint, "clocks") {
		t.Errorf("hint %q", e.Hint)
	}
}

func TestRefusedDownloadsDoNotSplitTheSandbox(t *testing.T) {
	w := newFixture(t)
	files := map[string][]byte{}
	for i := range 20 {
		files[fmt.Sprintf("files/f%02d", i)] = fmt.Appendf(nil, "content %d", i)
	}
	w.from.PutCookbook("a", "1.0.0", files, false)
	w.primary.Fault(cheftest.Fault{Method: http.MethodGet, Path: "/bookshelf/*", Status: 403,
		Body: `<Error><Code>AccessDenied</Code></Error>`})
	e := wantClass(t, w.copyObject("/cookbooks/a/1.0.0", true), fault.Transient)
	if e.Server != "primary" {
		t.Errorf("error %v blames %q", e, e.Server)
	}
	if n := len(w.replica.Requests().Containing("/sandboxes").Method("POST")); n != 1 {
		t.Errorf("%d sandboxes, want 1", n)
	}
}

func TestManifestIsReadBackAfterLostAnswers(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	h := w.replica.Fault(cheftest.Fault{Method: "PUT", Path: "/cookbooks/*", DropAnswer: true})
	w.mustCopy("/cookbooks/a/1.0.0", true)
	h.Remove()
	w.replica.Fault(cheftest.Fault{Method: "PUT", Path: "/cookbooks/*", Drop: true})
	wantClass(t, w.copyObject("/cookbooks/b/0.1.0", true), fault.Unreachable)
}

func TestExpiredDownloadURLsAreReplaced(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	obj := w.mustGet("/cookbooks/a/1.0.0")
	for i := range obj.Files {
		obj.Files[i].URL += "0"
	}
	if err := w.target.Put(context.Background(), obj, true, sourceContent{w.source, obj}); err != nil {
		t.Fatal(err)
	}
	w.wantSame("/cookbooks/a/1.0.0")
}

// TestContentOfAChangedVersionIsAbsent: a server deletes content that no version needs.
func TestContentOfAChangedVersionIsAbsent(t *testing.T) {
	w := newFixture(t)
	w.from.PutCookbook("own", "1.0.0", map[string][]byte{"x": []byte("first")}, false)
	obj := w.mustGet("/cookbooks/own/1.0.0")
	w.from.PutCookbook("own", "1.0.0", map[string][]byte{"x": []byte("changed")}, false)
	for range 2 {
		for _, url := range []string{"", obj.Files[0].URL} {
			file := obj.Files[0]
			file.URL = url
			_, _, err := w.source.Open(t.Context(), obj, file)
			wantClass(t, err, fault.Absent)
		}
		w.from.DeleteCookbook("own", "1.0.0")
	}
}

func TestContentLostByThePrimaryIsRejected(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	w.from.LoseContent(cheftest.MD5([]byte("two")))
	err := w.copyObject("/cookbooks/a/1.0.0", true)
	e := wantClass(t, err, fault.Rejected)
	if e.Server != "primary" || e.Hint == "" {
		t.Errorf("error %v blames %q", e, e.Server)
	}
}

var errDisk = errors.New("disk full")

type failingContent struct{ err error }

func (b failingContent) Open(context.Context, object.File) (io.ReadCloser, int64, error) {
	return nil, 0, b.err
}

func TestErrorsOfContentKeepTheirClass(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	obj := w.mustGet("/cookbooks/a/1.0.0")
	_, primaryGone := w.source.Get(context.Background(), mustParseRef(t, "/roles/gone"))
	for _, cause := range []error{errDisk, &fault.Error{Class: fault.Local, Err: errDisk},
		fmt.Errorf("changed: %w", primaryGone)} {
		err := w.target.Put(context.Background(), obj, true, failingContent{cause})
		if !errors.Is(err, cause) || fault.ClassOf(err) != fault.ClassOf(cause) {
			t.Errorf("error %v of class %q, want %v", err, fault.ClassOf(err), cause)
		}
	}
	if len(w.to.Snapshot()) != 0 {
		t.Errorf("the replica holds %v", w.to.Snapshot())
	}
}

func TestParallelUploadsOfTheSameContent(t *testing.T) {
	w := newFixture(t)
	var books []string
	for i := range 8 {
		name := fmt.Sprintf("c%d", i)
		w.from.PutCookbook(name, "1.0.0", map[string][]byte{"LICENSE": []byte("same in all"), "own": []byte(name)}, false)
		books = append(books, "/cookbooks/"+name+"/1.0.0")
	}
	var wg sync.WaitGroup
	for _, path := range books {
		obj := w.mustGet(path)
		wg.Go(func() {
			if err := w.target.Put(context.Background(), obj, true, sourceContent{w.source, obj}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.wantSameServers()
	sent := w.replica.Requests().Filter(func(r cheftest.Request) bool {
		return r.Method == "PUT" && strings.HasSuffix(r.Path, cheftest.MD5([]byte("same in all")))
	})
	if len(sent) != 1 {
		t.Errorf("the common file was sent %d times, want once", len(sent))
	}
}

func TestManyFilesUseSeveralSandboxes(t *testing.T) {
	w := newFixture(t)
	files := map[string][]byte{}
	for i := range 1001 {
		files[fmt.Sprintf("files/f%04d", i)] = fmt.Appendf(nil, "%d", i)
	}
	w.from.PutCookbook("big", "1.0.0", files, false)
	w.mustCopy("/cookbooks/big/1.0.0", true)
	if n := len(w.replica.Requests().Containing("/sandboxes").Method("POST")); n != 2 {
		t.Errorf("%d sandboxes, want 2", n)
	}
}

// filesWith returns files with checksums.
func filesWith(sums ...string) (files []object.File) {
	for _, s := range sums {
		files = append(files, object.File{Checksum: s})
	}
	return files
}

func TestChecksumsAreClaimedOnce(t *testing.T) {
	c := newChecksums()
	claim := func(want []string, wait bool, sums ...string) <-chan struct{} {
		t.Helper()
		mine, sent := c.claim(filesWith(sums...))
		if !slices.Equal(mine, filesWith(want...)) || (sent != nil) != wait {
			t.Errorf("claimed %q of %q, wait %v; want %q, %v", mine, sums, sent != nil, want, wait)
		}
		return sent
	}
	claim([]string{"a", "b"}, false, "a", "b")
	sent := claim([]string{"c"}, true, "b", "c")
	c.release(filesWith("c"), true)
	<-sent
	claim(nil, true, "b", "c")
	c.release(filesWith("a", "b"), false)
	claim([]string{"a", "b"}, false, "a", "b", "c")
	c.release(filesWith("a", "b"), true)
	claim(nil, false, "a", "b", "c")
	c.dropKnown(filesWith("a"))
	claim([]string{"a"}, false, "a", "b")
}

// mustGetAll returns objects of the primary.
func (w *fixture) mustGetAll(paths ...string) (objs []object.Object) {
	for _, path := range paths {
		objs = append(objs, w.mustGet(path))
	}
	return objs
}

func (w *fixture) contentOf(obj object.Object) replication.Content {
	return sourceContent{w.source, obj}
}

func TestOneSandboxCoversSeveralVersions(t *testing.T) {
	w := newFixture(t)
	var paths []string
	for i := range 5 {
		name := fmt.Sprintf("c%d", i)
		w.from.PutCookbook(name, "1.0.0", map[string][]byte{"LICENSE": []byte("same in all"), "own": []byte(name)}, false)
		paths = append(paths, "/cookbooks/"+name+"/1.0.0")
	}
	w.target.Upload(t.Context(), w.mustGetAll(paths...), w.contentOf)
	for _, path := range paths {
		w.mustCopy(path, true)
	}
	r := w.replica.Requests()
	if n, sent := len(r.Containing("/sandboxes").Method("POST")), len(r.Containing("/bookshelf").Method("PUT")); n != 1 || sent != 6 {
		t.Errorf("%d sandboxes, %d files sent; want 1 and 6", n, sent)
	}
}

// TestFailedSharedSandboxIsReplaced: a sandbox for several versions that fails causes no
// failure of a version that can be written.
func TestFailedSharedSandboxIsReplaced(t *testing.T) {
	for name, f := range map[string]struct {
		primary, replica cheftest.Fault
		lost             bool // the file of the second version
	}{
		"commit": {replica: cheftest.Fault{Method: "PUT", Path: "/sandboxes/*", Times: 3, Status: 503,
			Body: `{"error":["Committed incomplete sandbox"]}`}},
		"not opened": {replica: cheftest.Fault{Method: "POST", Path: "/sandboxes", Times: 3, Status: 500}},
		"an upload":  {replica: cheftest.Fault{Method: "PUT", Path: "*bookshelf*", Times: 1, Status: 403}},
		"a download": {primary: cheftest.Fault{Method: "GET", Path: "*" + cheftest.MD5([]byte("c1")), Status: 404}, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			paths := []string{"/cookbooks/c0/1.0.0", "/cookbooks/c1/1.0.0", "/cookbooks/c2/1.0.0"}
			for _, path := range paths {
				book := path[len("/cookbooks/") : len("/cookbooks/")+2]
				w.from.PutCookbook(book, "1.0.0", map[string][]byte{"own": []byte(book)}, false)
			}
			if f.replica.Path != "" {
				w.replica.Fault(f.replica)
			}
			if f.primary.Path != "" {
				w.primary.Fault(f.primary)
			}
			w.target.Upload(t.Context(), w.mustGetAll(paths...), w.contentOf)
			for i, path := range paths {
				if err := w.copyObject(path, true); (err != nil) != (f.lost && i == 1) {
					t.Errorf("put %s: %v", path, err)
				}
			}
		})
	}
}
