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
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// world is a primary and a replica with one organization each.
type world struct {
	t                *testing.T
	primary, replica *cheftest.Server
	from, to         *cheftest.Org
	source           *Source
	target           *Target
	log              bytes.Buffer
}

func newWorld(t *testing.T, options ...cheftest.Options) *world {
	t.Helper()
	w := &world{t: t, primary: cheftest.Start(t)}
	w.replica = cheftest.Start(t, options...)
	w.from, w.to = w.primary.AddOrg("acme"), w.replica.AddOrg("copy")
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	w.source = NewSource(client(t, w.primary, "primary").Org("acme"), log)
	w.target = NewTarget(client(t, w.replica, "replica").Org("copy"), TargetOptions{Log: log})
	return w
}

func client(t *testing.T, s *cheftest.Server, name string) *chef.Client {
	t.Helper()
	user, key := s.Superuser()
	c, err := chef.New(chef.Config{Name: name, URL: s.URL, User: user, Key: key,
		Retry: chef.RetryPolicy{Attempts: 3, Base: time.Millisecond, Max: 2 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// get reads an object from the primary.
func (w *world) get(path string) object.Object {
	w.t.Helper()
	obj, err := w.source.Get(context.Background(), ref(w.t, path))
	if err != nil {
		w.t.Fatal(err)
	}
	return obj
}

// put copies an object from the primary to the replica.
func (w *world) put(path string, create bool) error {
	w.t.Helper()
	obj := w.get(path)
	return w.target.Put(context.Background(), obj, create, fromSource{w.source, obj})
}

// mustPut copies an object and demands that both sides then hold the same.
func (w *world) mustPut(path string, create bool) {
	w.t.Helper()
	if err := w.put(path, create); err != nil {
		w.t.Fatalf("put %s: %v", path, err)
	}
	w.same(path)
}

func (w *world) same(path string) {
	w.t.Helper()
	want, _, err := w.target.Expect(context.Background(), w.get(path))
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := w.target.Get(context.Background(), ref(w.t, path))
	if err != nil || got.Fingerprint != want {
		w.t.Errorf("%s on the replica: fingerprint %q, error %v, want %q\n%s", path, got.Fingerprint, err, want, got.Body)
	}
	if torn := w.to.DamagedCookbooks(); len(torn) > 0 {
		w.t.Errorf("the replica lacks content: %v", torn)
	}
}

// sameServers demands that both organizations hold the same.
func (w *world) sameServers() {
	w.t.Helper()
	if diff := cmp.Diff(w.from.Snapshot(), w.to.Snapshot()); diff != "" {
		w.t.Errorf("the servers differ (-primary +replica):\n%s", diff)
	}
}

// fromSource is content straight from the primary.
type fromSource struct {
	source *Source
	obj    object.Object
}

func (f fromSource) Open(ctx context.Context, file object.File) (io.ReadCloser, int64, error) {
	return f.source.Open(ctx, f.obj, file)
}

func ref(t *testing.T, path string) object.Ref {
	t.Helper()
	r, err := object.ParseRef(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantClass(t *testing.T, err error, want replication.Class) *replication.Error {
	t.Helper()
	var e *replication.Error
	if !errors.As(err, &e) || e.Class != want {
		t.Fatalf("error %v of class %q, want class %q", err, replication.ClassOf(err), want)
	}
	return e
}

func paths(refs []object.Ref) []string {
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

// methods lists the requests of a server as METHOD PATH, without file transfers
// and the question for versions.
func methods(s *cheftest.Server) []string {
	var out []string
	for _, r := range s.Requests() {
		if r.Path != "/server_api_version" {
			out = append(out, r.Method+" "+r.Path)
		}
	}
	return out
}
