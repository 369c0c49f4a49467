package scan_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chefsync/pkg/feed/collector"
	"chefsync/pkg/feed/journal"
)

// TestPushesReachTheReplica: without any scan after the first one, each push
// wakes the pair, and a lost one is healed by the next scan.
func TestPushesReachTheReplica(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	p.turn()
	woken := 0
	r, err := collector.New(collector.Config{Token: "secret", Store: p.store, Notify: func(string) { woken++ },
		Sources: func(org string) []string {
			if org == "acme" {
				return []string{source}
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	push := func(task, entity, name, parent, parentName string) {
		t.Helper()
		body := fmt.Sprintf(`{"message_type":"action","organization_name":"acme","task":%q,"entity_type":%q,"entity_name":%q,"parent_type":%q,"parent_name":%q,"data":{}}`,
			task, entity, name, parent, parentName)
		q := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		q.Header.Set("x-data-collector-token", "secret")
		a := httptest.NewRecorder()
		if r.ServeHTTP(a, q); a.Code != http.StatusNoContent {
			t.Fatalf("status %d", a.Code)
		}
	}
	for n, step := range []struct {
		do   func()
		push []string
	}{
		{func() { p.org.PutRole("new", `{}`) }, []string{"create", "role", "new", "", ""}},
		{func() { p.org.PutEnvironment("prod", `{"description":"x"}`) }, []string{"update", "environment", "prod", "", ""}},
		{func() { p.org.PutDataBag("b") }, []string{"create", "bag", "b", "", ""}},
		{func() { p.org.PutDataBagItem("b", "i", `{"id":"i"}`) }, []string{"create", "item", "i", "bag", "b"}},
		{func() { p.org.PutCookbook("apt", "2.0.0", files("forced"), true) }, []string{"update", "version", "2.0.0", "cookbook", "apt"}},
		{func() { p.org.DeleteRole("new") }, []string{"delete", "role", "new", "", ""}},
		{func() { p.org.DeleteDataBag("b") }, []string{"delete", "bag", "b", "", ""}},
		{func() { p.org.DeleteCookbook("apt", "2.0.0") }, []string{"delete", "version", "2.0.0", "cookbook", "apt"}},
	} {
		step.do()
		push(step.push[0], step.push[1], step.push[2], step.push[3], step.push[4])
		if woken != n+1 {
			t.Errorf("%d wakings after %d pushes", woken, n+1)
		}
		if run := p.pass(); run.Mode == "compare" {
			t.Errorf("%v: %+v", step.push, run)
		}
		p.wantEqual(fmt.Sprint(step.push))
	}
	p.org.PutRole("unheard", `{}`)
	p.pass()
	p.byChanges()
	p.wantEqual("a lost push")
	p.byChanges()
}

// TestAPushedItemTakesItsBagAlong: writing an item makes its bag, which must not
// stay behind when both are gone before a scan has seen them.
func TestAPushedItemTakesItsBagAlong(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	p.turn()
	p.org.PutDataBagItem("new", "i", `{"id":"i"}`)
	if _, err := p.store.Append(t.Context(), source, p.now, []journal.Entry{{Action: journal.Create, Path: "/data/new/i"}}); err != nil {
		t.Fatal(err)
	}
	p.pass()
	p.wantEqual("in between")
	p.org.DeleteDataBag("new")
	p.byChanges()
	p.wantEqual("gone back")
}
