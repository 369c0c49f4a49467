package scan_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/endpoint"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// TestWhatGoesBackBetweenTwoScansGoesBackOnTheReplica: a pass reads what no scan
// ever sees.
func TestWhatGoesBackBetweenTwoScansGoesBackOnTheReplica(t *testing.T) {
	for name, c := range map[string]struct{ change, back func(p *pairWorld) }{
		"a role": {
			func(p *pairWorld) { p.org.PutRole("web", `{"description":"for a moment"}`) },
			func(p *pairWorld) { p.org.PutRole("web", `{"run_list":["role[base]"]}`) },
		},
		"an item": {
			func(p *pairWorld) { p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":3}`) },
			func(p *pairWorld) { p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`) },
		},
		"a frozen version": {
			func(p *pairWorld) { p.org.PutCookbook("apt", "2.0.0", files("forced"), true) },
			func(p *pairWorld) { p.org.PutCookbook("apt", "2.0.0", files("two"), true) },
		},
		"deleted and made again": {
			func(p *pairWorld) { p.org.DeleteEnvironment("prod") },
			func(p *pairWorld) { p.org.PutEnvironment("prod", `{}`) },
		},
		"a bag deleted and made again": {
			func(p *pairWorld) { p.org.DeleteDataBag("users") },
			func(p *pairWorld) {
				p.org.PutDataBagItem("users", "alice", `{"id":"alice","n":1}`)
				p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`)
			},
		},
		"made and deleted": {
			func(p *pairWorld) { p.org.PutDataBagItem("new", "i", `{"id":"i"}`) },
			func(p *pairWorld) { p.org.DeleteDataBag("new") },
		},
		"an item made and deleted": {
			func(p *pairWorld) { p.org.PutDataBagItem("users", "zoe", `{"id":"zoe"}`) },
			func(p *pairWorld) { p.org.DeleteDataBagItem("users", "zoe") },
		},
	} {
		for way, look := range map[string]func(p *pairWorld){
			"compare": func(p *pairWorld) { p.resync() },
			"push": func(p *pairWorld) {
				var rows []journal.Entry
				for _, path := range []string{"/roles/web", "/data/users", "/cookbooks/apt/2.0.0", "/environments/prod", "/data/new"} {
					rows = append(rows, journal.Entry{Action: "update", Path: path})
				}
				if _, err := p.store.Append(t.Context(), source, p.now, rows); err != nil {
					t.Fatal(err)
				}
				p.pass()
			},
		} {
			t.Run(name+", read by a "+way, func(t *testing.T) {
				t.Parallel()
				p := newTestPair(t)
				p.fill()
				p.turn()
				c.change(p)
				look(p)
				p.wantEqual("in between")
				c.back(p)
				p.byChanges()
				p.wantEqual("gone back")
				p.byChanges()
				if run := p.byChanges(); run.Counts != (replication.Counts{}) {
					t.Errorf("it doesn't come to rest: %+v", run.Counts)
				}
			})
		}
	}
}

// TestAnItemThatABagLacksGoesBackOnTheReplica: it is gone from both sides when a pass
// reads the row of its bag, of which nothing but the list of items says so.
func TestAnItemThatABagLacksGoesBackOnTheReplica(t *testing.T) {
	p := newTestPair(t)
	p.fill()
	p.turn()
	gone := func() { p.org.DeleteDataBagItem("users", "bob") }
	back := func() { p.org.PutDataBagItem("users", "bob", `{"id":"bob","n":2}`) }
	gone()
	if _, err := p.store.Append(t.Context(), source, p.now, []journal.Entry{{Action: "update", Path: "/data/users"}}); err != nil {
		t.Fatal(err)
	}
	p.pass()
	p.wantEqual("gone")
	back()
	p.rows()
	p.scan() // sees nothing new, and looks once more at what was pushed
	p.wantRows("update /data/users")
	gone()
	p.pass()
	p.wantEqual("gone again")
	back()
	p.byChanges()
	p.wantEqual("gone back")
	p.byChanges()
	if run := p.byChanges(); run.Counts != (replication.Counts{}) {
		t.Errorf("it doesn't come to rest: %+v", run.Counts)
	}
}

// reader is what a pass that begins now knows of the scanner.
func (w *world) reader() replication.Scan {
	w.t.Helper()
	head, err := w.store.Head(w.t.Context(), source)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := scan.Feed(w.store, source, func() time.Time { return w.now }).Scan(w.t.Context(), head.Epoch)
	if err != nil || s == nil {
		w.t.Fatalf("%v, %v", s, err)
	}
	return s
}

// saw tells the scanner what a reader saw.
func (w *world) saw(sights map[string]string) {
	w.t.Helper()
	w.says(w.reader(), sights)
}

func (w *world) says(s replication.Scan, sights map[string]string) {
	w.t.Helper()
	saw := replication.Sightings{Sights: map[object.Ref]string{}}
	for path, sight := range sights {
		ref, err := object.ParseRef(path)
		if err != nil {
			w.t.Fatal(err)
		}
		saw.Sights[ref] = sight
	}
	if err := s.Doubt(w.t.Context(), saw); err != nil {
		w.t.Fatal(err)
	}
}

// An object in doubt is noted once, looked at by the next scan, frozen or not, and
// noted once more. What agrees with the memory gets no row.
func TestAnObjectInDoubtIsLookedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.config.Kinds = append(object.DefaultKinds(), object.Policy, object.PolicyGroup)
	w.fill()
	w.org.PutPolicy("app", "r1", `{}`)
	w.org.PutPolicy("app", "r2", `{}`)
	w.org.BindPolicy("prod", "app", "r1")
	w.begin()
	right, err := endpoint.NewSource(w.client.Org("acme"), nil).Get(t.Context(), object.Ref{Kind: object.Role, Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	w.saw(map[string]string{"/roles/web": right.Fingerprint, "/policy_groups/prod/policies/app": "r1", "/data/empty": "any",
		"/policies/app/revisions/r1": "any", "/roles/none": ""})
	w.wantRows()
	wrong := map[string]string{"/roles/web": "other", "/roles/base": "", "/roles/none": "there", "/cookbooks/apt/2.0.0": "forced",
		"/policy_groups/prod/policies/app": "r2", "/data/users": "", "/data/users/alice": "", "/data/users/bob": ""}
	doubted := []string{"update /data/users", "update /roles/base", "update /roles/none", "update /roles/web",
		"update /cookbooks/apt/2.0.0", "update /policy_groups/prod/policies/app"}
	w.saw(wrong)
	got := w.rows()
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(doubted))) {
		t.Fatalf("noted %q", got)
	}
	w.saw(wrong)
	w.wantRows()
	w.scan()
	got = w.rows()
	again := slices.Sorted(slices.Values(append(slices.DeleteFunc(doubted, func(s string) bool { return s == "update /roles/none" }), "delete /roles/none")))
	if slices.Sort(got); !slices.Equal(got, again) {
		t.Errorf("the next scan notes\n%q, want\n%q", got, again)
	}
	w.scanWants()
	w.scanWants()
	w.saw(map[string]string{"/roles/web": "other"})
	w.wantRows("update /roles/web")
}

// An object in doubt that can't be read now stays in doubt.
func TestADoubtLastsUntilTheObjectIsRead(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.begin()
	w.saw(map[string]string{"/cookbooks/apt/2.0.0": "forced"})
	w.wantRows("update /cookbooks/apt/2.0.0")
	w.primary.Fault(cheftest.Fault{Path: "*/cookbooks/apt/2.0.0", Status: 403})
	w.scanWants()
	w.org.PutRole("web", `{"description":"so that the memory is written"}`)
	w.scanWants("update /roles/web")
	w.primary.ClearFaults()
	w.scanWants("update /cookbooks/apt/2.0.0")
	w.scanWants()
}

// pushed is a store at which somebody else notes a role at each write of a scan.
type pushed struct {
	journal.ScanStore
	w     *world
	roles []string
}

func (p *pushed) push(ctx context.Context) error {
	role := fmt.Sprintf("/roles/r%03d", len(p.roles))
	p.roles = append(p.roles, "update "+role)
	_, err := p.ScanStore.Append(ctx, source, p.w.now, []journal.Entry{{Action: "update", Path: role}})
	return err
}

func (p *pushed) Head(ctx context.Context, source string) (journal.Head, error) {
	if err := p.push(ctx); err != nil {
		return journal.Head{}, err
	}
	return p.ScanStore.Head(ctx, source)
}

func (p *pushed) Commit(ctx context.Context, source string, fence int64, now time.Time, s journal.Step) (journal.Head, error) {
	if err := p.push(ctx); err != nil {
		return journal.Head{}, err
	}
	return p.ScanStore.Commit(ctx, source, fence, now, s)
}

// TestWhatIsPushedDuringAScanIsInDoubt: the scan may have read it before. Its own
// rows of the same objects, before and behind, don't hide that.
func TestWhatIsPushedDuringAScanIsInDoubt(t *testing.T) {
	w := newWorld(t)
	w.begin()
	for i := range 250 {
		w.org.PutRole(fmt.Sprintf("r%03d", i), `{}`)
	}
	p := &pushed{ScanStore: w.store, w: w}
	w.store = p
	w.scan()
	w.store = p.ScanStore
	if len(p.roles) != 4 { // one before the first step, and one each in three steps
		t.Fatalf("%d pushes", len(p.roles))
	}
	w.rows()
	w.scanWants(p.roles...)
	w.scanWants()
}
