package endpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
)

// fixture is a primary and a replica with one organization each.
type fixture struct {
	t                *testing.T
	primary, replica *cheftest.Server
	from, to         *cheftest.Org
	source           *Source
	target           *Target
	log              bytes.Buffer
}

func newFixture(t *testing.T, options ...cheftest.Options) *fixture {
	t.Helper()
	w := &fixture{t: t, primary: cheftest.Start(t)}
	w.replica = cheftest.Start(t, options...)
	w.from, w.to = w.primary.AddOrg("acme"), w.replica.AddOrg("copy")
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	w.source = NewSource(newTestClient(t, w.primary, "primary").Org("acme"), log)
	w.target = NewTarget(newTestClient(t, w.replica, "replica").Org("copy"), TargetOptions{Log: log})
	return w
}

func newTestClient(t *testing.T, s *cheftest.Server, name string) *chef.Client {
	t.Helper()
	user, key := s.Superuser()
	c, err := chef.New(chef.Config{Name: name, URL: s.URL, User: user, Key: key,
		Retry: chef.RetryPolicy{Attempts: 3, Base: time.Millisecond, Max: 2 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mustGet returns an object of the primary.
func (w *fixture) mustGet(path string) object.Object {
	w.t.Helper()
	obj, err := w.source.Get(context.Background(), mustParseRef(w.t, path))
	if err != nil {
		w.t.Fatal(err)
	}
	return obj
}

// copyObject copies an object from the primary to the replica.
func (w *fixture) copyObject(path string, create bool) error {
	w.t.Helper()
	obj := w.mustGet(path)
	return w.target.Put(context.Background(), obj, create, sourceContent{w.source, obj})
}

// mustCopy copies an object and checks that it is then the same on both sides.
func (w *fixture) mustCopy(path string, create bool) {
	w.t.Helper()
	if err := w.copyObject(path, create); err != nil {
		w.t.Fatalf("put %s: %v", path, err)
	}
	w.wantSame(path)
}

func (w *fixture) wantSame(path string) {
	w.t.Helper()
	want, _, err := w.target.Expect(context.Background(), w.mustGet(path))
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := w.target.Get(context.Background(), mustParseRef(w.t, path))
	if err != nil || got.Fingerprint != want {
		w.t.Errorf("%s on the replica: fingerprint %q, error %v, want %q\n%s", path, got.Fingerprint, err, want, got.Body)
	}
	if damaged := w.to.DamagedCookbooks(); len(damaged) > 0 {
		w.t.Errorf("the replica lacks content: %v", damaged)
	}
}

// wantSameServers checks that both organizations have the same objects.
func (w *fixture) wantSameServers() {
	w.t.Helper()
	if diff := cmp.Diff(w.from.Snapshot(), w.to.Snapshot()); diff != "" {
		w.t.Errorf("the servers differ (-primary +replica):\n%s", diff)
	}
}

// sourceContent reads content directly from the primary.
type sourceContent struct {
	source *Source
	obj    object.Object
}

func (f sourceContent) Open(ctx context.Context, file object.File) (io.ReadCloser, int64, error) {
	return f.source.Open(ctx, f.obj, file)
}

func mustParseRef(t *testing.T, path string) object.Ref {
	t.Helper()
	r, err := object.ParseRef(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantClass(t *testing.T, err error, want fault.Class) *fault.Error {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Class != want {
		t.Fatalf("error %v of class %q, want class %q", err, fault.ClassOf(err), want)
	}
	return e
}

func refPaths(refs []object.Ref) []string {
	out := []string{}
	for _, r := range refs {
		out = append(out, r.Path())
	}
	return out
}

func wantStrings(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// requestLines returns the requests of a server as METHOD PATH, without file transfers and
// the negotiation of API versions.
func requestLines(s *cheftest.Server) []string {
	var out []string
	for _, r := range s.Requests() {
		if r.Path != "/server_api_version" {
			out = append(out, r.Method+" "+r.Path)
		}
	}
	return out
}
