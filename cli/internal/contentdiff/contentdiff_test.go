package contentdiff_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chefsync/cli/internal/contentdiff"
	"chefsync/pkg/object"
)

var (
	item = object.Ref{Kind: object.DataBagItem, Name: "users", Sub: "alice"}
	role = object.Ref{Kind: object.Role, Name: "web"}
)

func TestARoleIsShownAsAUnifiedDiff(t *testing.T) {
	got, err := contentdiff.Unified(role,
		[]byte(`{"name":"web","description":"old","run_list":[]}`),
		[]byte(`{"run_list":[],"name":"web","description":"new"}`), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--- replica/roles/web", "+++ primary/roles/web", `-  "description": "old"`, `+  "description": "new"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestEqualObjectsShowNothing(t *testing.T) {
	got, err := contentdiff.Unified(role, []byte(`{"name":"web","run_list":[]}`), []byte(`{"run_list":[],"name":"web"}`), nil, false)
	if got != "" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestValuesOfItemsAreHiddenUnlessAskedFor(t *testing.T) {
	replica := []byte(`{"id":"alice","password":"hunter1","same":"s3cret","gone":"old1","list":["x1y2"]}`)
	primary := []byte(`{"id":"alice","password":"hunter2","same":"s3cret","more":{"deep":"new1"},"list":["x1y2","z3"]}`)
	got, err := contentdiff.Unified(item, replica, primary, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter", "s3cret", "old1", "new1", "x1y2", "z3"} {
		if strings.Contains(got, secret) {
			t.Errorf("the diff shows %q:\n%s", secret, got)
		}
	}
	for _, want := range []string{`-  "password": "(hidden, replica's value)"`, `+  "password": "(hidden, primary's value)"`, `-  "gone"`, `+    "deep"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	shown, err := contentdiff.Unified(item, replica, primary, nil, true)
	if err != nil || !strings.Contains(shown, "hunter2") {
		t.Errorf("values aren't shown when asked for: %v\n%s", err, shown)
	}
}

func TestAnObjectOfOneSideIsAllAddedOrRemoved(t *testing.T) {
	added, err := contentdiff.Unified(item, nil, []byte(`{"id":"alice","password":"hunter2"}`), nil, false)
	if err != nil || !strings.Contains(added, `+  "id": "alice"`) || strings.Contains(added, "hunter2") {
		t.Errorf("%v\n%s", err, added)
	}
	removed, err := contentdiff.Unified(item, []byte(`{"id":"alice","password":"hunter2"}`), nil, nil, false)
	if err != nil || !strings.Contains(removed, `-  "id": "alice"`) || strings.Contains(removed, "hunter2") {
		t.Errorf("%v\n%s", err, removed)
	}
}

func TestNoValueOfAnItemEverShows(t *testing.T) {
	value := rapid.StringMatching(`SECRET[0-9]{1,3}`)
	body := rapid.Custom(func(t *rapid.T) string {
		var keys []string
		for _, k := range []string{"a", "b", "c"} {
			switch v := value.Draw(t, k); rapid.IntRange(0, 3).Draw(t, "shape") {
			case 0:
				keys = append(keys, `"`+k+`":"`+v+`"`)
			case 1:
				keys = append(keys, `"`+k+`":["`+v+`",{"x":"`+v+`"}]`)
			case 2:
				keys = append(keys, `"`+k+`":{"x":["`+v+`"]}`)
			}
		}
		return `{"id":"alice"` + strings.Join(append([]string{""}, keys...), ",") + `}`
	})
	rapid.Check(t, func(t *rapid.T) {
		got, err := contentdiff.Unified(item, []byte(body.Draw(t, "replica")), []byte(body.Draw(t, "primary")), nil, false)
		if err != nil || strings.Contains(got, "SECRET") {
			t.Fatalf("%v\n%s", err, got)
		}
	})
}

// TestOnlyTheIdOfTheItemItselfIsShown: an id within a value is a value.
func TestOnlyTheIdOfTheItemItselfIsShown(t *testing.T) {
	replica := []byte(`{"id":"alice","aws":{"id":"SECRET1"},"list":[{"id":"SECRET2"}],"mixed":{"id":{"key":"SECRET3"}}}`)
	primary := []byte(`{"id":"alice","aws":{"id":"SECRET4"},"list":[{"id":"SECRET5"}],"mixed":{"id":"SECRET6"}}`)
	got, err := contentdiff.Unified(item, replica, primary, nil, false)
	if err != nil || strings.Contains(got, "SECRET") || !strings.Contains(got, `"id": "alice"`) {
		t.Errorf("%v\n%s", err, got)
	}
}
