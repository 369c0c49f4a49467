package prepare_test

import (
	"crypto/rsa"
	"net/http"
	"testing"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/prepare"
)

func TestWhatWasMadeAlthoughItsAnswerWasLostIsNotAConflict(t *testing.T) {
	for name, c := range map[string]struct {
		path   string
		caller func(*site) (string, *rsa.PrivateKey)
		before func(*site)
	}{
		"user":   {"/users", func(s *site) (string, *rsa.PrivateKey) { return s.server.Superuser() }, func(*site) {}},
		"client": {"/clients", func(s *site) (string, *rsa.PrivateKey) { return "alice", s.adminKey("alice") }, func(*site) {}},
		"key": {"/users/ec_sync_user/keys", func(s *site) (string, *rsa.PrivateKey) { return s.server.Superuser() }, func(s *site) {
			s.server.AddUser("ec_sync_user")
			s.org.Associate("ec_sync_user")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c.before(s)
			user, key := c.caller(s)
			caller, err := chef.New(chef.Config{Name: "eu", URL: s.server.URL, User: user, Key: key, Retry: chef.RetryPolicy{Attempts: 2, Base: time.Millisecond}})
			if err != nil {
				t.Fatal(err)
			}
			lost := s.server.Fault(cheftest.Fault{Method: "POST", Path: c.path, Times: 1, DropAnswer: true})
			s.run(s.options(prepare.Primary, caller))
			if lost.Hits() != 1 {
				t.Error("no answer was lost")
			}
		})
	}
}

func TestAFurtherKeyIsKnownByAnswersThatOnlyRefuseRights(t *testing.T) {
	s := newSite(t)
	o := s.options(prepare.Primary, s.superuser())
	s.server.AddUser("ec_sync_user")
	s.org.Associate("ec_sync_user")
	s.run(o)
	s.server.Fault(cheftest.Fault{Method: "GET", Path: "/users/ec_sync_user", Status: 403, Body: `{"error":["missing read permission"]}`,
		Match: func(r *http.Request) bool { return r.Header.Get("X-Ops-UserId") == "ec_sync_user" }})
	if r := s.run(o); r.Changed {
		t.Errorf("steps %+v", r.Steps)
	}
}
