package serve

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/feed"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

// testServer is a primary, a change log of its organization, and the served feed.
type testServer struct {
	t       *testing.T
	primary *cheftest.Server
	org     *cheftest.Org
	path    string
	store   changelog.ScanStore
	config  Config
	url     string
	close   func()
	now     time.Time
	log     bytes.Buffer
}

func newTestServer(t *testing.T, options ...cheftest.Options) *testServer {
	t.Helper()
	w := &testServer{t: t, primary: cheftest.Start(t, options...), path: filepath.Join(t.TempDir(), "state.db"), now: time.Now()}
	orgless := len(options) > 0 && options[0].Orgless
	user, key := w.primary.Superuser()
	c, err := chef.New(chef.Config{Name: "primary", URL: w.primary.URL, User: user, Key: key, Orgless: orgless,
		Retry: chef.RetryPolicy{Attempts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	w.config = Config{Principals: NewPrimary(func(context.Context) (*chef.Client, error) { return c, nil },
		func() time.Time { return w.now }), Sources: map[string]string{"acme": "src", "early": "none"},
		Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(&w.log, nil))}
	if orgless {
		w.org, w.config.Sources = w.primary.Org(""), map[string]string{"": "src"}
	} else {
		w.org = w.primary.AddOrg("acme")
		w.primary.AddOrg("early")
	}
	w.start()
	t.Cleanup(func() { w.close() })
	lease, err := w.store.Acquire(t.Context(), "src", "test", w.now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Commit(t.Context(), "src", lease.Lease.Fence, w.now, changelog.ScanUpdate{Begin: "e"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// start serves the change log, from its file, at a new port.
func (w *testServer) start() {
	w.t.Helper()
	s, err := sqlite.OpenState(context.Background(), w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s.ChangeLogs()
	c := w.config
	c.Store = w.store
	h, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	w.url = srv.URL
	w.close = func() { srv.Close(); _ = s.Close() }
}

func (w *testServer) restart() {
	w.t.Helper()
	w.close()
	w.start()
}

func (w *testServer) addRows(paths ...string) {
	w.t.Helper()
	var changes []changelog.Change
	for _, p := range paths {
		changes = append(changes, changelog.Change{Action: changelog.Update, Path: p})
	}
	if _, err := w.store.Append(w.t.Context(), "src", w.now, changes); err != nil {
		w.t.Fatal(err)
	}
}

// client is our own client at the served feed.
func (w *testServer) client(user string, key *rsa.PrivateKey, orgless bool) *chef.Client {
	w.t.Helper()
	c, err := chef.New(chef.Config{Name: "feed", URL: w.url, User: user, Key: key, Orgless: orgless,
		Now: func() time.Time { return w.now }, Retry: chef.RetryPolicy{Attempts: 1}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *testServer) getPath(user string, key *rsa.PrivateKey, path string) (*chef.Answer, error) {
	w.t.Helper()
	return w.client(user, key, false).Do(w.t.Context(), http.MethodGet, path, nil)
}

const feedPath = "/organizations/acme/updated_since"

// orgGetter is how the feed reads through a client.
type orgGetter struct{ org *chef.Org }

func (g orgGetter) Get(ctx context.Context, path string) ([]byte, error) {
	a, err := g.org.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return a.Body, nil
}

func isAbsent(err error) bool { return chef.KindOf(err) == chef.KindAbsent }

func TestMembersReadTheRows(t *testing.T) {
	w := newTestServer(t)
	key := w.org.AddClient("reader")
	w.addRows("/roles/a:b", "/data/<x>&y")
	first := w.now.UnixMilli()
	for query, want := range map[string]string{
		"":                          fmt.Sprintf(`{"action":"begin","id":%d,"path":"/"},`, first) + rowsFrom(first),
		"seq=0":                     fmt.Sprintf(`{"action":"begin","id":%d,"path":"/"},`, first) + rowsFrom(first),
		fmt.Sprint("seq=", first):   rowsFrom(first),
		fmt.Sprint("seq=", first+2): "",
		"seq=9999999999999999":      "",
	} {
		a, err := w.getPath("reader", key, feedPath+"?"+query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := strings.ReplaceAll(string(a.Body), "\n", ""); got != "["+want+"]" {
			t.Errorf("%s:\n got %s\nwant [%s]", query, got, want)
		}
		if h := a.Header; h.Get("X-Chef-Sync-Epoch") != "e" || h.Get("X-Chef-Sync-Oldest") != fmt.Sprint(first) ||
			h.Get("X-Chef-Sync-Newest") != fmt.Sprint(first+2) ||
			h.Get("X-Ops-Server-Api-Version") != `{"min_version":"0","max_version":"2","request_version":"2","response_version":"2"}` ||
			h.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", h)
		}
	}
}

func rowsFrom(first int64) string {
	return fmt.Sprintf(`{"action":"update","id":%d,"path":"/roles/a:b"},{"action":"update","id":%d,"path":"/data/<x>&y"}`, first+1, first+2)
}

func TestNonMembersAreRefusedAsByAChefServer(t *testing.T) {
	w := newTestServer(t)
	key := w.org.AddClient("reader")
	outsider, member := w.primary.AddUser("outsider"), w.primary.AddUser("member")
	w.org.Associate("member")
	superName, superKey := w.primary.Superuser()
	for name, c := range map[string]struct {
		user, path string
		key        *rsa.PrivateKey
		status     int
		kind       chef.Kind
		text       string
	}{
		"a client":                      {user: "reader", key: key},
		"a member":                      {user: "member", key: member},
		"the name in old documentation": {user: "reader", key: key, path: "/organizations/acme/objects_since?seq=0"},
		"the superuser":                 {user: superName, key: superKey},
		"a user without rights": {user: "outsider", key: outsider, status: 403, kind: chef.KindNotMember,
			text: "'outsider' not associated with organization 'acme'"},
		"the key of another": {user: "reader", key: outsider, status: 401, kind: chef.KindKey,
			text: "Invalid signature for user or client 'reader'"},
		"nobody": {user: "nobody", key: key, status: 401, kind: chef.KindKey,
			text: "Failed to authenticate as 'nobody'. Ensure that your node_name and client key are correct."},
		"a strange name": {user: "../users/x", key: key, status: 401, kind: chef.KindKey,
			text: "Failed to authenticate as '../users/x'."},
		"another organization": {user: "reader", key: key, path: "/organizations/other/updated_since", status: 404,
			kind: chef.KindOrgMissing, text: "organization 'other' does not exist."},
		"another path": {user: "reader", key: key, path: "/organizations/acme/roles", status: 404, kind: chef.KindAbsent,
			text: "Object not found"},
		"no seq": {user: "reader", key: key, path: feedPath + "?seq=x", status: 400, kind: chef.KindInvalid,
			text: "invalid 'seq' value"},
		"a negative seq": {user: "reader", key: key, path: feedPath + "?seq=-1", status: 400, kind: chef.KindInvalid,
			text: "invalid 'seq' value"},
		"a change log yet to come": {user: superName, key: superKey, path: "/organizations/early/updated_since", status: 404,
			kind: chef.KindAbsent, text: "not recorded yet"},
		"a client of another org": {user: "reader", key: key, path: "/organizations/early/updated_since", status: 401,
			kind: chef.KindKey, text: "Failed to authenticate"},
	} {
		if c.path == "" {
			c.path = feedPath
		}
		w.now = w.now.Add(lookupEvery)
		_, err := w.getPath(c.user, c.key, c.path)
		var e *chef.Error
		if errors.As(err, &e) != (c.status != 0) || e != nil &&
			(e.Status != c.status || e.Kind != c.kind || !strings.Contains(e.Message, c.text)) {
			t.Errorf("%s: %v, want %d %s: %s", name, err, c.status, c.kind, c.text)
		}
	}
	w.config.Only = []string{"member"}
	w.restart()
	if _, err := w.getPath("reader", key, feedPath); chef.KindOf(err) != chef.KindPermission {
		t.Errorf("not among those who may: %v", err)
	}
	if _, err := w.getPath("member", member, feedPath); err != nil {
		t.Errorf("among those who may: %v", err)
	}
}

func TestHeadersAreCheckedAsByAChefServer(t *testing.T) {
	w := newTestServer(t)
	for name, c := range map[string]struct {
		method, path string
		headers      map[string]string
		status       int
		text         string
	}{
		"unsigned": {"GET", feedPath, nil, 400,
			"missing required authentication header(s) 'X-Ops-UserId', 'X-Ops-Timestamp'"},
		"version 9": {"GET", feedPath, map[string]string{"X-Ops-Server-API-Version": "9"}, 406,
			`"min_version":0,"max_version":2`},
		"version x": {"GET", feedPath, map[string]string{"X-Ops-Server-API-Version": `"`}, 406,
			`invalid-x-ops-server-api-version`},
		"an unknown organization comes first": {"GET", "/organizations/no/updated_since", nil, 404, "organization 'no' does not exist."},
		"no such path":                        {"GET", "/", nil, 404, "Object not found"},
		"POST":                                {"POST", feedPath, nil, 405, "Method not allowed"},
	} {
		q, err := http.NewRequest(c.method, w.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range c.headers {
			q.Header.Set(k, v)
		}
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(a.Body)
		_ = a.Body.Close()
		if a.StatusCode != c.status || !strings.Contains(string(body), c.text) || a.Header.Get("X-Ops-Server-API-Version") == "" {
			t.Errorf("%s: %d %s, header %q", name, a.StatusCode, body, a.Header.Get("X-Ops-Server-API-Version"))
		}
	}
	key := w.org.AddClient("reader")
	c := w.client("reader", key, false)
	w.now = w.now.Add(901 * time.Second)
	clock := w.now
	w.now = clock.Add(-901 * time.Second)
	skewed, err := chef.New(chef.Config{URL: w.url, User: "reader", Key: key, Now: func() time.Time { return clock },
		Retry: chef.RetryPolicy{Attempts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := skewed.Do(t.Context(), "GET", feedPath, nil); chef.KindOf(err) != chef.KindClockSkew {
		t.Errorf("a clock 901 s ahead: %v", err)
	}
	if _, err := c.Do(t.Context(), "GET", feedPath, nil); err != nil {
		t.Error(err)
	}
}

func TestPrincipalsAreCached(t *testing.T) {
	w := newTestServer(t)
	old := w.org.AddClient("reader")
	lookups := func() (n int) {
		for _, r := range w.primary.Requests() {
			if strings.Contains(r.Path, "/principals/") {
				n++
			}
		}
		w.primary.ResetRequests()
		return n
	}
	read := func(key *rsa.PrivateKey) error { _, err := w.getPath("reader", key, feedPath); return err }
	for range 5 {
		if err := read(old); err != nil {
			t.Fatal(err)
		}
	}
	if n := lookups(); n != 1 {
		t.Errorf("%d lookups for five requests", n)
	}
	w.now = w.now.Add(time.Minute)
	fresh := w.org.AddClient("reader") // a new key: looked up again at once
	if err := read(fresh); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if n := lookups(); n != 1 {
		t.Errorf("%d lookups for a new key", n)
	}
	for range 5 {
		if err := read(old); chef.KindOf(err) != chef.KindKey {
			t.Errorf("the old key: %v", err)
		}
	}
	if n := lookups(); n != 0 {
		t.Errorf("%d lookups for bad signatures within ten seconds", n)
	}
	w.org.DeleteClient("reader")
	w.now = w.now.Add(6 * time.Minute)
	if err := read(fresh); chef.KindOf(err) != chef.KindKey {
		t.Errorf("a deleted client: %v", err)
	}
	w.primary.SetMaintenance(true)
	w.now = w.now.Add(6 * time.Minute)
	if err := read(fresh); chef.KindOf(err) != chef.KindUnavailable {
		t.Errorf("while the primary is down: %v, want 503", err)
	}
}

func TestConfiguredKeysNeedNoPrimary(t *testing.T) {
	w := newTestServer(t)
	key := w.org.AddClient("reader")
	w.config.Principals = Keys{"poller": &key.PublicKey}
	w.restart()
	w.primary.SetMaintenance(true)
	if _, err := w.getPath("poller", key, feedPath); err != nil {
		t.Error(err)
	}
	if _, err := w.getPath("reader", key, feedPath); chef.KindOf(err) != chef.KindKey {
		t.Errorf("a name that isn't configured: %v", err)
	}
}

// TestOurFeedReadsEveryChangeOnceInOrder polls through our client, across
// restarts of the served feed.
func TestOurFeedReadsEveryChangeOnceInOrder(t *testing.T) {
	for name, o := range map[string]cheftest.Options{"organizations": {},
		"like goiardi": {Orgless: true, MaxAPIVersion: 1, LenientVersion: true, EmptyUnknown: true, NoFrontEnd: true}} {
		t.Run(name, func(t *testing.T) {
			w := newTestServer(t, o)
			key := w.org.AddClient("reader")
			poll := func(after int64) (replication.Rows, error) {
				return feed.NewUpdatedSince(orgGetter{w.client("reader", key, o.Orgless).Org("acme")}, isAbsent).Read(t.Context(), max(0, after-100))
			}
			rows, err := poll(0)
			if err != nil {
				t.Fatal(err)
			}
			_, pos, err := replication.Continue(replication.Position{}, rows, 100)
			if err != nil || pos.Seq == 0 {
				t.Fatalf("first position %+v, %v", pos, err)
			}
			var want, got []string
			for n := range 40 {
				var paths []string
				for i := range rand.IntN(5) {
					paths = append(paths, fmt.Sprintf("/roles/r%d-%d", n, i))
				}
				w.addRows(paths...)
				want = append(want, paths...)
				if n%7 == 3 {
					w.restart()
				}
				rows, err := poll(pos.Seq)
				if err != nil {
					t.Fatal(err)
				}
				fresh, next, err := replication.Continue(pos, rows, 100)
				if err != nil {
					t.Fatal(err)
				}
				pos = next
				for _, c := range fresh {
					got = append(got, c.Path)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d changes seen, %d made", len(got), len(want))
			}
			// Away for longer than rows are kept.
			w.addRows("/roles/missed", "/roles/kept")
			if _, err := w.store.Trim(t.Context(), "src", w.now.Add(-time.Hour), 1); err != nil {
				t.Fatal(err)
			}
			rows, err = poll(pos.Seq)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := replication.Continue(pos, rows, 100); !errors.Is(err, replication.ErrPositionLost) {
				t.Errorf("rows were dropped: %v, want ErrPositionLost", err)
			}
		})
	}
}

func TestLongChangeLogIsServedCompletely(t *testing.T) {
	w := newTestServer(t)
	key := w.org.AddClient("reader")
	for n := range 40 {
		var paths []string
		for i := range changelog.MaxAppend {
			paths = append(paths, fmt.Sprintf("/roles/r%d-%d", n, i))
		}
		w.addRows(paths...)
	}
	a, err := w.getPath("reader", key, feedPath)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := feed.DecodeRows(a.Body)
	if err != nil || len(changes) != 40*changelog.MaxAppend+1 {
		t.Errorf("%d rows, %v", len(changes), err)
	}
}

func TestNewNeedsItsDependencies(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no error for an empty configuration")
	}
}
