package doctor

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// Server is one Chef Server of the configuration.
type Server struct {
	Group string // as shown, such as "replica eu"
	Side  prepare.Side
	Orgs  []string // that are read or written
	User  string
	Kinds map[string][]replication.Kind // by organization, that are replicated
	// Client signs as the replication does; nil when the key can't be used, for
	// the reason in Problem.
	Client  *chef.Client
	Problem error
	Key     prepare.KeyStore
	// Prober sends plain requests, with the CA and TLS settings of the server.
	Prober *http.Client
	URL    string
	Now    func() time.Time
	// Feed probes the feed of an organization; nil where none is wanted.
	Feed func(ctx context.Context, org string) (note string, err error)
}

// Check looks at the way to the server, the clock, the key and each organization.
func (s Server) Check(ctx context.Context) []Check {
	l := &List{Group: s.Group}
	reachable := s.reach(ctx, l)
	switch {
	case s.Client == nil:
		l.Fail("key", "", s.Problem)
	case !reachable:
		l.Skip("signature of "+s.User, "the server can't be reached")
	default:
		s.sign(ctx, l)
	}
	return l.Checks
}

// reach looks at DNS, the connection, TLS and the clock by one plain request.
func (s Server) reach(ctx context.Context, l *List) bool {
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" {
		l.Fail("URL", "write it as https://chef.example.com", fmt.Errorf("%q can't be used", s.URL))
		return false
	}
	if net.ParseIP(u.Hostname()) == nil && !s.proxied(u) {
		addrs, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
		if err != nil {
			l.Fail("DNS", "check the name in the configuration and this machine's resolver", err)
			return false
		}
		l.OK("DNS", "%s is %s", u.Hostname(), strings.Join(addrs, ", "))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		l.Fail("URL", "", err)
		return false
	}
	req.Header.Set("X-Chef-Version", "18.0.0")
	resp, err := s.Prober.Do(req)
	if err != nil {
		s.unreached(l, err)
		return false
	}
	defer resp.Body.Close()
	l.OK("connection", "%s answers", s.URL)
	s.certificate(l, resp.TLS)
	s.clock(l, resp.Header.Get("Date"))
	return true
}

func (s Server) proxied(u *url.URL) bool {
	p, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	return err == nil && p != nil
}

func (s Server) unreached(l *List, err error) {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		l.Fail("TLS", "give the CA that signed the server's certificate as ca in the configuration", &replication.Error{Op: "connect", Class: replication.Unreachable, Err: cert.Err})
		return
	}
	l.Fail("connection", "check the URL, firewall and proxy settings", &replication.Error{Op: "connect", Class: replication.Unreachable, Err: errors.Unwrap(err)})
}

// certificate warns of a certificate that ends soon.
func (s Server) certificate(l *List, state *tls.ConnectionState) {
	if state == nil || len(state.PeerCertificates) == 0 {
		if strings.HasPrefix(s.URL, "http:") {
			l.Warn("TLS", "use https", "requests are signed but not encrypted")
		}
		return
	}
	end := state.PeerCertificates[0].NotAfter
	if left := end.Sub(s.Now()); left < 14*24*time.Hour {
		l.Warn("TLS", "renew the server's certificate", "the certificate ends on %s", end.UTC().Format(time.DateOnly))
		return
	}
	l.OK("TLS", "certificate until %s", end.UTC().Format(time.DateOnly))
}

// The server refuses signatures that are 900 s off (chef-server-api.md §1.3).
const (
	skewRefused = 900 * time.Second
	skewOdd     = 60 * time.Second
)

func (s Server) clock(l *List, date string) {
	at, err := http.ParseTime(date)
	if err != nil {
		l.Skip("clock", "the server doesn't tell its time")
		return
	}
	skew := s.Now().Sub(at).Abs().Round(time.Second)
	hint := "synchronize the clocks of this machine and of the server with NTP"
	switch {
	case skew >= skewRefused:
		l.Fail("clock", hint, &replication.Error{Op: "compare clocks", Class: replication.Denied, Err: fmt.Errorf("%s apart; signatures are refused from 15m on", skew)})
	case skew >= skewOdd:
		l.Warn("clock", hint, "%s apart; signatures are refused from 15m on", skew)
	default:
		l.OK("clock", "%s apart", skew)
	}
}

// sign looks at what needs signed requests.
func (s Server) sign(ctx context.Context, l *List) {
	version, err := s.Client.APIVersion(ctx)
	if err != nil {
		l.Fail("Chef Server API", "", err)
		return
	}
	if version < 2 {
		l.Warn("Chef Server API", "update the server: files outside the nine folders of a cookbook are lost below version 2", "version %d", version)
	} else {
		l.OK("Chef Server API", "version %d", version)
	}
	for _, org := range s.Orgs {
		s.organization(ctx, l, org)
	}
}

// organization checks what prepare-org prepares, and the feed.
func (s Server) organization(ctx context.Context, l *List, org string) {
	name := "organization " + org
	r, err := prepare.Run(ctx, prepare.Options{
		Org: org, Side: s.Side, Name: s.User, Kinds: s.Kinds[org], Check: true, Key: s.Key,
		Connect: func(*rsa.PrivateKey) (*chef.Client, error) { return s.Client, nil },
	})
	again := fmt.Sprintf("chef-sync-ctl prepare-org %s --side %s", org, s.Side)
	if err != nil {
		hint := hintOf(err)
		if k := chef.KindOf(err); k == chef.KindNotMember || k == chef.KindPermission || k == chef.KindKey {
			hint = again
		}
		l.Fail(name, hint, err)
		return
	}
	for _, step := range r.Steps {
		if step.State == prepare.Missing || step.State == prepare.Failed {
			l.Fail(name, again, &replication.Error{Op: step.What, Class: replication.Denied, Err: errors.New(step.Detail)})
			return
		}
	}
	who := s.User
	if r.Actor != "" {
		who = string(r.Actor) + " " + s.User
	}
	l.OK(name, "%s reads cookbooks, data bags, environments and roles", who)
	if s.Feed != nil {
		s.feed(ctx, l, org)
	}
}

func (s Server) feed(ctx context.Context, l *List, org string) {
	note, err := s.Feed(ctx, org)
	switch {
	case errors.Is(err, replication.ErrNoFeed):
		l.OK("feed of "+org, "none yet: %s", note)
	case err != nil:
		l.Fail("feed of "+org, "", err)
	default:
		l.OK("feed of "+org, "%s", note)
	}
}

func asChef(err error) (*chef.Error, bool) {
	var e *chef.Error
	return e, errors.As(err, &e)
}
