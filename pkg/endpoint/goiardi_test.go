package endpoint

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/goiarditest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// listAll returns all objects of an organization.
func listAll(t *testing.T, r replication.Reader) []object.Ref {
	t.Helper()
	ctx := context.Background()
	var all []object.Ref
	for _, k := range []object.Kind{object.DataBag, object.Role, object.Cookbook, object.Environment} {
		refs, err := r.List(ctx, object.Scope{Kind: k})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, refs...)
		if k != object.DataBag {
			continue
		}
		for _, bag := range refs {
			items, err := r.List(ctx, object.Scope{Kind: object.DataBagItem, Name: bag.Name})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, items...)
		}
	}
	return all
}

// copyAll copies all objects and checks that the target then has the expected ones.
func copyAll(t *testing.T, from *Source, to *Target) {
	t.Helper()
	ctx := context.Background()
	refs := listAll(t, from)
	for _, create := range []bool{true, false} {
		for _, ref := range refs {
			obj, err := from.Get(ctx, ref)
			if err != nil {
				t.Fatal(err)
			}
			if err := to.Put(ctx, obj, create, sourceContent{from, obj}); err != nil {
				t.Errorf("put %s: %v", ref, err)
				continue
			}
			want, _, err := to.Expect(context.Background(), obj)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := to.Get(ctx, ref); err != nil || got.Fingerprint != want {
				t.Errorf("%s: error %v, or another fingerprint:\nsent %s\ngot  %s", ref, err, obj.Body, got.Body)
			}
		}
	}
	if got, want := fmt.Sprint(listAll(t, to)), fmt.Sprint(refs); got != want {
		t.Errorf("the target lists %s, want %s", got, want)
	}
}

func TestGoiardiAsReplicaAndPrimary(t *testing.T) {
	goiardi := goiarditest.Start(t)
	org := goiardi.Client().Org("any")
	w := newFixture(t)
	fillOrg(w.from)
	w.from.PutDataBagItem("users", "nested", `{"id":"nested","deep":{"a":[1,2.50,{"b":null}],"big":98765432109876543210},"<tag>":"é"}`)
	// Only files that a server with API version 1 can store.
	w.from.PutCookbook("a", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("one"), "metadata.rb": []byte("two"),
		"files/default/same": []byte("one"), "files/default/empty": {}}, true)

	t.Run("as a replica", func(t *testing.T) { copyAll(t, w.source, NewTarget(org, TargetOptions{})) })
	t.Run("as a primary", func(t *testing.T) {
		copyAll(t, NewSource(org, nil), w.target)
		w.wantSameServers()
	})
	t.Run("an updated cookbook", func(t *testing.T) {
		// Goiardi drops the files of the old version; the new one shares some.
		w.from.DeleteCookbook("a", "1.0.0")
		w.from.PutCookbook("a", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("one"), "recipes/new.rb": []byte("new")}, false)
		copyAll(t, w.source, NewTarget(org, TargetOptions{}))
	})
	t.Run("omitted files are reported", func(t *testing.T) {
		w.from.PutCookbook("o", "1.0.0", map[string][]byte{"ohai/p.rb": []byte("p"), "recipes/r.rb": []byte("r")}, false)
		obj := w.mustGet("/cookbooks/o/1.0.0")
		err := NewTarget(org, TargetOptions{}).Put(context.Background(), obj, true, sourceContent{w.source, obj})
		if e := wantClass(t, err, fault.Degraded); !strings.Contains(e.Error(), "ohai/p.rb") {
			t.Errorf("error %v", e)
		}
	})
	t.Run("identity", func(t *testing.T) {
		id, err := NewSource(org, nil).Identity(context.Background())
		if err != nil || id != goiardi.URL {
			t.Errorf("identity %q, error %v", id, err)
		}
	})
	t.Run("deletes", func(t *testing.T) {
		target := NewTarget(org, TargetOptions{})
		for range 2 {
			for _, ref := range listAll(t, w.source) {
				if err := target.Delete(context.Background(), ref); err != nil {
					t.Error(err)
				}
			}
		}
		if left := listAll(t, target); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	t.Run("a killed server is unreachable", func(t *testing.T) {
		goiardi.Kill()
		_, err := NewSource(org, nil).List(context.Background(), object.Scope{Kind: object.Role})
		wantClass(t, err, fault.Unreachable)
		if chef.KindOf(err) != chef.KindUnreachable {
			t.Errorf("error %v", err)
		}
		goiardi.Restart()
		if _, err := NewSource(org, nil).List(context.Background(), object.Scope{Kind: object.Role}); err != nil {
			t.Error(err)
		}
	})
}

// TestServerLikeGoiardiAsReplica covers this where goiardi isn't installed.
func TestServerLikeGoiardiAsReplica(t *testing.T) {
	like := cheftest.Start(t, cheftest.Options{Orgless: true, MaxAPIVersion: 1, LenientVersion: true, EmptyUnknown: true, NoFrontEnd: true})
	user, key := like.Superuser()
	c, err := chef.New(chef.Config{Name: "replica", URL: like.URL, Orgless: true, User: user, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	w := newFixture(t)
	fillOrg(w.from)
	w.from.PutCookbook("a", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("one"), "metadata.rb": []byte("two")}, true)
	copyAll(t, w.source, NewTarget(c.Org("any"), TargetOptions{}))
}

func TestBulkReadsFromGoiardi(t *testing.T) {
	org := goiarditest.Start(t).Client().Org("any")
	w := newFixture(t)
	fillOrgMany(w.from, 30)
	target := NewTarget(org, TargetOptions{})
	for _, ref := range listAll(t, w.source) {
		obj, err := w.source.Get(t.Context(), ref)
		if err == nil {
			err = target.Put(t.Context(), obj, true, sourceContent{w.source, obj})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, o := range map[string]replication.BulkOptions{"pages": {Listed: true, BodyBytes: 1 << 20}, "names": {BodyBytes: 1 << 20}} {
		source := NewSource(org, nil)
		items := slices.DeleteFunc(listAll(t, source), func(ref object.Ref) bool { return ref.Kind == object.DataBag })
		found := source.GetBulk(t.Context(), items, o)
		if len(found) != 120 {
			t.Errorf("%s: found %d of 120 objects", what, len(found))
		}
		wantCurrent(t, source, found)
	}
}
