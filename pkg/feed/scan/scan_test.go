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
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func TestFirstScanBeginsTheChangeLog(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	if _, err := (changelog.Feed{Store: w.store, Source: source}).Read(t.Context(), 0); !errors.Is(err, replication.ErrNoFeed) {
		t.Errorf("before the first scan: %v, want ErrNoFeed", err)
	}
	w.beginChangeLog()
	w.scanAndWantRows()
}

func TestChangesBecomeRows(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	w.org.PutRole("new", `{}`)
	w.org.PutEnvironment("new", `{}`)
	w.org.PutDataBagItem("new", "i", `{"id":"i"}`)
	w.org.PutDataBagItem("users", "carol", `{"id":"carol"}`)
	w.org.PutCookbook("new", "1.0.0", cookbookFiles("n"), true)
	w.scanAndWantRows("create /data/new", "create /data/new/i", "create /data/users/carol", "create /roles/new",
		"create /cookbooks/new/1.0.0", "create /environments/new")

	w.org.PutRole("web", `{"description":"changed"}`)
	w.org.PutEnvironment("prod", `{"description":"changed"}`)
	w.org.PutDataBagItem("users", "bob", `{"id":"bob","n":3}`)
	w.org.PutDataBagItem("one", "only", `{"id":"only","n":3}`)
	w.org.PutCookbook("apt", "1.0.0", cookbookFiles("re-uploaded in place"), false)
	w.scanAndWantRows("update /data/one/only", "update /data/users/bob", "update /roles/web", "update /cookbooks/apt/1.0.0",
		"update /environments/prod")

	w.org.PutCookbook("apt", "1.0.0", cookbookFiles("re-uploaded in place"), true)
	w.scanAndWantRows("update /cookbooks/apt/1.0.0") // frozen

	w.org.DeleteRole("new")
	w.org.DeleteEnvironment("new")
	w.org.DeleteDataBagItem("users", "carol")
	w.org.DeleteDataBag("new")
	w.org.DeleteCookbook("new", "1.0.0")
	w.scanAndWantRows("delete /environments/new", "delete /cookbooks/new/1.0.0", "delete /roles/new",
		"delete /data/users/carol", "delete /data/new/i", "delete /data/new")
	w.scanAndWantRows()
}

func TestDeletedAndCreatedAgainBetweenScans(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	w.org.DeleteRole("web")
	w.org.PutRole("web", `{"description":"another"}`)
	w.org.DeleteDataBag("users")
	w.org.PutDataBagItem("users", "alice", `{"id":"alice","n":"another"}`)
	w.org.DeleteCookbook("apt", "1.0.0")
	w.org.PutCookbook("apt", "1.0.0", cookbookFiles("another"), false)
	w.scanAndWantRows("update /data/users/alice", "update /roles/web", "update /cookbooks/apt/1.0.0", "delete /data/users/bob")
	// An unchanged object needs no row.
	w.org.DeleteRole("web")
	w.org.PutRole("web", `{"description":"another"}`)
	w.scanAndWantRows()
}

func TestIncompleteSearchCostsOnlyRequests(t *testing.T) {
	for name, spoil := range map[string]func(*fixture){
		"a lagging index":     func(w *fixture) { w.org.FreezeIndex() },
		"lost index entries":  func(w *fixture) { w.org.FreezeIndex(); w.org.DropFromIndex("role", "web") },
		"search answers 500":  func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 500}) },
		"search answers 404":  func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 404}) },
		"search answers 400":  func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 400}) },
		"a proxy answers":     func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", HTML: true}) },
		"search is cut short": func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Truncate: true}) },
		"search answers {}":   func(w *fixture) { w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 200, Body: `{}`}) },
		"rows without names": func(w *fixture) {
			w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 200, Body: `{"total":1,"start":0,"rows":[{},3,null]}`})
		},
		"ghosts in the index": func(w *fixture) { w.org.PutRole("ghost", `{}`); w.org.FreezeIndex(); w.org.DeleteRole("ghost") },
		"search hides all rows": func(w *fixture) {
			w.primary.Fault(cheftest.Fault{Path: "/search/*", Status: 200, Body: `{"total":0,"start":0,"rows":[]}`})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.addObjects()
			w.beginChangeLog()
			spoil(w)
			w.scanAndWantRows()
			w.org.PutRole("new", `{}`)
			w.org.PutRole("web", `{"description":"changed"}`)
			w.org.PutDataBagItem("users", "alice", `{"id":"alice","n":5}`)
			w.org.DeleteRole("base")
			w.scanAndWantRows("update /data/users/alice", "create /roles/new", "update /roles/web", "delete /roles/base")
		})
	}
}

func TestScanWithoutBulkReads(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.config.Reader = withoutBulk{endpoint.NewSource(w.client.Org("acme"), nil)}
	w.beginChangeLog()
	w.org.PutDataBagItem("users", "alice", `{"id":"alice","n":5}`)
	w.scanAndWantRows("update /data/users/alice")
}

func TestBagsNamedLikeAnIndexAreNotSearched(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	for _, bag := range []string{"role", "environment", "node", "client"} {
		w.org.PutDataBagItem(bag, "web", `{"id":"web"}`)
		w.org.PutDataBagItem(bag, "prod", `{"id":"prod"}`)
	}
	w.beginChangeLog()
	w.org.PutDataBagItem("role", "web", `{"id":"web","n":1}`)
	w.takeRequests()
	w.scanAndWantRows("update /data/role/web")
	for _, r := range w.takeRequests() {
		if strings.Contains(r, "/search/node") || strings.Contains(r, "/search/client") {
			t.Errorf("sent %s", r)
		}
	}
}

// TestItemsThatLookLikeSearchRows: an item whose own content has the form of a search
// result.
func TestItemsThatLookLikeSearchRows(t *testing.T) {
	w := newFixture(t)
	odd := `{"id":"odd","json_class":"Chef::DataBagItem","raw_data":{"id":"odd","n":1},"chef_type":"data_bag_item","data_bag":"users"}`
	w.org.PutDataBagItem("users", "plain", `{"id":"plain","chef_type":"data_bag_item","data_bag":"users"}`)
	w.org.PutDataBagItem("users", "odd", odd)
	w.beginChangeLog()
	w.scanAndWantRows()
	w.org.FreezeIndex()
	w.org.DropFromIndex("users", "plain")
	w.org.DropFromIndex("users", "odd")
	w.scanAndWantRows() // a single read returns the same as search
	w.org.PutDataBagItem("users", "odd", strings.Replace(odd, `"n":1`, `"n":2`, 1))
	w.scanAndWantRows("update /data/users/odd")
}

func TestFailedListChangesNothing(t *testing.T) {
	for name, fault := range map[string]cheftest.Fault{
		"500":             {Status: 500},
		"a page":          {HTML: true},
		"another shape":   {Status: 200, Body: `[]`},
		"cut":             {Truncate: true},
		"forbidden":       {Status: 403},
		"the wrong thing": {Status: 200, Body: `{"error":1}`, Nth: 1000}, // never hit: the control
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.addObjects()
			w.beginChangeLog()
			w.org.DeleteRole("base")
			w.org.PutEnvironment("new", `{}`)
			w.org.DeleteDataBagItem("users", "bob")
			fault.Path = "/roles"
			h := w.primary.Fault(fault)
			r := w.mustScan()
			if name == "the wrong thing" {
				w.wantRows("create /environments/new", "delete /roles/base", "delete /data/users/bob")
				return
			}
			w.wantRows("create /environments/new", "delete /data/users/bob")
			if len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Error(), "/roles") {
				t.Errorf("failed: %v", r.Failed)
			}
			h.Remove()
			w.scanAndWantRows("delete /roles/base")
		})
	}
}

func TestBagThatCannotBeListedIsUnchanged(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	w.org.DeleteDataBagItem("users", "bob")
	w.org.PutDataBagItem("one", "two", `{"id":"two"}`)
	h := w.primary.Fault(cheftest.Fault{Path: "/data/users", Status: 500})
	w.scanAndWantRows("create /data/one/two")
	h.Remove()
	w.scanAndWantRows("delete /data/users/bob")
}

func TestUnexpectedlyEmptyListDeletesNothing(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	h := w.primary.Fault(cheftest.Fault{Method: "GET", Path: "re:/(roles|environments|data|cookbooks)$", Status: 200, Body: `{}`})
	for range 3 {
		w.scanAndWantRows() // a GET returns each of them
	}
	h.Remove()
	w.scanAndWantRows()
}

// TestUnconfirmedDeletionsWaitForASecondScan: beyond the 50 that are confirmed by GETs.
func TestUnconfirmedDeletionsWaitForASecondScan(t *testing.T) {
	w := newFixture(t)
	eachRole := func(do func(name string)) {
		for n := range 53 {
			do(fmt.Sprintf("r%02d", n))
		}
	}
	eachRole(func(name string) { w.org.PutRole(name, `{}`) })
	w.beginChangeLog()
	eachRole(w.org.DeleteRole)
	if r := w.mustScan(); r.Pending != 3 || r.Changes != 50 {
		t.Errorf("%d deletions pending and %d recorded, want 3 and 50", r.Pending, r.Changes)
	} else if err := r.Unread[object.Role]; err == nil || !strings.Contains(err.Error(), "3 objects are missing") || len(r.Failed) > 0 {
		t.Errorf("not read: %v, failed %v; want the roles, and no failure", r.Unread, r.Failed)
	}
	w.newRows()
	w.org.PutRole("r52", `{"description":"back again"}`)
	if r := w.scanAndWantRows("update /roles/r52", "delete /roles/r51", "delete /roles/r50"); len(r.Unread) > 0 {
		t.Errorf("not read after the second scan: %v", r.Unread)
	}

	// A failed scan in between doesn't count.
	eachRole(func(name string) { w.org.PutRole(name, `{}`) })
	w.mustScan()
	eachRole(w.org.DeleteRole)
	w.mustScan()
	w.newRows()
	h := w.primary.Fault(cheftest.Fault{Path: "/roles", Status: 500})
	w.scanAndWantRows()
	h.Remove()
	w.scanAndWantRows("delete /roles/r52", "delete /roles/r51", "delete /roles/r50")
}

func TestFailedConfirmationDefersTheDeletion(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	w.org.DeleteRole("base")
	h := w.primary.Fault(cheftest.Fault{Method: "GET", Path: "/roles/base", Status: 500})
	if r := w.scanAndWantRows(); r.Pending != 1 || len(r.Failed) != 1 {
		t.Errorf("%+v", r)
	}
	w.scanAndWantRows("delete /roles/base") // missing from two lists in a row
	h.Remove()
}

func TestUnreachableServerEndsTheScan(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.beginChangeLog()
	w.org.PutDataBagItem("users", "carol", `{"id":"carol"}`)
	w.org.DeleteRole("base")
	w.org.DeleteEnvironment("prod")
	w.primary.Fault(cheftest.Fault{Path: "re:/(roles|environments|cookbooks)", Drop: true})
	_, err := w.newScanner().Scan(t.Context())
	if fault.ClassOf(err) != fault.Unreachable {
		t.Errorf("error %v, want class unreachable", err)
	}
	w.wantRows("create /data/users/carol") // read before the failure
	w.primary.ClearFaults()
	w.scanAndWantRows("delete /environments/prod", "delete /roles/base")
}

func TestFailedFirstScanBeginsNoChangeLog(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.primary.Fault(cheftest.Fault{Path: "/environments", Drop: true})
	if _, err := w.newScanner().Scan(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if head, err := w.store.Head(t.Context(), source); err != nil || head != (changelog.Head{}) {
		t.Errorf("head %+v, %v", head, err)
	}
	w.primary.ClearFaults()
	w.beginChangeLog()
}

// TestListsThatTheFirstScanMissed: readers have compared them, the scanner
// doesn't know them, so one row covers the whole list.
func TestListsThatTheFirstScanMissed(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.primary.Fault(cheftest.Fault{Method: "GET", Path: "re:/(roles|data/users|cookbooks/apt/1.0.0)$", Status: 500})
	if r := w.mustScan(); !r.Begun || len(r.Failed) != 3 {
		t.Fatalf("%+v", r)
	}
	w.wantRows("begin /")
	w.org.DeleteRole("base")
	w.primary.ClearFaults()
	w.scanAndWantRows("update /data/users", "update /roles", "update /cookbooks/apt/1.0.0")
	w.org.DeleteRole("web")
	w.scanAndWantRows("delete /roles/web")
}

func TestObjectsThatCannotBeRead(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
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
	w.beginChangeLog()
	if r := w.scanAndWantRows(); len(r.Failed) != 1 {
		t.Errorf("failed: %v", r.Failed)
	}
	w.org.PutRole("hidden2", `{}`)
	w.org.SetACE("roles/hidden2", "read", "admins")
	w.scanAndWantRows("create /roles/hidden2") // its name is known, so readers try to read it
	w.scanAndWantRows()
	w.org.SetACE("roles/hidden", "read", "admins", "clients")
	w.scanAndWantRows("update /roles/hidden")
	w.org.SetACE("roles/hidden", "read", "admins")
	w.scanAndWantRows()
	w.org.DeleteRole("hidden")
	w.scanAndWantRows("delete /roles/hidden")
}

func TestFrozenVersionsAreReadOncePerRotation(t *testing.T) {
	w := newFixture(t)
	w.config.Rotation = time.Hour
	const n = 40
	for i := range n {
		w.org.PutCookbook("c", fmt.Sprintf("1.0.%d", i), cookbookFiles(fmt.Sprint(i)), true)
	}
	w.beginChangeLog()
	w.org.PutCookbook("c", "1.0.7", cookbookFiles("forced"), true)
	reads, found := 0, 0
	s := w.newScanner()
	for minute := range 60 {
		r := w.mustScanWith(s)
		if reads += r.Read; r.Read > n/3 {
			t.Errorf("minute %d: %d reads", minute, r.Read)
		}
		for _, row := range w.newRows() {
			if row != "update /cookbooks/c/1.0.7" {
				t.Errorf("row %s", row)
			}
			found++
		}
	}
	if reads != n || found != 1 {
		t.Errorf("%d reads of %d versions in one period, %d rows", reads, n, found)
	}
	// A new process for each scan reads some versions twice, and omits none.
	w.org.PutCookbook("c", "1.0.8", cookbookFiles("forced"), true)
	for range 60 {
		w.mustScan()
	}
	if rows := w.newRows(); !slices.Equal(rows, []string{"update /cookbooks/c/1.0.8"}) {
		t.Errorf("rows %v", rows)
	}
}

// TestRotationAfterAScanByAClockAhead: a scan by a clock that was a year ahead delays no
// frozen version.
func TestRotationAfterAScanByAClockAhead(t *testing.T) {
	w := newFixture(t)
	w.config.Rotation = time.Hour
	w.org.PutCookbook("c", "1.0.0", cookbookFiles("a"), true)
	w.beginChangeLog()
	const year = 365 * 24 * time.Hour
	w.now = w.now.Add(year)
	w.org.PutRole("r", `{}`) // so that the scan is recorded
	w.scanAndWantRows("create /roles/r")
	w.now = w.now.Add(-year)
	w.org.PutCookbook("c", "1.0.0", cookbookFiles("forced"), true)
	for range 70 {
		w.mustScan()
	}
	if rows := w.newRows(); !slices.Equal(rows, []string{"update /cookbooks/c/1.0.0"}) {
		t.Errorf("rows %v, want the forced overwrite", rows)
	}
}

func TestFailedRotationReadIsRepeated(t *testing.T) {
	w := newFixture(t)
	w.config.Rotation = time.Hour
	w.org.PutCookbook("c", "1.0.0", cookbookFiles("1"), true)
	w.beginChangeLog()
	w.org.PutCookbook("c", "1.0.0", cookbookFiles("forced"), true)
	h := w.primary.Fault(cheftest.Fault{Method: "GET", Path: "/cookbooks/c/1.0.0", Status: 500})
	for range 60 {
		w.scanAndWantRows()
	}
	h.Remove()
	w.scanAndWantRows("update /cookbooks/c/1.0.0")
}

// TestAVersionThatFailsDelaysNoRotation: the others are read once in a period, not in each
// scan.
func TestAVersionThatFailsDelaysNoRotation(t *testing.T) {
	for name, broken := range map[string]bool{"frozen": true, "unfrozen": false} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.config.Rotation = time.Hour
			const n = 20
			for i := range n {
				w.org.PutCookbook("c", fmt.Sprintf("1.0.%d", i), cookbookFiles(fmt.Sprint(i)), true)
			}
			w.org.PutCookbook("broken", "1.0.0", cookbookFiles("1"), broken)
			w.beginChangeLog()
			w.org.PutCookbook("broken", "1.0.0", cookbookFiles("2"), broken)
			h := w.primary.Fault(cheftest.Fault{Method: "GET", Path: "/cookbooks/broken/1.0.0", Status: 500})
			scanner, reads := w.newScanner(), 0
			for minute := range 150 {
				if r := w.mustScanWith(scanner); minute >= 90 {
					reads += r.Read
				}
			}
			if reads != n {
				t.Errorf("%d reads of %d frozen versions in one period", reads, n)
			}
			h.Remove() // another process reads it
			w.scanAndWantRows("update /cookbooks/broken/1.0.0")
		})
	}
}

func TestOnlyConfiguredKindsAreScanned(t *testing.T) {
	w := newFixture(t)
	w.addObjects()
	w.config.Kinds = []object.Kind{object.Role}
	w.beginChangeLog()
	for _, r := range w.takeRequests() {
		if !strings.Contains(r, "role") {
			t.Errorf("sent %s", r)
		}
	}
	w.org.PutEnvironment("new", `{}`)
	w.org.PutRole("new", `{}`)
	w.scanAndWantRows("create /roles/new")
	w.config.Kinds = []object.Kind{object.Role, object.Environment}
	w.scanAndWantRows("update /environments")
	w.org.DeleteEnvironment("new")
	w.scanAndWantRows("delete /environments/new")
}
