package assembly

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
)

// Client returns the client of a server, which all pairs share.
func (f *Fleet) Client(ctx context.Context, s config.Server) (*chef.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[s.Name]; c != nil {
		return c, nil
	}
	key, err := f.Key(ctx, s.Key)
	if err != nil {
		return nil, secretError(&fault.Error{Op: "load the key of " + s.User, Server: s.Name, Class: fault.Denied,
			Hint: "check key in the configuration; chef-sync-ctl prepare-org creates one"}, err)
	}
	c, err := f.Connect(ctx, s, s.User, key)
	if err != nil {
		return nil, err
	}
	f.clients[s.Name] = c
	return c, nil
}

// breakerOf returns the circuit breaker of a server by its URL. It outlives the clients:
// a server that is down stays so when its key is read again.
func (f *Fleet) breakerOf(url string) *chef.Breaker {
	f.breakersMu.Lock()
	defer f.breakersMu.Unlock()
	b := f.breakers[url]
	if b == nil {
		b = chef.NewBreaker()
		f.breakers[url] = b
	}
	return b
}

// OpenBreakers returns whether the circuit breaker of each server is open, by the URL of
// the server, of those that requests were sent to.
func (f *Fleet) OpenBreakers() map[string]bool {
	f.breakersMu.Lock()
	defer f.breakersMu.Unlock()
	open := make(map[string]bool, len(f.breakers))
	for url, b := range f.breakers {
		open[url] = b.Availability().Open
	}
	return open
}

// ProbeNow lets the next request to each server that is down through, to find out
// whether it still is: an operator may have repaired it.
func (f *Fleet) ProbeNow() {
	f.breakersMu.Lock()
	defer f.breakersMu.Unlock()
	for _, b := range f.breakers {
		b.ProbeNow()
	}
}

// secretError completes the error of a secret that can't be loaded: err has the class
// and the hint if it is classified, and else e.
func secretError(e *fault.Error, err error) error {
	e.Err = err
	var inner *fault.Error
	switch {
	case errors.As(err, &inner):
		e.Class, e.Hint = inner.Class, cmp.Or(inner.Hint, e.Hint)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Class, e.Hint = fault.Transient, "try again"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "let the user of this process read it, or run the command as the user of the service"
	}
	return e
}

// DropClients removes the cached clients, so that the next pass reads the keys again: a
// key that a server refuses may have been replaced.
func (f *Fleet) DropClients() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.clients)
}

// Key reads a private key.
func (f *Fleet) Key(ctx context.Context, ref config.KeyRef) (*rsa.PrivateKey, error) {
	secret, err := ref.Resolve(ctx, f.Secrets())
	if err != nil {
		return nil, err
	}
	return chef.ParseKey(secret.Reveal())
}

// Connect returns a new client that signs as a user.
func (f *Fleet) Connect(ctx context.Context, s config.Server, user string, key *rsa.PrivateKey) (*chef.Client, error) {
	ca, err := f.loadCA(ctx, s)
	if err != nil {
		return nil, err
	}
	header, err := f.loadHeaders(ctx, s)
	if err != nil {
		return nil, err
	}
	var wrap func(http.RoundTripper) http.RoundTripper
	if f.WrapTransport != nil {
		wrap = func(next http.RoundTripper) http.RoundTripper { return f.WrapTransport(s.Name, next) }
	}
	return chef.New(chef.Config{
		Name: s.Name, URL: s.URL, Orgless: s.Orgless, User: user, Key: key, CA: ca, Insecure: s.InsecureSkipVerify,
		Concurrency: s.Connections, ConnectTimeout: s.ConnectTimeout, ResponseTimeout: s.ResponseTimeout, FileHosts: s.FileHosts,
		Header:  header,
		Breaker: f.breakerOf(s.URL), Now: f.Now, Log: f.Log, WrapTransport: wrap,
	})
}

// loadCA reads the CA bundle of a server, if there is one.
func (f *Fleet) loadCA(ctx context.Context, s config.Server) ([]byte, error) {
	if s.CA.IsZero() {
		return nil, nil
	}
	secret, err := s.CA.Resolve(ctx, f.Secrets())
	if err != nil {
		return nil, secretError(&fault.Error{Op: "load the CA", Server: s.Name, Class: fault.Local, Hint: "check ca in the configuration"}, err)
	}
	return secret.Reveal(), nil
}

// loadHeaders reads the headers of a server.
func (f *Fleet) loadHeaders(ctx context.Context, s config.Server) (http.Header, error) {
	h, err := s.ResolveHeaders(ctx, f.Secrets())
	if err != nil {
		return nil, secretError(&fault.Error{Op: "load the headers", Server: s.Name, Class: fault.Local,
			Hint: "check headers in the configuration"}, err)
	}
	return h, nil
}

// NewHTTPClient returns a client for unsigned requests with the TLS settings of a server.
func (f *Fleet) NewHTTPClient(ctx context.Context, s config.Server) (*http.Client, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: s.InsecureSkipVerify}
	ca, err := f.loadCA(ctx, s)
	if err != nil {
		return nil, err
	}
	if len(ca) > 0 {
		if t.RootCAs, err = x509.SystemCertPool(); err != nil {
			t.RootCAs = x509.NewCertPool()
		}
		t.RootCAs.AppendCertsFromPEM(ca)
	}
	header, err := f.loadHeaders(ctx, s)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout:       15 * time.Second,
		Transport:     headerTransport{header, &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: t}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// headerTransport adds headers to each request.
type headerTransport struct {
	header http.Header
	next   http.RoundTripper
}

// RoundTrip sends a copy of a request with the headers.
func (t headerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, t.header)
	return t.next.RoundTrip(r)
}
