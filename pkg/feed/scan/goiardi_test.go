package scan_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/object"
	"chefsync/pkg/store/sqlite"
)

// goiardiFixture is a fixture with goiardi as primary.
type goiardiFixture struct {
	*fixture
	goiardi *goiarditest.Server
}

func newGoiardiFixture(t *testing.T) *goiardiFixture {
	t.Helper()
	g := goiarditest.Start(t)
	w := &fixture{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), client: g.Client()}
	s, err := sqlite.OpenState(context.Background(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w.store = s.ChangeLogs()
	return &goiardiFixture{w, g}
}

func (l *goiardiFixture) mustDo(method, path, body string) {
	l.t.Helper()
	if _, err := l.client.Org("any").Do(context.Background(), method, path, []byte(body)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *goiardiFixture) fill() {
	l.mustDo("POST", "/roles", `{"name":"web","description":"one","run_list":["nginx"],"default_attributes":{"n":1.50,`+
		`"big":98765432109876543210}}`)
	l.mustDo("POST", "/roles", `{"name":"base","run_list":[]}`)
	l.mustDo("POST", "/environments", `{"name":"prod","cookbook_versions":{"apt":"= 1.0.0"}}`)
	l.mustDo("POST", "/environments", `{"name":"test"}`)
	l.mustDo("POST", "/data", `{"name":"users"}`)
	l.mustDo("POST", "/data/users", `{"id":"alice","nested":{"a":[1,2.5,null],"<tag>":"é"}}`)
	l.mustDo("POST", "/data/users", `{"id":"bob","chef_type":"data_bag_item","data_bag":"users"}`)
	l.mustDo("POST", "/data", `{"name":"empty"}`)
	l.putCookbook("1.0.0", "one", false)
	l.putCookbook("2.0.0", "two", true)
}

// putCookbook copies a version from another server, as replication does.
func (l *goiardiFixture) putCookbook(version, text string, frozen bool) {
	l.t.Helper()
	from := cheftest.Start(l.t)
	from.AddOrg("o").PutCookbook("apt", version, cookbookFiles(text), frozen)
	user, key := from.Superuser()
	source := endpoint.NewSource(newClient(l.t, chef.Config{Name: "from", URL: from.URL, User: user, Key: key}).Org("o"), nil)
	obj, err := source.Get(context.Background(), object.Ref{Kind: object.Cookbook, Name: "apt", Sub: version})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := endpoint.NewTarget(l.client.Org("any"), endpoint.TargetOptions{}).Put(context.Background(), obj, true,
		sourceContent{source, obj}); err != nil {
		l.t.Fatal(err)
	}
}

func TestGoiardiScan(t *testing.T) {
	l := newGoiardiFixture(t)
	l.fill()
	l.beginChangeLog()
	if r := l.scanAndWantRows(); r.Found != 6 {
		t.Errorf("search found %d of 6: %+v", r.Found, r)
	}
	inBulk := endpoint.NewSource(l.client.Org("any"), nil)
	l.config.Reader = withoutBulk{inBulk}
	l.scanAndWantRows() // GET and search return the same
	l.config.Reader = inBulk

	l.mustDo("PUT", "/roles/web", `{"name":"web","description":"two","run_list":["nginx"]}`)
	l.mustDo("PUT", "/environments/prod", `{"name":"prod","description":"two"}`)
	l.mustDo("PUT", "/data/users/bob", `{"id":"bob","n":3}`)
	l.mustDo("POST", "/data/users", `{"id":"carol"}`)
	l.putCookbook("1.0.0", "in place", false)
	l.scanAndWantRows("update /data/users/bob", "create /data/users/carol", "update /roles/web", "update /cookbooks/apt/1.0.0",
		"update /environments/prod")
	l.mustDo("DELETE", "/roles/base", "")
	l.mustDo("DELETE", "/environments/test", "")
	l.mustDo("DELETE", "/data/users", "")
	l.mustDo("DELETE", "/cookbooks/apt/2.0.0", "")
	l.scanAndWantRows("delete /environments/test", "delete /cookbooks/apt/2.0.0", "delete /roles/base", "delete /data/users/carol",
		"delete /data/users/bob", "delete /data/users/alice", "delete /data/users")
	l.scanAndWantRows()
}

// TestGoiardiRevertsToAnEarlierState: after it was killed, it restarts
// with the objects of a second or more before. The scanner finds the difference.
func TestGoiardiRevertsToAnEarlierState(t *testing.T) {
	l := newGoiardiFixture(t)
	l.fill()
	l.goiardi.Restart() // a regular stop saves everything
	l.beginChangeLog()
	for attempt := range 5 {
		name := fmt.Sprintf("lost%d", attempt)
		l.mustDo("PUT", "/roles/web", fmt.Sprintf(`{"name":"web","description":"lost %d"}`, attempt))
		l.mustDo("POST", "/roles", fmt.Sprintf(`{"name":%q}`, name))
		l.mustDo("POST", "/data/users", fmt.Sprintf(`{"id":%q}`, name))
		l.mustScan()
		if got := l.newRows(); !slices.Contains(got, "create /roles/"+name) || !slices.Contains(got, "update /roles/web") {
			t.Fatalf("before the kill: %q", got)
		}
		l.goiardi.Kill()
		l.goiardi.Restart()
		l.mustScan()
		got := l.newRows()
		if len(got) == 0 {
			continue // it had saved everything before: try again
		}
		for _, want := range []string{"update /roles/web", "delete /roles/" + name, "delete /data/users/" + name} {
			if !slices.Contains(got, want) {
				t.Errorf("after the kill: %q lacks %s", got, want)
			}
		}
		l.scanAndWantRows()
		return
	}
	t.Error("goiardi never lost anything")
}
