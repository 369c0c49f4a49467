package doctor

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/prepare"
	"chefsync/pkg/replication"
)

// Server is one Chef Server of the configuration.
type Server struct {
	Group string // as shown, such as "replica eu"
	Side  prepare.Side
	Orgs  []string // that are read or written
	User  string
	Kinds map[string][]object.Kind // by organization, that are replicated
	// Client signs as the replication does; nil when the key can't be used, for
	// the reason in Problem.
	Client  *chef.Client
	Problem error
	// KeyMissing is set if another check has reported that there is no key.
	KeyMissing bool
	Key        prepare.KeyStore
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
	reachable := s.checkConnection(ctx, l)
	switch {
	case s.Client == nil && s.KeyMissing:
		l.Skip("signature of "+s.User, "no key; see above")
	case s.Client == nil:
		l.Fail("key", "", s.Problem)
	case !reachable:
		l.Skip("signature of "+s.User, "the server can't be reached")
	default:
		s.checkSigned(ctx, l)
	}
	return l.Checks
}

// checkConnection looks at DNS, the connection, TLS and the clock by one plain request.
func (s Server) checkConnection(ctx context.Context, l *List) bool {
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" {
		l.Fail("URL", "write it as https://chef.example.com", fmt.Errorf("%q can't be used", s.URL))
		return false
	}
	if net.ParseIP(u.Hostname()) == nil && !s.usesProxy(u) {
		addrs, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
		if err != nil {
			l.Fail("DNS", "check the name in the configuration and this machine's resolver", &fault.Error{Op: "resolve the name",
				Class: fault.Unreachable, Err: err})
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
		s.addConnectionFailure(l, err)
		return false
	}
	defer resp.Body.Close()
	if s.wantsTLS(resp) {
		l.Fail("TLS", "write https:// into the URL", &fault.Error{Op: "connect", Class: fault.Unreachable,
			Err: errors.New("the server uses TLS on this port, not plain HTTP")})
		return false
	}
	l.OK("connection", "%s answers", s.URL)
	s.checkCertificate(l, resp.TLS)
	s.checkClock(ctx, l, resp.Header.Get("Date"))
	return true
}

func (s Server) usesProxy(u *url.URL) bool {
	p, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	return err == nil && p != nil
}

func (s Server) addConnectionFailure(l *List, err error) {
	if text, hint := chef.ExplainTLS(err); text != "" {
		l.Fail("TLS", hint, &fault.Error{Op: "connect", Class: fault.Unreachable, Err: errors.New(text)})
		return
	}
	l.Fail("connection", "check the URL, firewall and proxy settings", &fault.Error{Op: "connect",
		Class: fault.Unreachable, Err: errors.Unwrap(err)})
}

// wantsTLS reports whether a server that was asked in plain HTTP uses TLS: nginx and
// Go's servers say so with a 400.
func (s Server) wantsTLS(resp *http.Response) bool {
	if resp.StatusCode != http.StatusBadRequest || !strings.HasPrefix(s.URL, "http:") {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return err == nil && strings.Contains(string(body), "HTTPS")
}

// checkCertificate warns of a certificate that ends soon.
func (s Server) checkCertificate(l *List, state *tls.ConnectionState) {
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

// The server refuses signatures that are 900 s off (docs/chef-server-api.md §1.3).
const (
	skewRefused = 900 * time.Second
	skewOdd     = 60 * time.Second
)

// checkClock compares this machine's clock with that of the server's application, which
// checks signatures. Without a key only the Date header is to be had, which comes from
// the proxy in front: nginx, on a Chef Infra Server.
func (s Server) checkClock(ctx context.Context, l *List, date string) {
	if s.Client != nil && len(s.Orgs) > 0 {
		skew, known, err := s.Client.Org(s.Orgs[0]).ClockSkew(ctx)
		switch {
		case chef.KindOf(err) == chef.KindClockSkew:
			l.Fail("clock", clockHint, &fault.Error{Op: "compare clocks", Class: fault.Denied,
				Err: errors.New("the server rejects this machine's time; signatures are rejected from a difference of 15m" + s.skewByDate(date))})
			return
		case err == nil && known:
			s.addClockSkew(l, skew.Abs(), "")
			return
		}
	}
	at, err := http.ParseTime(date)
	if err != nil {
		l.Skip("clock", "the server doesn't send its time")
		return
	}
	s.addClockSkew(l, s.Now().Sub(at).Abs().Round(time.Second), ", according to the Date header, which may come from a proxy in front of the server")
}

const clockHint = "synchronize the clocks of this machine and of the server with NTP"

func (s Server) addClockSkew(l *List, skew time.Duration, how string) {
	switch {
	case skew >= skewRefused:
		l.Fail("clock", clockHint, &fault.Error{Op: "compare clocks", Class: fault.Denied,
			Err: fmt.Errorf("%s apart%s; signatures are rejected from 15m", skew, how)})
	case skew >= skewOdd:
		l.Warn("clock", clockHint, "%s apart%s; signatures are rejected from 15m", skew, how)
	case how == "":
		l.OK("clock", "less than 1m apart")
	default:
		l.OK("clock", "%s apart%s", skew, how)
	}
}

// skewByDate says how far off the server's clock is, if its Date header shows it.
func (s Server) skewByDate(date string) string {
	at, err := http.ParseTime(date)
	if err != nil || s.Now().Sub(at).Abs() < skewRefused {
		return ""
	}
	return fmt.Sprintf(" (%s apart, according to the Date header)", s.Now().Sub(at).Abs().Round(time.Second))
}

// checkSigned looks at what needs signed requests.
func (s Server) checkSigned(ctx context.Context, l *List) {
	version, err := s.Client.APIVersion(ctx)
	if err != nil {
		l.Fail("Chef Server API", "", err)
		return
	}
	if version < 2 {
		l.Warn("Chef Server API", "update the server: files outside the nine folders of a cookbook are lost below version 2",
			"version %d", version)
	} else {
		l.OK("Chef Server API", "version %d", version)
	}
	if w := s.Client.LicenseWarning(); w != "" {
		l.Warn("license", "renew it before the server refuses all requests (chef-automate license apply on the server)", "%s", w)
	}
	unchecked := map[string][]string{} // organizations by what was not checked
	for _, org := range s.Orgs {
		if rights := s.checkOrganization(ctx, l, org); rights != "" {
			unchecked[rights] = append(unchecked[rights], org)
		}
	}
	for _, rights := range slices.Sorted(maps.Keys(unchecked)) {
		orgs := unchecked[rights]
		name, which := "rights in "+orgs[0], orgs[0]
		if n := len(orgs); n > 1 {
			name, which = "rights in "+ui.Plural(n, "organization"), "--all"
		}
		l.Skip(name, "not checked: %s. To check them with an admin's key: %s --check --admin-user NAME --admin-key FILE", rights, s.prepareCommand(which))
	}
}

// prepareCommand returns the command that prepares organizations on the server.
func (s Server) prepareCommand(orgs string) string {
	command := fmt.Sprintf("chef-sync-ctl prepare-org %s --side %s", orgs, s.Side)
	if s.Side == prepare.Replica && s.Client != nil {
		command += " --replica " + s.Client.Name()
	}
	return command
}

// checkOrganization checks what prepare-org prepares, and the feed. It returns the rights
// that were not checked, or "".
func (s Server) checkOrganization(ctx context.Context, l *List, org string) (unchecked string) {
	name := "organization " + org
	r, err := prepare.Run(ctx, prepare.Options{
		Org: org, Side: s.Side, Name: s.User, Kinds: s.Kinds[org], Check: true, Key: s.Key,
		Connect: func(*rsa.PrivateKey) (*chef.Client, error) { return s.Client, nil },
	})
	again := s.prepareCommand(org)
	if err != nil {
		hint := fault.HintOf(err)
		switch chef.KindOf(err) {
		case chef.KindNotMember, chef.KindPermission:
			hint = again
		case chef.KindKey: // which a backup that was restored may have replaced
			hint = strings.Replace(hint, "chef-sync-ctl prepare-org", again, 1)
		}
		l.Fail(name, hint, err)
		return ""
	}
	for _, step := range r.Steps {
		if s := step.State; (s == prepare.Missing || s == prepare.Failed) && len(r.Refused) == 0 {
			l.Fail(name, again, &fault.Error{Op: step.What, Class: fault.Denied, Err: errors.New(step.Detail)})
			return ""
		}
	}
	who := s.User
	if r.Actor != "" {
		who = string(r.Actor) + " " + s.User
	}
	s.checkRights(l, org, who, again, r)
	if s.Feed != nil {
		s.checkFeed(ctx, l, org)
	}
	if s.Side == prepare.Replica && len(r.Refused) == 0 {
		unchecked = strings.Join(r.Unchecked, "; ")
	}
	return unchecked
}

// checkRights says what the user may do with what is replicated. On a replica not all of
// it shows without an admin's key.
func (s Server) checkRights(l *List, org, who, again string, r *prepare.Report) {
	name, kinds := "organization "+org, s.kindWords(org)
	switch {
	case len(r.Refused) > 0:
		l.Fail(name, again, &fault.Error{Op: "check the permissions of " + who, Server: r.Server, Class: fault.Denied,
			Err: fmt.Errorf("it can read, but creating is refused (403) in %s; it needs create, update and delete on %s, and create on sandboxes",
				joinWords(r.Refused), kinds)})
	case s.Side == prepare.Replica && len(r.Unchecked) == 0:
		l.OK(name, "%s reads and writes %s", who, kinds)
	default:
		l.OK(name, "%s reads %s", who, kinds)
	}
}

// kindWords lists what is replicated of an organization.
func (s Server) kindWords(org string) string {
	kinds := s.Kinds[org]
	if len(kinds) == 0 {
		kinds = object.DefaultKinds()
	}
	var words []string
	for _, k := range kinds {
		if w := strings.ReplaceAll(k.ConfigName(), "_", " "); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return joinWords(words)
}

// joinWords joins words as a sentence does.
func joinWords(words []string) string {
	n := len(words) - 1
	if n < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + " and " + words[n]
}

func (s Server) checkFeed(ctx context.Context, l *List, org string) {
	note, err := s.Feed(ctx, org)
	if err != nil && !errors.Is(err, replication.ErrNoFeed) {
		l.Fail("feed of "+org, "", err)
		return
	}
	l.OK("feed of "+org, "%s", note) // a server without a feed is scanned
}
