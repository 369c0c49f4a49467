package endpoint_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/chef/cheftest"
)

// TestSearchDoesNotChangeTheResult: a first copy, a verification and a full comparison
// with repairs, while the search of the primary, the replica or both is missing, is
// down, lags, omits rows or returns wrong ones.
func TestSearchDoesNotChangeTheResult(t *testing.T) {
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
		"available": func(*cheftest.Server, *cheftest.Org) {},
		"missing":   fault(cheftest.Fault{Status: 404}),
		"down":      fault(cheftest.Fault{Status: 500}),
		"a proxy":   fault(cheftest.Fault{HTML: true}),
		"empty":     fault(cheftest.Fault{Status: 200, Body: `{"total":0,"start":0,"rows":[]}`}),
		"lagging":   func(_ *cheftest.Server, o *cheftest.Org) { o.FreezeIndex() },
		"omits rows": func(_ *cheftest.Server, o *cheftest.Org) {
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
				w := newPairFixture(t, 4, 0)
				s := orgShape{roles: 30, environments: 12, bags: 3, items: 15, versions: 6, cookbooks: 3, files: 3}
				s.fillOrg(w.from)
				for i, org := range []*cheftest.Org{w.from, w.to} {
					if side == i || side == 2 {
						spoil(w.servers[i], org)
					}
				}
				if name == "wrong about one" && side != 1 {
					continue // a check of single rows doesn't find it
				}
				w.mustPass(t, true)
				wantSame(t, w)
				w.mustVerify(t)
				w.from.PutRole("role3", `{"description":"changed"}`)
				w.from.DeleteRole("role4")
				w.to.PutEnvironment("env3", `{"description":"edited"}`)
				w.to.DeleteDataBagItem("bag1", "i3")
				w.mustPass(t, true)
				wantSame(t, w)
				w.mustVerify(t)
			}
		})
	}
}

// wantSame checks that the replica has the same objects as the primary.
func wantSame(t *testing.T, w *pairFixture) {
	t.Helper()
	want, got := maps.Clone(w.from.Snapshot()), w.to.Snapshot()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the replica differs (-primary +replica):\n%s", d)
	}
}
