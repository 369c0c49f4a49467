package endpoint

import (
	"context"
	"crypto/rsa"
	"testing"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/replication"
)

func as(t *testing.T, s *cheftest.Server, user string, key *rsa.PrivateKey) *chef.Client {
	t.Helper()
	c, err := chef.New(chef.Config{Name: user, URL: s.URL, User: user, Key: key, Retry: chef.RetryPolicy{Attempts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An API client of the primary's organization and a plain member of the
// replica's are enough (chef-server-api.md §8).
func TestLeastPrivilegeIsEnough(t *testing.T) {
	w := newWorld(t)
	fill(w.from)
	reader := as(t, w.primary, "reader", w.from.AddClient("reader"))
	key := w.replica.AddUser("writer")
	w.to.Associate("writer")
	writer := as(t, w.replica, "writer", key)
	source, target := NewSource(reader.Org("acme"), nil), NewTarget(writer.Org("copy"), TargetOptions{})
	copyAll(t, source, target)
	if _, err := source.Identity(context.Background()); err != nil {
		t.Error(err)
	}
	for _, ref := range everything(t, target) {
		if err := target.Delete(context.Background(), ref); err != nil {
			t.Error(err)
		}
	}
}

func TestWritingWithoutRightsSetsTheObjectAside(t *testing.T) {
	w := newWorld(t)
	fill(w.from)
	readOnly := NewTarget(as(t, w.replica, "reader", w.to.AddClient("reader")).Org("copy"), TargetOptions{})
	for _, path := range []string{"/roles/web", "/data/users/alice", "/cookbooks/a/1.0.0"} {
		obj := w.get(path)
		e := wantClass(t, readOnly.Put(context.Background(), obj, true, fromSource{w.source, obj}), replication.Rejected)
		if chef.KindOf(e) != chef.KindPermission || e.Hint == "" {
			t.Errorf("%s: %v", path, e)
		}
	}
}

func TestStrangersAreDenied(t *testing.T) {
	w := newWorld(t)
	key := w.primary.AddUser("stranger")
	for name, org := range map[string]*chef.Org{
		"not a member":    as(t, w.primary, "stranger", key).Org("acme"),
		"no such user":    as(t, w.primary, "nobody", key).Org("acme"),
		"no organization": as(t, w.primary, "stranger", key).Org("missing"),
	} {
		_, err := NewSource(org, nil).List(context.Background(), replication.Scope{Kind: replication.Role})
		if e := wantClass(t, err, replication.Denied); e.Hint == "" {
			t.Errorf("%s: no hint in %v", name, e)
		}
	}
}
