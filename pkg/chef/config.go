package chef

import (
	"cmp"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Config names a Chef Server and the user to authenticate as.
type Config struct {
	Name    string // how the user calls the server, for messages
	URL     string // https://HOST[:PORT], without /organizations/...
	Orgless bool   // goiardi and Chef 11: objects live below / itself
	User    string // user or client name
	Key     *rsa.PrivateKey

	// Header is sent with each request to the server itself, unsigned. What requests need
	// takes precedence.
	Header http.Header

	CA       []byte // PEM bundle, trusted besides the system's
	Insecure bool   // don't verify the server's certificate

	// Concurrency is the most requests in flight, those for cookbook files included; default
	// 10. Fewer are sent while the server answers that it is overloaded, or slower than
	// before.
	Concurrency int
	// ConnectTimeout bounds the connection to the server, and the TLS handshake
	// after it; default 5 s.
	ConnectTimeout time.Duration
	// ResponseTimeout is how long a request may make no progress: while it is sent,
	// until the answer begins, and between two pieces of it; default 30 s. What is
	// much work for a server may take several times as long.
	ResponseTimeout time.Duration
	Retry           RetryPolicy
	// FileHosts are hosts besides the server's own that cookbook files may be fetched
	// from and sent to; "*.example.com" allows all below example.com.
	FileHosts []string
	// Breaker may be shared by clients of the same server; default: one of its own.
	Breaker *Breaker

	Transport http.RoundTripper // for tests; default made from the fields above
	// WrapTransport wraps the transport, such as to count requests; nil wraps nothing.
	WrapTransport func(http.RoundTripper) http.RoundTripper
	Now           func() time.Time // default time.Now
	Log           *slog.Logger     // default: nothing is logged
}

// RetryPolicy bounds how often a request is tried again, and how long it waits
// before. Callers try again later by themselves, so this is for short faults.
type RetryPolicy struct {
	Attempts int           // in all; default 4
	Base     time.Duration // first wait, doubled each time, jittered; default 500 ms
	Max      time.Duration // longest wait, also when the server asks for more; default 10 s
}

// Client talks to one Chef Server as one user or client. It is safe for
// concurrent use.
type Client struct {
	cfg     Config // with the defaults
	base    *url.URL
	http    *http.Client
	limiter *limiter
	// fileLimiter is that of a host besides the server's that files are on.
	fileLimiter *limiter
	maxBody     int64 // largest answer to read, in bytes
	files       *fileHosts
	jitter      func() float64 // in [0,1)
	state       *negotiation
}

// New validates a configuration and returns a client. It sends nothing.
func New(cfg Config) (*Client, error) {
	base, err := parseBase(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.User == "" || strings.ContainsFunc(cfg.User, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return nil, errors.New("the user name is empty or holds spaces or control characters")
	}
	if cfg.Key == nil {
		return nil, errors.New("no private key given")
	}
	cfg.Name = cmp.Or(cfg.Name, base.Host)
	cfg.Header = cfg.Header.Clone()
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 10)
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 5*time.Second)
	cfg.ResponseTimeout = cmp.Or(cfg.ResponseTimeout, 30*time.Second)
	cfg.Retry.Attempts = cmp.Or(cfg.Retry.Attempts, 4)
	cfg.Retry.Base = cmp.Or(cfg.Retry.Base, 500*time.Millisecond)
	cfg.Retry.Max = cmp.Or(cfg.Retry.Max, 10*time.Second)
	if cfg.Breaker == nil {
		cfg.Breaker = NewBreaker()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, base: base, limiter: newLimiter(cfg.Concurrency), fileLimiter: newLimiter(cfg.Concurrency), maxBody: 64 << 20,
		files: newFileHosts(base, cfg.FileHosts), jitter: rand.Float64, state: newNegotiation()}
	transport := cfg.Transport
	if transport == nil {
		if transport, err = newTransport(cfg, c.files); err != nil {
			return nil, err
		}
	}
	if cfg.WrapTransport != nil {
		transport = cfg.WrapTransport(transport)
	}
	c.http = &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// Name returns the name of the server in the configuration.
func (c *Client) Name() string { return c.cfg.Name }

// Breaker returns the circuit breaker of the server.
func (c *Client) Breaker() *Breaker { return c.cfg.Breaker }

// URL returns the server's base URL without a slash at the end.
func (c *Client) URL() string { return c.base.String() }

// User returns the name that requests are signed for.
func (c *Client) User() string { return c.cfg.User }

// Orgless reports whether the server has no organizations.
func (c *Client) Orgless() bool { return c.cfg.Orgless }

// parseBase parses a server's URL. Errors don't quote it: it may hold a password.
func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(s, "/"))
	switch {
	case err != nil:
		return nil, errors.New("the server's URL can't be read")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, errors.New("the server's URL must be https://HOST or https://HOST:PORT")
	case u.User != nil:
		return nil, errors.New("the server's URL must not hold a user name or password: requests are signed with a key")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the server's URL must not hold a query or fragment")
	case strings.Contains(u.Path, "/organizations"):
		return nil, errors.New("the server's URL must end before /organizations: name the organization separately")
	case checkPath(u.EscapedPath()) != nil:
		return nil, errors.New("the server's URL holds characters that a path can't have")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}, nil
}

func newTransport(cfg Config, files *fileHosts) (*http.Transport, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.Insecure}
	if len(cfg.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(cfg.CA) {
			return nil, errors.New("the CA bundle holds no certificate in PEM form")
		}
		tlsConfig.RootCAs = pool
	}
	return &http.Transport{
		Proxy:               files.recordProxy(http.ProxyFromEnvironment),
		DialContext:         files.guardDialer(net.Dialer{Timeout: cfg.ConnectTimeout, KeepAlive: 15 * time.Second}),
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: cfg.ConnectTimeout,
		// nginx closes idle connections after 65 s; closing first avoids a race
		// with a reused connection (docs/chef-server-api.md §1.8).
		IdleConnTimeout:       50 * time.Second,
		MaxIdleConns:          4 * cfg.Concurrency,
		MaxIdleConnsPerHost:   cfg.Concurrency,
		ExpectContinueTimeout: time.Second,
	}, nil
}
