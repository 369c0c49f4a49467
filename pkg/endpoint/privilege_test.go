package endpoint

import (
	"context"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

func newClientAs(t *testing.T, s *cheftest.Server, user string, key *rsa.PrivateKey) *chef.Client {
	t.Helper()
	c, err := chef.New(chef.Config{Name: user, URL: s.URL, User: user, Key: key, Retry: chef.RetryPolicy{Attempts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLeastPrivilege: an API client of the primary's organization and a plain member of the
// replica's are enough (docs/chef-server-api.md §8).
func TestLeastPrivilege(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	reader := newClientAs(t, w.primary, "reader", w.from.AddClient("reader"))
	key := w.replica.AddUser("writer")
	w.to.Associate("writer")
	writer := newClientAs(t, w.replica, "writer", key)
	source, target := NewSource(reader.Org("acme"), nil), NewTarget(writer.Org("copy"), TargetOptions{})
	copyAll(t, source, target)
	if _, err := source.Identity(context.Background()); err != nil {
		t.Error(err)
	}
	for _, ref := range listAll(t, target) {
		if err := target.Delete(context.Background(), ref); err != nil {
			t.Error(err)
		}
	}
}

// TestRefusedCreateConcernsTheKind: the ACL of the container refuses the create of any
// object of the kind.
func TestRefusedCreateConcernsTheKind(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	fillPolicies(w.from)
	readOnly := NewTarget(newClientAs(t, w.replica, "reader", w.to.AddClient("reader")).Org("copy"), TargetOptions{})
	for path, want := range map[string]string{
		"/roles/web": "/roles", "/environments/prod": "/environments", "/data/users": "/data", "/data/users/alice": "/data",
		"/cookbooks/a/1.0.0": "/cookbooks", "/cookbooks/b/0.1.0": "/cookbooks",
		"/policies/app/revisions/r1": "/policies", "/policy_groups/prod/policies/app": "/policy_groups", "/cookbook_artifacts/a/" +
			artifactID: "/cookbook_artifacts",
	} {
		obj := w.mustGet(path)
		err := readOnly.Put(context.Background(), obj, true, sourceContent{w.source, obj})
		e := wantClass(t, err, fault.Denied)
		if !errors.Is(err, replication.ErrMayNotCreate) || chef.KindOf(err) != chef.KindPermission || e.Object.Path() != want ||
			!strings.Contains(e.Hint, "prepare-org copy --side replica --replica reader") ||
			!strings.Contains(err.Error(), "user reader has no create permission on the container") {
			t.Errorf("%s: %v (%s), want a refusal of %s", path, err, e.Hint, want)
		}
	}
}

// TestRefusedWriteConcernsTheObject: cookbooks, policies, groups and artifacts are created
// and updated by the same requests, which differ by whether the object exists.
func TestRefusedWriteConcernsTheObject(t *testing.T) {
	w := newFixture(t)
	fillOrg(w.from)
	fillPolicies(w.from)
	copyAll(t, w.source, w.target)
	fillPolicies(w.to)
	writer := NewTarget(newClientAs(t, w.replica, "reader", w.to.AddClient("reader")).Org("copy"), TargetOptions{})
	w.to.SetACE("containers/sandboxes", "create", "clients")
	if err := writer.Put(context.Background(), w.mustGet("/data/users"), true, nil); err != nil {
		t.Errorf("an existing data bag: %v", err)
	}
	for _, path := range append([]string{"/roles/web", "/environments/prod", "/data/users/alice", "/cookbooks/a/1.0.0"},
		"/policies/app/revisions/r1", "/policy_groups/prod/policies/app") {
		obj := w.mustGet(path)
		err := writer.Put(context.Background(), obj, false, sourceContent{w.source, obj})
		if wantClass(t, err, fault.Forbidden); errors.Is(err, replication.ErrMayNotCreate) {
			t.Errorf("%s: %v, want an error of the object only", path, err)
		}
	}
}

func TestUnauthorizedUsersAreDenied(t *testing.T) {
	w := newFixture(t)
	key := w.primary.AddUser("outsider")
	for name, c := range map[string]struct {
		org  *chef.Org
		want fault.Class
	}{
		"not a member":    {newClientAs(t, w.primary, "outsider", key).Org("acme"), fault.Denied},
		"no such user":    {newClientAs(t, w.primary, "nobody", key).Org("acme"), fault.Denied},
		"no organization": {newClientAs(t, w.primary, "outsider", key).Org("missing"), fault.NoOrganization},
	} {
		_, err := NewSource(c.org, nil).List(context.Background(), object.Scope{Kind: object.Role})
		if e := wantClass(t, err, c.want); e.Hint == "" {
			t.Errorf("%s: no hint in %v", name, e)
		}
	}
}
