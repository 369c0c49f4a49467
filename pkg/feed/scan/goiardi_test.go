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

// live is a goiardi with a journal.
type live struct {
	*world
	goiardi *goiarditest.Server
}

func newLive(t *testing.T) *live {
	t.Helper()
	g := goiarditest.Start(t)
	w := &world{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), client: g.Client()}
	s, err := sqlite.OpenState(context.Background(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w.store = s.Journals()
	return &live{w, g}
}

func (l *live) do(method, path, body string) {
	l.t.Helper()
	if _, err := l.client.Org("any").Do(context.Background(), method, path, []byte(body)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *live) fill() {
	l.do("POST", "/roles", `{"name":"web","description":"one","run_list":["nginx"],"default_attributes":{"n":1.50,"big":98765432109876543210}}`)
	l.do("POST", "/roles", `{"name":"base","run_list":[]}`)
	l.do("POST", "/environments", `{"name":"prod","cookbook_versions":{"apt":"= 1.0.0"}}`)
	l.do("POST", "/environments", `{"name":"test"}`)
	l.do("POST", "/data", `{"name":"users"}`)
	l.do("POST", "/data/users", `{"id":"alice","nested":{"a":[1,2.5,null],"<tag>":"é"}}`)
	l.do("POST", "/data/users", `{"id":"bob","chef_type":"data_bag_item","data_bag":"users"}`)
	l.do("POST", "/data", `{"name":"empty"}`)
	l.cookbook("1.0.0", "one", false)
	l.cookbook("2.0.0", "two", true)
}

// cookbook writes a version by way of another server, as replication does.
func (l *live) cookbook(version, text string, frozen bool) {
	l.t.Helper()
	from := cheftest.Start(l.t)
	from.AddOrg("o").PutCookbook("apt", version, files(text), frozen)
	user, key := from.Superuser()
	source := endpoint.NewSource(newClient(l.t, chef.Config{Name: "from", URL: from.URL, User: user, Key: key}).Org("o"), nil)
	obj, err := source.Get(context.Background(), object.Ref{Kind: object.Cookbook, Name: "apt", Sub: version})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := endpoint.NewTarget(l.client.Org("any"), endpoint.TargetOptions{}).Put(context.Background(), obj, true, content{source, obj}); err != nil {
		l.t.Fatal(err)
	}
}

func TestGoiardiIsScanned(t *testing.T) {
	l := newLive(t)
	l.fill()
	l.begin()
	if r := l.scanWants(); r.Found != 6 {
		t.Errorf("search found %d of 6: %+v", r.Found, r)
	}
	inBulk := endpoint.NewSource(l.client.Org("any"), nil)
	l.config.Reader = singly{inBulk}
	l.scanWants() // what GET shows is what search showed
	l.config.Reader = inBulk

	l.do("PUT", "/roles/web", `{"name":"web","description":"two","run_list":["nginx"]}`)
	l.do("PUT", "/environments/prod", `{"name":"prod","description":"two"}`)
	l.do("PUT", "/data/users/bob", `{"id":"bob","n":3}`)
	l.do("POST", "/data/users", `{"id":"carol"}`)
	l.cookbook("1.0.0", "in place", false)
	l.scanWants("update /data/users/bob", "create /data/users/carol", "update /roles/web", "update /cookbooks/apt/1.0.0", "update /environments/prod")
	l.do("DELETE", "/roles/base", "")
	l.do("DELETE", "/environments/test", "")
	l.do("DELETE", "/data/users", "")
	l.do("DELETE", "/cookbooks/apt/2.0.0", "")
	l.scanWants("delete /environments/test", "delete /cookbooks/apt/2.0.0", "delete /roles/base", "delete /data/users/carol",
		"delete /data/users/bob", "delete /data/users/alice", "delete /data/users")
	l.scanWants()
}

// TestGoiardiTravelsBackInTime: killed, it comes back as it was a second or more
// before. The scanner notices, and brings the journal's readers back with it.
func TestGoiardiTravelsBackInTime(t *testing.T) {
	l := newLive(t)
	l.fill()
	l.goiardi.Restart() // a clean stop writes everything
	l.begin()
	for attempt := range 5 {
		name := fmt.Sprintf("lost%d", attempt)
		l.do("PUT", "/roles/web", fmt.Sprintf(`{"name":"web","description":"lost %d"}`, attempt))
		l.do("POST", "/roles", fmt.Sprintf(`{"name":%q}`, name))
		l.do("POST", "/data/users", fmt.Sprintf(`{"id":%q}`, name))
		l.scan()
		if got := l.rows(); !slices.Contains(got, "create /roles/"+name) || !slices.Contains(got, "update /roles/web") {
			t.Fatalf("before the kill: %q", got)
		}
		l.goiardi.Kill()
		l.goiardi.Restart()
		l.scan()
		got := l.rows()
		if len(got) == 0 {
			continue // it had written everything in time: try again
		}
		for _, want := range []string{"update /roles/web", "delete /roles/" + name, "delete /data/users/" + name} {
			if !slices.Contains(got, want) {
				t.Errorf("after the kill: %q lacks %s", got, want)
			}
		}
		l.scanWants()
		return
	}
	t.Error("goiardi never lost anything")
}
