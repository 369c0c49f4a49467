package endpoint_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/chef/cheftest"
)

// TestTheResultIsTheSameWhateverSearchDoes: a first copy, a verification and a full
// comparison that repairs, with a search on either side that isn't there, lags, hides,
// is wrong or is down.
func TestTheResultIsTheSameWhateverSearchDoes(t *testing.T) {
	fault := func(f cheftest.Fault) func(*cheftest.Server, *cheftest.Org) {
		f.Path = "/search/*"
		return func(s *cheftest.Server, _ *cheftest.Org) { s.Fault(f) }
	}
	stale := func(_ string, row []byte) []byte {
		for _, member := range []string{`"description":"`, `"n":`} {
			row = []byte(strings.Replace(string(row), member, member+"1", 1))
		}
		return row
	}
	for name, spoil := range map[string]func(*cheftest.Server, *cheftest.Org){
		"there":     func(*cheftest.Server, *cheftest.Org) {},
		"not there": fault(cheftest.Fault{Status: 404}),
		"down":      fault(cheftest.Fault{Status: 500}),
		"a proxy's": fault(cheftest.Fault{HTML: true}),
		"empty":     fault(cheftest.Fault{Status: 200, Body: `{"total":0,"start":0,"rows":[]}`}),
		"lagging":   func(_ *cheftest.Server, o *cheftest.Org) { o.FreezeIndex() },
		"hiding": func(_ *cheftest.Server, o *cheftest.Org) {
			o.SpoilRows(func(_ string, row []byte) []byte {
				if strings.Contains(string(row), "1") {
					return nil
				}
				return row
			})
		},
		"wrong": func(_ *cheftest.Server, o *cheftest.Org) { o.SpoilRows(stale) },
		"wrong about one": func(_ *cheftest.Server, o *cheftest.Org) {
			o.SpoilRows(func(index string, row []byte) []byte {
				if strings.Contains(string(row), `"env3"`) && index == "environment" {
					return stale(index, row)
				}
				return row
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for side := range 3 { // the primary's, the replica's, both
				w := newBudgetWorld(t, 4, 0)
				s := shape{roles: 30, environments: 12, bags: 3, items: 15, versions: 6, cookbooks: 3, files: 3}
				s.fill(w.from)
				for i, org := range []*cheftest.Org{w.from, w.to} {
					if side == i || side == 2 {
						spoil(w.servers[i], org)
					}
				}
				if name == "wrong about one" && side != 1 {
					continue // content of a single row is believed when there is nothing to compare it with
				}
				w.pass(t, true)
				same(t, w)
				w.verify(t)
				w.from.PutRole("role3", `{"description":"changed"}`)
				w.from.DeleteRole("role4")
				w.to.PutEnvironment("env3", `{"description":"edited"}`)
				w.to.DeleteDataBagItem("bag1", "i3")
				w.pass(t, true)
				same(t, w)
				w.verify(t)
			}
		})
	}
}

// same demands that the replica holds what the primary does.
func same(t *testing.T, w *budgetWorld) {
	t.Helper()
	want, got := maps.Clone(w.from.Snapshot()), w.to.Snapshot()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the replica differs (-primary +replica):\n%s", d)
	}
}
