package endpoint

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// fillOrgMany adds n roles, n environments and two data bags of n items.
func fillOrgMany(o *cheftest.Org, n int) {
	for i := range n {
		o.PutRole(fmt.Sprintf("role-%04d", i), fmt.Sprintf(`{"description":"%d"}`, i))
		o.PutEnvironment(fmt.Sprintf("env-%04d", i), fmt.Sprintf(`{"description":"%d"}`, i))
		for _, bag := range []string{"one", "two"} {
			id := fmt.Sprintf("item-%04d", i)
			o.PutDataBagItem(bag, id, fmt.Sprintf(`{"id":"%s","n":%d.50,"bag":"%s"}`, id, i, bag))
		}
	}
}

// listedObjects returns all objects that a reader lists.
func listedObjects(t *testing.T, r replication.Reader) (refs []object.Ref) {
	t.Helper()
	for _, k := range object.DefaultKinds() {
		scopes := []object.Scope{{Kind: k}}
		for i := 0; i < len(scopes); i++ {
			list, err := r.List(t.Context(), scopes[i])
			if err != nil {
				t.Fatal(err)
			}
			for _, ref := range list {
				if ref.Kind == object.DataBag {
					scopes = append(scopes, object.Scope{Kind: object.DataBagItem, Name: ref.Name})
				}
			}
			refs = append(refs, list...)
		}
	}
	return refs
}

// getBulk reads listed objects. The result omits data bags, which take no request.
func getBulk(t *testing.T, r replication.Reader, refs []object.Ref) map[object.Ref]object.Object {
	t.Helper()
	found := r.GetBulk(t.Context(), refs, replication.BulkOptions{Listed: true, BodyBytes: 1 << 20})
	for _, ref := range refs {
		if _, ok := found[ref]; ref.Kind == object.DataBag && !ok {
			t.Errorf("%s was not found", ref)
		}
	}
	maps.DeleteFunc(found, func(ref object.Ref, _ object.Object) bool { return ref.Kind == object.DataBag })
	return found
}

// wantCurrent checks that the objects of a result equal those of a GET: all, or some of
// many.
func wantCurrent(t *testing.T, r replication.Reader, found map[object.Ref]object.Object) {
	t.Helper()
	looked := 0
	for ref, obj := range found {
		if looked++; looked > 50 {
			return
		}
		want, err := r.Get(context.Background(), ref)
		if err != nil || want.Fingerprint != obj.Fingerprint || obj.Ref != ref {
			t.Errorf("%s: the row is %s, a GET shows %s, %v", ref, obj.Body, want.Body, err)
		}
	}
}

// countRequests counts the requests below a path.
func countRequests(s *cheftest.Server, method, below string) (n int) {
	for _, m := range requestLines(s) {
		if rest, ok := strings.CutPrefix(m, method+" "); ok && strings.Contains(rest, below) {
			n++
		}
	}
	return n
}

func TestCollectionsAreReadBySearch(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	fillOrgMany(w.from, 300)
	refs := listedObjects(t, w.source)
	w.primary.ResetRequests()
	found := getBulk(t, w.source, refs)
	if all, checks := len(w.primary.Requests()), countRequests(w.primary, "GET", "/search/"); checks != 8 || all != checks+3 {
		t.Errorf("%d requests, %d of them searches: %q", all, checks, requestLines(w.primary))
	}
	for _, ref := range refs {
		switch _, ok := found[ref]; {
		case ok != (ref.Kind == object.Role || ref.Kind == object.Environment || ref.Kind == object.DataBagItem && ref.Name != "users"):
			t.Errorf("%s: found %v", ref, ok)
		case ok && found[ref].Body == nil:
			t.Errorf("%s has no body", ref)
		}
	}
	wantCurrent(t, w.source, found)
}

func TestFewObjectsAreNotSearchedFor(t *testing.T) {
	w := newFixture(t)
	fillOrgMany(w.from, 300)
	refs := listedObjects(t, w.source)
	few := append(refs[:5:5], refs[400:405]...)
	w.primary.ResetRequests()
	if found := w.source.GetBulk(t.Context(), few, replication.BulkOptions{}); len(found) != 0 || len(requestLines(w.primary)) != 0 {
		t.Errorf("found %d; requests %q", len(found), requestLines(w.primary))
	}
	some := refs[:40]
	for _, whole := range []bool{false, true} {
		found := w.source.GetBulk(t.Context(), some, replication.BulkOptions{Listed: whole, BodyBytes: 1 << 20})
		if searches := countRequests(w.primary, "GET", "/search/"); len(found) != len(some) || searches > 3 {
			t.Errorf("found %d of %d; requests %q", len(found), len(some), requestLines(w.primary))
		}
		wantCurrent(t, w.source, found)
	}
}

func TestBodiesBeyondTheLimitAreOmitted(t *testing.T) {
	w := newFixture(t)
	fillOrgMany(w.from, 20)
	found := w.source.GetBulk(t.Context(), listedObjects(t, w.source), replication.BulkOptions{Listed: true, BodyBytes: 3000})
	bodies, size := 0, 0
	for _, obj := range found {
		if obj.Body != nil {
			bodies, size = bodies+1, size+len(obj.Body)
		}
	}
	if len(found) != 80+2 || bodies == 0 || size > 3000 {
		t.Errorf("found %d, %d with bodies of %d bytes", len(found), bodies, size)
	}
	wantCurrent(t, w.source, found)
}

func TestBagsNamedLikeAnIndexAreNotSearched(t *testing.T) {
	w := newFixture(t)
	for _, bag := range []string{"role", "environment", "node", "client"} {
		for i := range 3 {
			w.from.PutDataBagItem(bag, fmt.Sprint("i", i), fmt.Sprintf(`{"id":"i%d"}`, i))
		}
	}
	w.primary.ResetRequests()
	refs := listedObjects(t, w.source)
	if found := getBulk(t, w.source, refs); len(found) != 0 || countRequests(w.primary, "GET", "/search/") != 0 {
		t.Errorf("found %v", found)
	}
}

// TestObjectsBeyondTheSearchWindowAreReadByName: pages end at the window, and queries with
// up to 100 names each find the rest.
func TestObjectsBeyondTheSearchWindowAreReadByName(t *testing.T) {
	for name, c := range map[string]struct {
		scope    object.Scope
		n        int
		put      func(o *cheftest.Org, name string)
		requests int // pages of the window, queries by name, a check of a row
	}{
		"10,150 items": {object.Scope{Kind: object.DataBagItem, Name: "large"}, 10_150,
			func(o *cheftest.Org, name string) { o.PutDataBagItem("large", name, `{"id":"`+name+`"}`) }, 40 + 2 + 1},
		"15,000 roles": {object.Scope{Kind: object.Role}, 15_000,
			func(o *cheftest.Org, name string) { o.PutRole(name, `{}`) }, 40 + 50 + 1},
		"10,150 roles of long names": {object.Scope{Kind: object.Role}, 10_150, // 36 names are 6 KB
			func(o *cheftest.Org, name string) { o.PutRole(name+strings.Repeat("x", 145), `{}`) }, 40 + 5 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t)
			for i := range c.n {
				c.put(w.from, fmt.Sprintf("object-%05d", i))
			}
			w.from.SetSearchWindow(10_000)
			refs, err := w.source.List(t.Context(), c.scope)
			if err != nil {
				t.Fatal(err)
			}
			w.primary.ResetRequests()
			found := getBulk(t, w.source, refs)
			if requests := len(requestLines(w.primary)); len(found) != c.n || requests != c.requests {
				t.Errorf("found %d of %d with %d requests, want %d", len(found), c.n, requests, c.requests)
			}
		})
	}
}

// TestFailedSearchOnlyReducesTheResult: the caller reads the other objects by GETs.
func TestFailedSearchOnlyReducesTheResult(t *testing.T) {
	all := func(*fixture) int { return 4 * 260 }
	for name, c := range map[string]struct {
		spoil func(*fixture)
		found func(*fixture) int
		most  int // requests
	}{
		"none":           {func(*fixture) {}, all, 8 + 3},
		"no search":      {func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 404}) }, noRequests, 4},
		"down":           {func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 500}) }, noRequests, 2},
		"a page of HTML": {func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", HTML: true}) }, noRequests, 2},
		"nothing":        {func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 200, EmptyBody: true}) }, noRequests, 2},
		"another answer": {func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 200, Body: `{"rows":[]}`}) },
			noRequests, 1},
		"not permitted": {func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 403}) }, noRequests, 1},
		"roles can't be": {func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/role", Status: 404}) },
			func(w *fixture) int { return all(w) - 260 }, 1 + 6 + 2},
		"later pages fail": {func(w *fixture) {
			w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 500,
				Match: func(r *http.Request) bool { return r.URL.Query().Get("start") != "0" }})
		}, all, 4 + 4*2 + 4 + 3},
		"rows are hidden": {func(w *fixture) {
			w.from.FreezeIndex()
			for i := range 100 {
				w.from.DropFromIndex("role", fmt.Sprintf("role-%04d", i))
			}
		}, func(w *fixture) int { return all(w) - 100 }, 7 + 3},
		"the index lags": {func(w *fixture) {
			w.from.FreezeIndex()
			w.from.PutRole("role-new", `{}`)
			w.from.DeleteRole("role-0001")
			w.from.PutRole("role-0002", `{"description":"changed"}`)
		}, func(w *fixture) int { return all(w) - 1 }, 8 + 3},
		"rows are nonsense": {spoilRows(`{}`), noRequests, 8},
		"rows are of others": {spoilRows(`{"name":"other","json_class":"Chef::DataBagItem","data_bag":"one",` +
			`"raw_data":{"id":"other"}}`), noRequests, 8},
		"rows of another time": {spoilRows(""), noRequests, 8 + 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t)
			fillOrgMany(w.from, 260)
			c.spoil(w)
			refs := listedObjects(t, w.source)
			w.primary.ResetRequests()
			found := getBulk(t, w.source, refs)
			if n := len(requestLines(w.primary)); len(found) != c.found(w) || n > c.most {
				t.Errorf("found %d, want %d; %d requests, want at most %d", len(found), c.found(w), n, c.most)
			}
			w.primary.ClearFaults()
			wantCurrent(t, w.source, found)
		})
	}
}

func noRequests(*fixture) int { return 0 }

// spoilRows replaces all rows by a row, or, if it is empty, by those before a change.
func spoilRows(row string) func(*fixture) {
	return func(w *fixture) {
		w.from.SpoilRows(func(_ string, real []byte) []byte {
			if row != "" {
				return []byte(row)
			}
			real = []byte(strings.Replace(string(real), `"description":"`, `"description":"old `, 1))
			return []byte(strings.Replace(string(real), `"n":`, `"n":1`, 1))
		})
	}
}

func TestFailedSearchIsRetriedLater(t *testing.T) {
	w := newFixture(t)
	fillOrgMany(w.from, 20)
	now := time.Unix(1_800_000_000, 0)
	w.source.search.now = func() time.Time { return now }
	refs := listedObjects(t, w.source)
	read := func() int {
		return len(getBulk(t, w.source, refs))
	}
	fault := w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 503})
	if n := read(); n != 0 || !strings.Contains(w.log.String(), "search can't be used") {
		t.Errorf("found %d; logged %s", n, w.log.String())
	}
	fault.Remove()
	w.primary.ResetRequests()
	if n := read(); n != 0 || len(requestLines(w.primary)) != 0 {
		t.Errorf("found %d with %q", n, requestLines(w.primary))
	}
	now = now.Add(searchPause)
	if n := read(); n != 80 {
		t.Errorf("found %d", n)
	}
}

// TestChangeDuringASearchDoesNotPauseIt: the object changes between search and check.
func TestChangeDuringASearchDoesNotPauseIt(t *testing.T) {
	w := newFixture(t)
	fillOrgMany(w.from, 20)
	refs := listedObjects(t, w.source)
	w.primary.Fault(cheftest.Fault{Method: "GET", Path: "/roles/*", Times: 1, Do: func(r *http.Request) {
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		w.from.PutRole(name, `{"description":"changed"}`)
	}})
	found := getBulk(t, w.source, refs)
	if len(found) != 80 {
		t.Errorf("found %d", len(found))
	}
	wantCurrent(t, w.source, found)
	if kinds := slicesOfKinds(found); kinds[object.Role] != 20 {
		t.Errorf("found %v", kinds)
	}
}

func slicesOfKinds(found map[object.Ref]object.Object) map[object.Kind]int {
	n := map[object.Kind]int{}
	for ref := range maps.Keys(found) {
		n[ref.Kind]++
	}
	return n
}
