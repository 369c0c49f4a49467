package endpoint

import (
	"context"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/object"
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
// replica's are enough (docs/chef-server-api.md §8).
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

// A create that the container's ACL refuses is refused for all objects of the kind.
func TestACreateThatTheContainerRefusesIsOfTheWholeKind(t *testing.T) {
	w := newWorld(t)
	fill(w.from)
	fillPolicies(w.from)
	readOnly := NewTarget(as(t, w.replica, "reader", w.to.AddClient("reader")).Org("copy"), TargetOptions{})
	for path, want := range map[string]string{
		"/roles/web": "/roles", "/environments/prod": "/environments", "/data/users": "/data", "/data/users/alice": "/data", "/cookbooks/a/1.0.0": "/cookbooks", "/cookbooks/b/0.1.0": "/cookbooks",
		"/policies/app/revisions/r1": "/policies", "/policy_groups/prod/policies/app": "/policy_groups", "/cookbook_artifacts/a/" + artifactID: "/cookbook_artifacts",
	} {
		obj := w.get(path)
		err := readOnly.Put(context.Background(), obj, true, fromSource{w.source, obj})
		e := wantClass(t, err, replication.Denied)
		if !errors.Is(err, replication.ErrMayNotCreate) || chef.KindOf(err) != chef.KindPermission || e.Ref.Path() != want ||
			!strings.Contains(e.Hint, "prepare-org copy --side replica --replica reader") || !strings.Contains(err.Error(), "user reader has no create permission on the container") {
			t.Errorf("%s: %v (%s), want a refusal of %s", path, err, e.Hint, want)
		}
	}
}

// Cookbooks, policies, groups and artifacts are created by the requests that update
// them: what is there tells the two apart.
func TestAWriteThatOneObjectRefusesStaysOneObjectsError(t *testing.T) {
	w := newWorld(t)
	fill(w.from)
	fillPolicies(w.from)
	copyAll(t, w.source, w.target)
	fillPolicies(w.to)
	writer := NewTarget(as(t, w.replica, "reader", w.to.AddClient("reader")).Org("copy"), TargetOptions{})
	w.to.SetACE("containers/sandboxes", "create", "clients")
	if err := writer.Put(context.Background(), w.get("/data/users"), true, nil); err != nil {
		t.Errorf("a bag that is there: %v", err)
	}
	for _, path := range append([]string{"/roles/web", "/environments/prod", "/data/users/alice", "/cookbooks/a/1.0.0"}, "/policies/app/revisions/r1", "/policy_groups/prod/policies/app") {
		obj := w.get(path)
		err := writer.Put(context.Background(), obj, false, fromSource{w.source, obj})
		if wantClass(t, err, replication.Rejected); errors.Is(err, replication.ErrMayNotCreate) {
			t.Errorf("%s: %v is taken for a refusal of the whole kind", path, err)
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
		_, err := NewSource(org, nil).List(context.Background(), object.Scope{Kind: object.Role})
		if e := wantClass(t, err, replication.Denied); e.Hint == "" {
			t.Errorf("%s: no hint in %v", name, e)
		}
	}
}
