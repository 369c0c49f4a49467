package cheftest_test

import (
	"context"
	"strings"
	"testing"

	"chefsync/pkg/chef/cheftest"
	"chefsync/pkg/chef/contract"
)

// testServer is a server with an organization, and somebody to call it as.
type testServer struct {
	*testing.T
	srv *cheftest.Server
	org *cheftest.Org
	as  contract.Caller
}

// newTestServer has an organization acme and calls as its member alice, who isn't
// an admin.
func newTestServer(t *testing.T, opts ...cheftest.Options) *testServer {
	t.Helper()
	var o cheftest.Options
	if len(opts) > 0 {
		o = opts[0]
	}
	w := &testServer{T: t, srv: cheftest.New(o)}
	if o.Orgless {
		w.org = w.srv.Org("")
	} else {
		w.org = w.srv.AddOrg("acme")
	}
	w.as = contract.Caller{Base: w.org.URL(), User: "alice", Key: w.srv.AddUser("alice"), HTTP: w.srv.Client()}
	w.org.Associate("alice")
	return w
}

// superuser is the superuser, at the organization.
func (w *testServer) superuser() contract.Caller {
	c := w.as
	c.User, c.Key = w.srv.Superuser()
	return c
}

// addClient is a fresh API client of the organization.
func (w *testServer) addClient(name string) contract.Caller {
	c := w.as
	c.User, c.Key = name, w.org.AddClient(name)
	return c
}

// atRoot calls as somebody at the server's root.
func (w *testServer) atRoot(c contract.Caller) contract.Caller {
	c.Base = w.srv.URL
	return c
}

func (w *testServer) call(c contract.Caller, method, path, body string) contract.Reply {
	w.Helper()
	r, err := c.Do(context.Background(), method, path, body)
	if err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// wantStatus calls as alice and checks the status and, if given, parts of the body.
func (w *testServer) wantStatus(status int, method, path, body string, parts ...string) contract.Reply {
	w.Helper()
	return w.wantAs(w.as, status, method, path, body, parts...)
}

func (w *testServer) wantAs(c contract.Caller, status int, method, path, body string, parts ...string) contract.Reply {
	w.Helper()
	r := w.call(c, method, path, body)
	if r.Status != status {
		w.Fatalf("%s %s: got %d %s, want %d", method, path, r.Status, r.Body, status)
	}
	for _, p := range parts {
		if !strings.Contains(string(r.Body), p) {
			w.Fatalf("%s %s: got %s, want it to contain %s", method, path, r.Body, p)
		}
	}
	return r
}

func orglessOptions() cheftest.Options { return cheftest.Options{Orgless: true} }
