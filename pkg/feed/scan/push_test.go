package scan_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/collector"
	"chefsync/pkg/object"
)

// TestPushesReachTheReplica without any scan after the first one; a change whose push was
// lost is found by the next scan.
func TestPushesReachTheReplica(t *testing.T) {
	p := newTestPair(t)
	p.addObjects()
	p.scanAndPass()
	notified := 0
	r, err := collector.New(collector.Config{Token: "secret", Store: p.store, Notify: func(string) { notified++ },
		Source: func(org string, _ object.Kind) string { return map[string]string{"acme": source}[org] }})
	if err != nil {
		t.Fatal(err)
	}
	push := func(task, entity, name, parent, parentName string) {
		t.Helper()
		body := fmt.Sprintf(`{"message_type":"action","organization_name":"acme","task":%q,"entity_type":%q,"entity_name":%q,`+
			`"parent_type":%q,"parent_name":%q,"data":{}}`,
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
		{func() { p.org.PutCookbook("apt", "2.0.0", cookbookFiles("forced"), true) }, []string{"update", "version", "2.0.0", "cookbook", "apt"}},
		{func() { p.org.DeleteRole("new") }, []string{"delete", "role", "new", "", ""}},
		{func() { p.org.DeleteDataBag("b") }, []string{"delete", "bag", "b", "", ""}},
		{func() { p.org.DeleteCookbook("apt", "2.0.0") }, []string{"delete", "version", "2.0.0", "cookbook", "apt"}},
	} {
		step.do()
		push(step.push[0], step.push[1], step.push[2], step.push[3], step.push[4])
		if notified != n+1 {
			t.Errorf("%d notifications after %d pushes", notified, n+1)
		}
		if run := p.mustPass(); run.Mode == "compare" {
			t.Errorf("%v: %+v", step.push, run)
		}
		p.wantEqual(fmt.Sprint(step.push))
	}
	p.org.PutRole("unheard", `{}`)
	p.mustPass()
	p.scanAndPassChanges()
	p.wantEqual("a lost push")
	p.scanAndPassChanges()
}

// TestPushedItemIncludesItsBag: writing an item creates its data bag, which must
// be deleted, too, if both are deleted before a scan has found them.
func TestPushedItemIncludesItsBag(t *testing.T) {
	p := newTestPair(t)
	p.addObjects()
	p.scanAndPass()
	p.org.PutDataBagItem("new", "i", `{"id":"i"}`)
	if _, err := p.store.Append(t.Context(), source, p.now, []changelog.Change{{Action: changelog.Create, Path: "/data/new/i"}}); err != nil {
		t.Fatal(err)
	}
	p.mustPass()
	p.wantEqual("created")
	p.org.DeleteDataBag("new")
	p.scanAndPassChanges()
	p.wantEqual("deleted")
}
