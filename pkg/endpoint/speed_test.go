package endpoint_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// parallel calls do for each element, with at most n calls at the same time.
func parallel[T any](t testing.TB, list []T, n int, do func(T) error) {
	t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, n)
	for _, e := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := do(e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// runUnavoidable sends only the requests that a first copy needs at least: it reads each
// manifest, downloads and uploads each file, and writes each object. It returns their
// duration.
func runUnavoidable(t testing.TB, w *pairFixture, connections int) time.Duration {
	t.Helper()
	ctx := t.Context()
	refs, err := w.source.List(ctx, object.Scope{Kind: object.Cookbook})
	if err != nil {
		t.Fatal(err)
	}
	plain := w.plainObjects(t)
	var mu sync.Mutex
	manifests, urls := map[object.Ref][]byte{}, map[string]string{}
	began := time.Now()
	parallel(t, refs, connections, func(ref object.Ref) error {
		obj, err := w.source.Get(ctx, ref)
		mu.Lock()
		defer mu.Unlock()
		manifests[ref] = obj.Body
		for _, f := range obj.Files {
			urls[f.Checksum] = f.URL
		}
		return err
	})
	took := time.Since(began)
	var sums []string
	for sum := range urls {
		sums = append(sums, sum)
	}
	box, err := w.toOrg.CreateSandbox(ctx, sums)
	if err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	parallel(t, box.Uploads, 8, func(u chef.Upload) error { return w.copyFile(ctx, u, urls[u.Checksum]) })
	took += time.Since(began)
	if err := w.toOrg.CommitSandbox(ctx, box.ID); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	for _, objs := range plain {
		parallel(t, objs, connections, func(o plainObject) error {
			_, err := w.toOrg.Do(ctx, http.MethodPost, o.path, o.body)
			return err
		})
	}
	parallel(t, refs, connections, func(ref object.Ref) error {
		body, _, err := chef.WritableManifest(manifests[ref], 2, false)
		if err == nil {
			_, err = w.toOrg.Do(ctx, http.MethodPut, ref.Path(), body)
		}
		return err
	})
	return took + time.Since(began)
}

// copyFile gets a file from the primary and sends it to the replica.
func (w *pairFixture) copyFile(ctx context.Context, u chef.Upload, from string) error {
	content, size, err := w.fromOrg.Client().OpenFile(ctx, from)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	return w.toOrg.Client().UploadFile(ctx, u.URL, u.Checksum, func() (io.ReadCloser, int64, error) { return content, size, nil })
}

// plainObject is an object without files and the path at which it is created.
type plainObject struct {
	path string
	body []byte
}

// plainObjects returns the data bags, and the other objects without files.
func (w *pairFixture) plainObjects(t testing.TB) [2][]plainObject {
	t.Helper()
	var all [2][]plainObject
	var refs []object.Ref
	for path := range w.from.Snapshot() {
		ref, err := object.ParseRef(path)
		switch {
		case err != nil || ref.Kind == object.Cookbook || ref.Name == object.DefaultEnvironment:
		case ref.Kind == object.DataBag:
			all[0] = append(all[0], plainObject{"/data", fmt.Appendf(nil, `{"name":%q}`, ref.Name)})
		default:
			refs = append(refs, ref)
		}
	}
	found := w.source.GetBulk(t.Context(), refs, replication.BulkOptions{Listed: true, BodyBytes: 1 << 30})
	for _, ref := range refs {
		path := ref.Path()
		all[1] = append(all[1], plainObject{path[:strings.LastIndexByte(path, '/')], found[ref].Body})
	}
	if len(found) != len(refs) {
		t.Fatalf("%d of %d objects were read", len(found), len(refs))
	}
	return all
}

// measureFirstCopy returns the duration of a first copy, and its ratio to the duration of
// the unavoidable requests.
func measureFirstCopy(t testing.TB, s orgShape, delay time.Duration) (took time.Duration, ratio float64) {
	t.Helper()
	const connections = 10
	alone := newPairFixture(t, connections, delay)
	s.fillOrg(alone.from)
	least := runUnavoidable(t, alone, connections)
	w := newPairFixture(t, connections, delay)
	s.fillOrg(w.from)
	began := time.Now()
	w.mustPass(t, true)
	took = time.Since(began)
	return took, took.Seconds() / least.Seconds()
}

// TestDurationOfAFirstCopy uses a clock that only the delays of requests advance.
func TestDurationOfAFirstCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := orgShape{roles: 300, environments: 20, bags: 10, items: 60, versions: 35, cookbooks: 7, files: 8}
		took, ratio := measureFirstCopy(t, s, 20*time.Millisecond)
		t.Logf("%v, %.2f times the unavoidable requests", took, ratio)
		if ratio > 1.2 {
			t.Errorf("a first copy takes %.2f times as long as its unavoidable requests, want at most 1.2", ratio)
		}
	})
}

// BenchmarkFirstCopy copies an organization through servers with a fixed delay.
func BenchmarkFirstCopy(b *testing.B) {
	s := orgShape{roles: 300, environments: 20, bags: 10, items: 60, versions: 35, cookbooks: 7, files: 8}
	var sum float64
	for b.Loop() {
		_, ratio := measureFirstCopy(b, s, 20*time.Millisecond)
		sum += ratio
	}
	b.ReportMetric(sum/float64(b.N), "times-unavoidable")
}
