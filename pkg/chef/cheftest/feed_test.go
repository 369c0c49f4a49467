package cheftest_test

import (
	"fmt"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
)

func TestTheFeed(t *testing.T) {
	w := newTestServer(t, cheftest.Options{UpdatedSince: true})
	w.wantStatus(200, "GET", "/updated_since?seq=0", "", "[]")
	w.wantStatus(201, "POST", "/roles", `{"name":"web"}`)
	w.wantStatus(200, "PUT", "/roles/web", `{}`) // changes nothing: no row
	w.wantStatus(200, "PUT", "/roles/web", `{"description":"d"}`)
	w.wantStatus(201, "POST", "/environments", `{"name":"prod"}`)
	w.wantStatus(201, "PUT", "/environments/prod", `{"name":"live"}`)
	w.wantStatus(201, "POST", "/data", `{"name":"bag"}`)
	w.wantStatus(201, "POST", "/data/bag", `{"id":"i"}`)
	w.wantStatus(201, "PUT", "/cookbooks/a/1.0.0", manifestJSON("a", "1.0.0", false, nil))
	w.wantStatus(409, "POST", "/roles", `{"name":"web"}`)
	w.wantStatus(200, "DELETE", "/cookbooks/a/1.0.0", "")
	w.wantStatus(200, "DELETE", "/data/bag", "")
	w.wantStatus(200, "DELETE", "/roles/web", "")
	var rows []string
	for _, r := range w.org.Feed() {
		rows = append(rows, fmt.Sprintf("%d %s %s", r.ID, r.Action, r.Path))
	}
	want := `1 create /roles/web
2 update /roles/web
3 create /environments/prod
4 delete /environments/prod
5 create /environments/live
6 create /data/bag
7 create /data/bag/i
8 create /cookbooks/a/1.0.0
9 delete /cookbooks/a/1.0.0
10 delete /data/bag
11 delete /roles/web`
	if got := strings.Join(rows, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r := w.wantStatus(200, "GET", "/updated_since?seq=10", "")
	if string(r.Body) != `[{"action":"delete","id":11,"path":"/roles/web"}]` {
		t.Errorf("seq is exclusive, got %s", r.Body)
	}
	w.wantStatus(400, "GET", "/updated_since?seq=x", "")
	w.srv.SetUpdatedSince(false)
	w.wantStatus(404, "GET", "/updated_since?seq=10", "", "<html>")
}

func TestFeedFaults(t *testing.T) {
	w := newTestServer(t, cheftest.Options{UpdatedSince: true})
	ids := func(seq int) string {
		w.Helper()
		r := w.wantStatus(200, "GET", fmt.Sprintf("/updated_since?seq=%d", seq), "")
		var out []string
		for part := range strings.SplitSeq(string(r.Body), `"id":`) {
			id, _, found := strings.Cut(part, ",")
			if found && !strings.HasPrefix(part, "[") {
				out = append(out, id)
			}
		}
		return strings.Join(out, " ")
	}
	add := func(names ...string) {
		for _, n := range names {
			w.org.PutRole(n, `{}`)
		}
	}
	add("a")
	w.org.SkipIDs(10)
	w.org.HoldBack(2)
	add("b", "c", "d")
	if got := ids(0); got != "1 14" {
		t.Errorf("with two rows held back: %s", got)
	}
	w.org.ReleaseRows()
	if got := ids(1); got != "12 13 14" {
		t.Errorf("released: %s", got)
	}
	w.org.RepeatRows()
	if got := ids(13); got != "14 14" {
		t.Errorf("repeated: %s", got)
	}
	w.org.TrimFeed(1)
	w.org.AddRow("frobnicate", "/unknown/thing")
	if got := ids(0); got != "14 15" {
		t.Errorf("trimmed: %s", got)
	}
	w.org.ResetFeed()
	add("e")
	if got := ids(0); got != "1" {
		t.Errorf("reset: %s", got)
	}
}

func TestSnapshotsAreEqualWhenContentIs(t *testing.T) {
	a, b := newTestServer(t), newTestServer(t)
	for i, w := range []*testServer{a, b} {
		w.org.PutRole("web", []string{`{"description":"d","run_list":[]}`, `{"run_list":[],"description":"d"}`}[i])
		w.org.PutDataBagItem("bag", "i", `{"n":1.50}`)
		w.org.PutEnvironment("prod", `{}`)
		w.org.PutCookbook("a", "1.0.0", map[string][]byte{"metadata.rb": []byte("x"), "a/b": nil}, true)
	}
	sa, sb := a.org.Snapshot(), b.org.Snapshot()
	if len(sa) != 5 || fmt.Sprint(sa) != fmt.Sprint(sb) {
		t.Errorf("%v\n%v", sa, sb)
	}
	b.org.PutCookbook("a", "1.0.0", map[string][]byte{"metadata.rb": []byte("y"), "a/b": nil}, true)
	b.org.DeleteRole("web")
	if sb = b.org.Snapshot(); sb["/cookbooks/a/1.0.0"] == sa["/cookbooks/a/1.0.0"] || sb["/roles/web"] != "" {
		t.Error("changes show")
	}
	if a.org.JSON("/data/bag/i") == nil || a.org.JSON("/data/bag/j") != nil {
		t.Error("JSON by path")
	}
}
