package cheftest

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Superuser is the name of the user that may do everything.
const Superuser = "pivotal"

// Server is a Chef Server. Create one with [New], [Start] or [Listen].
type Server struct {
	// URL is the base URL, without a slash at its end.
	URL string

	opts     Options
	routes   map[string][]route
	secret   []byte // signs file URLs
	http     *http.Server
	listener *listener
	faults   faultList
	log      requestLog
	moments  atomic.Int64 // counts events, to know which requests overlapped

	mu          sync.Mutex // guards all below, and all of every Org
	users       map[string]*account
	orgs        map[string]*Org
	pivotal     *rsa.PrivateKey
	userACLs    map[string]acl
	maintenance bool
	license     string
	indexDown   bool
	feeds       bool
	uploads     int
}

// TB is what Start needs of a test.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// New returns a server that isn't on the network; use it as an http.Handler or
// through [Server.Transport]. Its URL is http://chef.test until the caller
// changes it.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	s := &Server{
		URL: "http://chef.test", opts: opts, secret: make([]byte, 32), feeds: opts.UpdatedSince,
		users: map[string]*account{}, orgs: map[string]*Org{}, userACLs: map[string]acl{},
	}
	_, _ = rand.Read(s.secret)
	s.routes = s.routeTable()
	s.users[Superuser] = &account{name: Superuser, kind: userKind, authz: guidOf("user", Superuser)}
	s.userACLs[Superuser] = newUserACL(Superuser)
	if opts.Orgless {
		s.orgs[""] = newOrg(s, "")
	}
	return s
}

// Start runs a server on a free loopback port until the test ends. At most one
// Options is used.
func Start(t TB, opts ...Options) *Server {
	t.Helper()
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	s, err := Listen("127.0.0.1:0", o)
	if err != nil {
		t.Fatalf("cheftest: %v", err)
		return nil
	}
	t.Cleanup(s.Close)
	return s
}

// Listen runs a server at addr, such as "127.0.0.1:0", until Close.
func Listen(addr string, opts Options) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := New(opts)
	s.URL = "http://" + l.Addr().String()
	s.listener = &listener{Listener: l}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(s.listener) }()
	return s, nil
}

// Stop closes all connections, and from now on each new one, as if the server were
// down. It keeps the address, so that no other process gets it: a client that still
// uses it must not reach another server.
func (s *Server) Stop() {
	if s.http != nil {
		s.listener.refuseAll()
	}
}

// Close stops listening and closes all connections.
func (s *Server) Close() {
	if s.http != nil {
		_ = s.http.Close()
	}
}

// Superuser returns the superuser's name and private key.
func (s *Server) Superuser() (name string, key *rsa.PrivateKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pivotal == nil {
		s.pivotal = s.newKey()
		s.users[Superuser].addKey("default", &s.pivotal.PublicKey)
	}
	return Superuser, s.pivotal
}

// AddUser creates a user of the server, a member of no organization, and returns
// the private key. An existing user gets a new key.
func (s *Server) AddUser(name string) *rsa.PrivateKey {
	key := s.newKey()
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[name]
	if u == nil {
		u = s.newUser(name, name+"@example.com")
	}
	u.addKey("default", &key.PublicKey)
	return key
}

// AddOrg creates an organization with the groups, containers and rights of a new
// one (docs/chef-server-api.md §8.1), or returns the existing one. Users become
// members by [Org.Associate].
func (s *Server) AddOrg(name string) *Org {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.orgs[name] == nil {
		s.orgs[name] = newOrg(s, name)
	}
	return s.orgs[name]
}

// Org returns an organization, or nil. The one of an Orgless server has the name "".
func (s *Server) Org(name string) *Org {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orgs[name]
}

// DeleteOrg deletes an organization with all its content.
func (s *Server) DeleteOrg(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.orgs, name)
}

// SetUpdatedSince turns the change feed on or off. Changes are recorded
// always.
func (s *Server) SetUpdatedSince(on bool) { s.withLock(func() { s.feeds = on }) }

// SetMaintenance makes the front end answer everything with 503.
func (s *Server) SetMaintenance(on bool) { s.withLock(func() { s.maintenance = on }) }

// SetLicense makes the API answer everything with 403 and this text, as
// servers with an expired license do (docs/chef-server-api.md §1.6); "" ends it.
func (s *Server) SetLicense(problem string) { s.withLock(func() { s.license = problem }) }

// SetIndexDown makes writes of indexed objects fail with 500, as they do while
// the search engine is down (docs/chef-server-api.md §4.6).
func (s *Server) SetIndexDown(down bool) { s.withLock(func() { s.indexDown = down }) }

func (s *Server) withLock(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *Server) now() time.Time { return s.opts.Now().UTC() }
