package scan_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func TestTheFirstScanFillsTheMemoryAndBeginsTheJournal(t *testing.T) {
	w := newWorld(t)
	w.fill()
	if _, err := journal.Feed(w.store, source).Read(t.Context(), 0); !errors.Is(err, replication.ErrNoFeed) {
		t.Errorf("before the first scan: %v, want ErrNoFeed", err)
	}
	w.begin()
	w.scanWants()
}

func TestChangesBecomeRows(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	w.org.PutRole("new", `{}`)
	w.org.PutEnvironment("new", `{}`)
	w.org.PutDataBagItem("new", "i", `{"id":"i"}`)
	w.org.PutDataBagItem("users", "carol", `{"id":"carol"}`)
	w.org.PutCookbook("new", "1.0.0", files("n"), true)
	w.scanWants("create /data/new", "create /data/new/i", "create /data/users/carol", "create /roles/new",
		"create /cookbooks/new/1.0.0", "create /environments/new")

	w.org.PutRole("web", `{"description":"changed"}`)
	w.org.PutEnvironment("prod", `{"description":"changed"}`)
	w.org.PutDataBagItem("users", "bob", `{"id":"bob","n":3}`)
	w.org.PutDataBagItem("one", "only", `{"id":"only","n":3}`)
	w.org.PutCookbook("apt", "1.0.0", files("re-uploaded in place"), false)
	w.scanWants("update /data/one/only", "update /data/users/bob", "update /roles/web", "update /cookbooks/apt/1.0.0", "update /environments/prod")

	w.org.PutCookbook("apt", "1.0.0", files("re-uploaded in place"), true)
	w.scanWants("update /cookbooks/apt/1.0.0") // frozen

	w.org.DeleteRole("new")
	w.org.DeleteEnvironment("new")
	w.org.DeleteDataBagItem("users", "carol")
	w.org.DeleteDataBag("new")
	w.org.DeleteCookbook("new", "1.0.0")
	w.scanWants("delete /environments/new", "delete /cookbooks/new/1.0.0", "delete /roles/new",
		"delete /data/users/carol", "delete /data/new/i", "delete /data/new")
	w.scanWants()
}

func TestDeletedAndCreatedAgainBetweenScans(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	w.org.DeleteRole("web")
	w.org.PutRole("web", `{"description":"another"}`)
	w.org.DeleteDataBag("users")
	w.org.PutDataBagItem("users", "alice", `{"id":"alice","n":"another"}`)
	w.org.DeleteCookbook("apt", "1.0.0")
	w.org.PutCookbook("apt", "1.0.0", files("another"), false)
	w.scanWants("update /data/users/alice", "update /roles/web", "update /cookbooks/apt/1.0.0", "delete /data/users/bob")
	// What is as before needs no row.
	w.org.DeleteRole("web")
	w.org.PutRole("web", `{"description":"another"}`)
	w.scanWants()
}

func TestSearchThatFindsTooLittleCostsOnlyRequests(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"a lagging index":     func(w *world) { w.org.FreezeIndex() },
		"lost index entries":  func(w *world) { w.org.FreezeIndex(); w.org.DropFromIndex("role", "web") },
		"search answers 500":  func(w *world) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 500}) },
		"search answers 404":  func(w *world) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 404}) },
		"search answers 400":  func(w *world) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 400}) },
		"a proxy answers":     func(w *world) { w.primary.Fault(cheftest.Fault{Path: "/search/*", HTML: true}) },
		"search is cut short": func(w *world) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Truncate: true}) },
		"search answers {}":   func(w *world) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 200, Body: `{}`}) },
		"rows without names": func(w *world) {
			w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 200, Body: `{"total":1,"start":0,"rows":[{},3,null]}`})
		},
		"ghosts in the index": func(w *world) { w.org.PutRole("ghost", `{}`); w.org.FreezeIndex(); w.org.DeleteRole("ghost") },
		"search hides all rows": func(w *world) {
			w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 200, Body: `{"total":0,"start":0,"rows":[]}`})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.begin()
			spoil(w)
			w.scanWants()
			w.org.PutRole("new", `{}`)
			w.org.PutRole("web", `{"description":"changed"}`)
			w.org.PutDataBagItem("users", "alice", `{"id":"alice","n":5}`)
			w.org.DeleteRole("base")
			w.scanWants("update /data/users/alice", "create /roles/new", "update /roles/web", "delete /roles/base")
		})
	}
}

func TestWithoutBulkReadsAllIsReadOneByOne(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.config.Reader = singly{endpoint.NewSource(w.client.Org("acme"), nil)}
	w.begin()
	w.org.PutDataBagItem("users", "alice", `{"id":"alice","n":5}`)
	w.scanWants("update /data/users/alice")
}

func TestBagsNamedLikeAnIndexAreNotSearched(t *testing.T) {
	w := newWorld(t)
	w.fill()
	for _, bag := range []string{"role", "environment", "node", "client"} {
		w.org.PutDataBagItem(bag, "web", `{"id":"web"}`)
		w.org.PutDataBagItem(bag, "prod", `{"id":"prod"}`)
	}
	w.begin()
	w.org.PutDataBagItem("role", "web", `{"id":"web","n":1}`)
	w.asked()
	w.scanWants("update /data/role/web")
	for _, r := range w.asked() {
		if strings.Contains(r, "/search/node") || strings.Contains(r, "/search/client") {
			t.Errorf("asked %s", r)
		}
	}
}

// TestItemsThatLookWrapped: an item whose own content has the form of a search
// result.
func TestItemsThatLookWrapped(t *testing.T) {
	w := newWorld(t)
	odd := `{"id":"odd","json_class":"Chef::DataBagItem","raw_data":{"id":"odd","n":1},"chef_type":"data_bag_item","data_bag":"users"}`
	w.org.PutDataBagItem("users", "plain", `{"id":"plain","chef_type":"data_bag_item","data_bag":"users"}`)
	w.org.PutDataBagItem("users", "odd", odd)
	w.begin()
	w.scanWants()
	w.org.FreezeIndex()
	w.org.DropFromIndex("users", "plain")
	w.org.DropFromIndex("users", "odd")
	w.scanWants() // read alone, they are what search showed
	w.org.PutDataBagItem("users", "odd", strings.Replace(odd, `"n":1`, `"n":2`, 1))
	w.scanWants("update /data/users/odd")
}

func TestAListThatFailsSaysNothing(t *testing.T) {
	for name, fault := range map[string]cheftest.Fault{
		"500":             {Status: 500},
		"a page":          {HTML: true},
		"another shape":   {Status: 200, Body: `[]`},
		"cut":             {Truncate: true},
		"forbidden":       {Status: 403},
		"the wrong thing": {Status: 200, Body: `{"error":1}`, Nth: 1000}, // never hit: the control
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fill()
			w.begin()
			w.org.DeleteRole("base")
			w.org.PutEnvironment("new", `{}`)
			w.org.DeleteDataBagItem("users", "bob")
			fault.Path = "/roles"
			h := w.primary.Fault(fault)
			r := w.scan()
			if name == "the wrong thing" {
				w.wantRows("create /environments/new", "delete /roles/base", "delete /data/users/bob")
				return
			}
			w.wantRows("create /environments/new", "delete /data/users/bob")
			if len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Error(), "/roles") {
				t.Errorf("failed: %v", r.Failed)
			}
			h.Remove()
			w.scanWants("delete /roles/base")
		})
	}
}

func TestABagThatCanNotBeListedIsLeftAsItWas(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	w.org.DeleteDataBagItem("users", "bob")
	w.org.PutDataBagItem("one", "two", `{"id":"two"}`)
	h := w.primary.Fault(cheftest.Fault{Path: "/data/users", Status: 500})
	w.scanWants("create /data/one/two")
	h.Remove()
	w.scanWants("delete /data/users/bob")
}

func TestASuddenlyEmptyListDeletesNothing(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	h := w.primary.Fault(cheftest.Fault{Method: "GET", Path: "re:/(roles|environments|data|cookbooks)$", Status: 200, Body: `{}`})
	for range 3 {
		w.scanWants() // a GET finds each of them
	}
	h.Remove()
	w.scanWants()
}

// TestManyMissingWaitForASecondScan: beyond what is confirmed by GETs.
func TestManyMissingWaitForASecondScan(t *testing.T) {
	w := newWorld(t)
	w.config.Confirm = 2
	for n := range 5 {
		w.org.PutRole(fmt.Sprint("r", n), `{}`)
	}
	w.begin()
	for n := range 5 {
		w.org.DeleteRole(fmt.Sprint("r", n))
	}
	if r := w.scanWants("delete /roles/r1", "delete /roles/r0"); r.Pending != 3 {
		t.Errorf("%d wait, want 3", r.Pending)
	}
	w.org.PutRole("r4", `{"description":"back again"}`)
	w.scanWants("update /roles/r4", "delete /roles/r3", "delete /roles/r2")

	// A failed scan in between doesn't count.
	w.config.Confirm = 1
	w.org.PutRole("a", `{}`)
	w.org.PutRole("b", `{}`)
	w.scanWants("create /roles/a", "create /roles/b")
	for _, r := range []string{"a", "b", "r4"} {
		w.org.DeleteRole(r)
	}
	w.scanWants("delete /roles/a")
	h := w.primary.Fault(cheftest.Fault{Path: "/roles", Status: 500})
	w.scanWants()
	h.Remove()
	w.scanWants("delete /roles/r4", "delete /roles/b")
}

func TestWithoutConfirmationALyingListWaits(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	w.org.DeleteRole("base")
	h := w.primary.Fault(cheftest.Fault{Method: "GET", Path: "/roles/base", Status: 500})
	if r := w.scanWants(); r.Pending != 1 || len(r.Failed) != 1 {
		t.Errorf("%+v", r)
	}
	w.scanWants("delete /roles/base") // missing from two lists in a row
	h.Remove()
}

func TestUnreachableServersEndTheScan(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	w.org.PutDataBagItem("users", "carol", `{"id":"carol"}`)
	w.org.DeleteRole("base")
	w.org.DeleteEnvironment("prod")
	w.primary.Fault(cheftest.Fault{Path: "re:/(roles|environments|cookbooks)", Drop: true})
	_, err := w.scanner().Scan(t.Context())
	if replication.ClassOf(err) != replication.Unreachable {
		t.Errorf("error %v, want class unreachable", err)
	}
	w.wantRows("create /data/users/carol") // done by then
	w.primary.ClearFaults()
	w.scanWants("delete /environments/prod", "delete /roles/base")
}

func TestAFirstScanThatFailsBeginsNoJournal(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.primary.Fault(cheftest.Fault{Path: "/environments", Drop: true})
	if _, err := w.scanner().Scan(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if head, err := w.store.Head(t.Context(), source); err != nil || head != (journal.Head{}) {
		t.Errorf("head %+v, %v", head, err)
	}
	w.primary.ClearFaults()
	w.begin()
}

// TestWhatTheFirstScanMissed: readers compared it, the scanner doesn't know it,
// so one row says to look at all of it.
func TestWhatTheFirstScanMissed(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.primary.Fault(cheftest.Fault{Method: "GET", Path: "re:/(roles|data/users|cookbooks/apt/1.0.0)$", Status: 500})
	if r := w.scan(); !r.Begun || len(r.Failed) != 3 {
		t.Fatalf("%+v", r)
	}
	w.wantRows("begin /")
	w.org.DeleteRole("base")
	w.primary.ClearFaults()
	w.scanWants("update /data/users", "update /roles", "update /cookbooks/apt/1.0.0")
	w.org.DeleteRole("web")
	w.scanWants("delete /roles/web")
}

func TestObjectsThatCanNotBeRead(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.org.PutRole("hidden", `{}`)
	reader := w.org.AddClient("reader")
	w.org.SetACE("roles/hidden", "read", "admins")
	c := newClient(t, clientConfig(w, "reader", reader))
	w.config.Reader = endpoint.NewSource(c.Org("acme"), nil)
	// As strict_search_result_acls does (docs/chef-server-api.md §6.2).
	w.org.SpoilRows(func(_ string, row []byte) []byte {
		if bytes.Contains(row, []byte(`"hidden`)) {
			return nil
		}
		return row
	})
	w.begin()
	if r := w.scanWants(); len(r.Failed) != 1 {
		t.Errorf("failed: %v", r.Failed)
	}
	w.org.PutRole("hidden2", `{}`)
	w.org.SetACE("roles/hidden2", "read", "admins")
	w.scanWants("create /roles/hidden2") // its name is known, a reader will try
	w.scanWants()
	w.org.SetACE("roles/hidden", "read", "admins", "clients")
	w.scanWants("update /roles/hidden")
	w.org.SetACE("roles/hidden", "read", "admins")
	w.scanWants()
	w.org.DeleteRole("hidden")
	w.scanWants("delete /roles/hidden")
}

func TestFrozenVersionsHaveTheirTurn(t *testing.T) {
	w := newWorld(t)
	w.config.Rotation = time.Hour
	const n = 40
	for i := range n {
		w.org.PutCookbook("c", fmt.Sprintf("1.0.%d", i), files(fmt.Sprint(i)), true)
	}
	w.begin()
	w.org.PutCookbook("c", "1.0.7", files("forced"), true)
	reads, found := 0, 0
	s := w.scanner()
	for minute := range 60 {
		r := w.scanWith(s)
		if reads += r.Read; r.Read > n/3 {
			t.Errorf("minute %d: %d reads", minute, r.Read)
		}
		for _, row := range w.rows() {
			if row != "update /cookbooks/c/1.0.7" {
				t.Errorf("row %s", row)
			}
			found++
		}
	}
	if reads != n || found != 1 {
		t.Errorf("%d reads of %d versions in one period, %d rows", reads, n, found)
	}
	// New processes each time read some again, and miss none.
	w.org.PutCookbook("c", "1.0.8", files("forced"), true)
	for range 60 {
		w.scan()
	}
	if rows := w.rows(); !slices.Equal(rows, []string{"update /cookbooks/c/1.0.8"}) {
		t.Errorf("rows %v", rows)
	}
}

// A scan by a clock that was a year ahead keeps no frozen version from its turn.
func TestFrozenVersionsHaveTheirTurnAfterAScanOfTheFuture(t *testing.T) {
	w := newWorld(t)
	w.config.Rotation = time.Hour
	w.org.PutCookbook("c", "1.0.0", files("a"), true)
	w.begin()
	const year = 365 * 24 * time.Hour
	w.now = w.now.Add(year)
	w.org.PutRole("r", `{}`) // so that the scan is recorded
	w.scanWants("create /roles/r")
	w.now = w.now.Add(-year)
	w.org.PutCookbook("c", "1.0.0", files("forced"), true)
	for range 70 {
		w.scan()
	}
	if rows := w.rows(); !slices.Equal(rows, []string{"update /cookbooks/c/1.0.0"}) {
		t.Errorf("rows %v, want the forced overwrite", rows)
	}
}

func TestAFrozenVersionWhoseTurnFailedIsReadAgain(t *testing.T) {
	w := newWorld(t)
	w.config.Rotation = time.Hour
	w.org.PutCookbook("c", "1.0.0", files("1"), true)
	w.begin()
	w.org.PutCookbook("c", "1.0.0", files("forced"), true)
	h := w.primary.Fault(cheftest.Fault{Method: "GET", Path: "/cookbooks/c/1.0.0", Status: 500})
	for range 60 {
		w.scanWants()
	}
	h.Remove()
	w.scanWants("update /cookbooks/c/1.0.0")
}

func TestOnlyTheKindsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.config.Kinds = []object.Kind{object.Role}
	w.begin()
	for _, r := range w.asked() {
		if !strings.Contains(r, "role") {
			t.Errorf("asked %s", r)
		}
	}
	w.org.PutEnvironment("new", `{}`)
	w.org.PutRole("new", `{}`)
	w.scanWants("create /roles/new")
	w.config.Kinds = []object.Kind{object.Role, object.Environment}
	w.scanWants("update /environments")
	w.org.DeleteEnvironment("new")
	w.scanWants("delete /environments/new")
}
