package prepare_test

import (
	"crypto/rsa"
	"net/http"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/fault"
	"chefsync/pkg/prepare"
)

func TestCreateWhoseAnswerWasLostIsNotAConflict(t *testing.T) {
	for name, c := range map[string]struct {
		path   string
		caller func(*fixture) (string, *rsa.PrivateKey)
		before func(*fixture)
	}{
		"user":   {"/users", func(s *fixture) (string, *rsa.PrivateKey) { return s.server.Superuser() }, func(*fixture) {}},
		"client": {"/clients", func(s *fixture) (string, *rsa.PrivateKey) { return "alice", s.adminKey("alice") }, func(*fixture) {}},
		"key": {"/users/ec_sync_user/keys", func(s *fixture) (string, *rsa.PrivateKey) { return s.server.Superuser() }, func(s *fixture) {
			s.server.AddUser("ec_sync_user")
			s.org.Associate("ec_sync_user")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t)
			c.before(s)
			user, key := c.caller(s)
			caller, err := chef.New(chef.Config{Name: "eu", URL: s.server.URL, User: user, Key: key,
				Retry: chef.RetryPolicy{Attempts: 2, Base: time.Millisecond}})
			if err != nil {
				t.Fatal(err)
			}
			lost := s.server.Fault(cheftest.Fault{Method: "POST", Path: c.path, Times: 1, DropAnswer: true})
			s.mustRun(s.newOptions(prepare.Primary, caller))
			if lost.Hits() != 1 {
				t.Error("no answer was lost")
			}
		})
	}
}

func TestFurtherKeyIsRecognizedByAForbiddenAnswer(t *testing.T) {
	s := newFixture(t)
	o := s.newOptions(prepare.Primary, s.superuserClient())
	s.server.AddUser("ec_sync_user")
	s.org.Associate("ec_sync_user")
	s.mustRun(o)
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/users/ec_sync_user", Status: 403, Body: `{"error":["missing read permission"]}`,
		Match: func(r *http.Request) bool { return r.Header.Get("X-Ops-UserId") == "ec_sync_user" }})
	if r := s.mustRun(o); r.Changed {
		t.Errorf("steps %+v", r.Steps)
	}
}

// TestAUserOfAnotherOrganizationWithTheSameName: users belong to the whole server, and an admin
// of one organization can't add keys to them.
func TestAUserOfAnotherOrganizationWithTheSameName(t *testing.T) {
	s := newFixture(t)
	s.server.AddUser("ec_sync_user")
	o := s.newOptions(prepare.Replica, s.adminClient("alice"))
	if _, err := prepare.Run(t.Context(), o); !strings.Contains(fault.HintOf(err), "add --actor client") {
		t.Fatalf("error %v with hint %q", err, fault.HintOf(err))
	}
	o.Actor = prepare.Client
	s.mustRun(o)
	o.Actor = prepare.Auto
	if r := s.mustRun(o); r.Actor != prepare.Client || r.Changed {
		t.Errorf("actor %s, steps %+v; want the client again", r.Actor, r.Steps)
	}
}
