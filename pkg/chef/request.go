package chef

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// clientVersion goes into X-Chef-Version, which the server's front end wants as
// N.N.N of at least 10 (docs/chef-server-api.md §1.5).
const clientVersion = "18.0.0"

// request is one call of the API.
type request struct {
	op     string // if it matters
	method string
	path   string // below the server's base URL, percent-encoded, with the query
	body   []byte
	url    *url.URL // the base URL

	probe        bool        // checks whether the server answers, with a short timeout
	attempts     int         // at most, if that is less than the policy's
	retryInvalid bool        // a 400 may go away
	file         bool        // goes to a file store; url is that of the file
	header       http.Header // of a file, besides those of all files
	size         int64       // of the file to upload
}

// displayPath returns the path for messages.
func (r *request) displayPath() string { return cleanText(r.path, maxText) }

func (r *request) isCookbookPut() bool {
	return r.method == http.MethodPut && strings.Contains(r.path, "/cookbooks/")
}

func (r *request) isRead() bool { return r.method == http.MethodGet }

// Answer is a success of the Chef Server itself.
type Answer struct {
	Status     int
	Header     http.Header
	Body       []byte // valid JSON, or empty where Status isn't 200
	APIVersion int    // that the request was sent at
}

// Org is one organization of a server.
type Org struct {
	c      *Client
	name   string
	prefix string
}

// Org returns one organization. On a server without organizations the name is
// used in messages only.
func (c *Client) Org(name string) *Org {
	o := &Org{c: c, name: name}
	if !c.cfg.Orgless {
		o.prefix = "/organizations/" + name
	}
	return o
}

// Client returns the server's client.
func (o *Org) Client() *Client { return o.c }

// Name returns the organization's name.
func (o *Org) Name() string { return o.name }

// Do sends a request to a path below the organization, such as
// /roles/web or /cookbooks?num_versions=all. See [Client.Do].
func (o *Org) Do(ctx context.Context, method, path string, body []byte) (*Answer, error) {
	return o.do(ctx, &request{method: method, path: path, body: body})
}

func (o *Org) do(ctx context.Context, r *request) (*Answer, error) {
	if !o.c.cfg.Orgless && !validOrg(o.name) {
		return nil, o.c.newError(r, KindRequest, fmt.Sprintf("%q isn't the name of an organization", cleanText(o.name, 60)))
	}
	if r.path != "" && r.path[0] != '/' {
		return nil, o.c.newError(r, KindRequest, "the path must begin with a slash")
	}
	r.path = o.prefix + r.path
	return o.c.do(ctx, r)
}

// Do signs and sends one request and returns the answer if it is a success
// (2xx) of the Chef Server itself; anything else is an [*Error]. The path is
// sent and signed byte for byte; it must be percent-encoded where that is
// needed. A query may follow and isn't signed. Short faults are tried again;
// since all writes of the API set a state, writes are too: a create whose
// answer was lost ends as KindExists, with Error.Unsure set.
func (c *Client) Do(ctx context.Context, method, path string, body []byte) (*Answer, error) {
	return c.do(ctx, &request{method: method, path: path, body: body})
}

func (c *Client) do(ctx context.Context, r *request) (*Answer, error) {
	r.url = c.base
	path, _, _ := strings.Cut(r.path, "?")
	if err := checkPath(path); err != nil {
		return nil, c.newError(r, KindRequest, err.Error())
	}
	if !r.isRead() {
		// The meaning of a write may depend on the version, so versions aren't
		// negotiated with a write.
		if _, err := c.APIVersion(ctx); err != nil && KindOf(err) != KindForeign && KindOf(err) != KindFrontEnd {
			return nil, err
		}
	}
	var a *Answer
	err := c.withRetries(ctx, r, func() (e *Error) {
		a, e = c.attemptRequest(ctx, r)
		return e
	})
	return a, err
}

// attemptRequest makes one attempt, with the negotiation that it needs.
func (c *Client) attemptRequest(ctx context.Context, r *request) (*Answer, *Error) {
	for rounds := 0; ; rounds++ {
		version, known := c.state.currentVersion()
		p, err := c.negotiateProtocol(ctx, r, version)
		if err != nil {
			return nil, err
		}
		next, named, verr := c.observeVersion(p)
		if verr != nil {
			return nil, c.replyError(r, p, KindVersion, verr.Error())
		}
		refused := c.classifyReply(r, p)
		if refused != nil && !named && refused.Kind.isRefusalOfUs() {
			return nil, refused
		}
		if !named && !known && !isTemporaryStatus(p.status) {
			if perr := c.negotiateVersion(ctx); perr != nil && KindOf(perr) != KindForeign && KindOf(perr) != KindFrontEnd {
				return nil, asError(perr)
			}
			next, _ = c.state.currentVersion()
		}
		if next != version && rounds < 2 && (version > next || p.status == http.StatusNotAcceptable) {
			continue
		}
		if refused != nil {
			return nil, refused
		}
		return &Answer{Status: p.status, Header: p.header, Body: p.body, APIVersion: p.version}, nil
	}
}

// negotiateProtocol sends a request, and again with older signing protocols if the
// server refuses the newest one and hasn't accepted any yet.
func (c *Client) negotiateProtocol(ctx context.Context, r *request, version int) (*reply, *Error) {
	proto, confirmed := c.state.currentProtocol()
	first, err := c.roundTrip(ctx, r, version, proto)
	if err != nil {
		return nil, err
	}
	last, answer := first, first
	for !confirmed && refusesProtocol(last) {
		lower := last.proto.nextOlder()
		if lower == "" {
			break
		}
		if last, err = c.roundTrip(ctx, r, version, lower); err != nil {
			if err.Kind == KindRequest { // the key is too short for the older protocol
				break
			}
			return nil, err
		}
		// "Unsupported" doesn't concern the key; a later refusal does.
		if !refusesProtocol(last) || answer.status == http.StatusBadRequest {
			answer = last
		}
	}
	if !confirmed && answer.fromChefServer() && answer.status < 300 {
		c.state.confirmProtocol(answer.proto)
	}
	return answer, nil
}

func refusesProtocol(p *reply) bool {
	if !p.fromChefServer() {
		return false
	}
	text, _ := errorText(p.body)
	switch p.status {
	case http.StatusBadRequest:
		return protocolPattern.MatchString(text)
	case http.StatusUnauthorized:
		return !skewPattern.MatchString(text)
	}
	return false
}

// roundTrip sends a request once and reads the answer whole.
func (c *Client) roundTrip(ctx context.Context, r *request, version int, proto protocol) (*reply, *Error) {
	return c.exchange(ctx, r, func() (*reply, *Error) { return c.send(ctx, r, version, proto) })
}

// exchange calls send, which sends a request once, unless the server is known to be down.
// The limiter of the host says when, and it and the breaker learn how the request ended.
func (c *Client) exchange(ctx context.Context, r *request, send func() (*reply, *Error)) (*reply, *Error) {
	if e := c.checkBreaker(ctx, r); e != nil {
		return nil, e
	}
	l := c.limiterOf(r)
	if err := l.acquire(ctx); err != nil {
		return nil, c.transportError(r, err, err)
	}
	defer l.release()
	if e := c.checkBreaker(ctx, r); e != nil { // the breaker may have opened while the request waited
		return nil, e
	}
	began := time.Now()
	p, e := send()
	if ctx.Err() == nil && (e == nil || e.Status != 0 || e.Kind == KindUnreachable) {
		l.recordOutcome(c.latencyClass(r), began, time.Now(), statusOf(p, e))
	}
	if c.isOwnHost(r) {
		c.reportResult(r, began, p, e)
	}
	return p, e
}

// statusOf returns the status of an answer, or 0 when none came.
func statusOf(p *reply, e *Error) int {
	if e != nil {
		return e.Status
	}
	return p.status
}

// isOwnHost reports whether a request goes to the machine of the server, whatever the
// port: the store of cookbook files is on it unless the server keeps them elsewhere.
func (c *Client) isOwnHost(r *request) bool { return normalizeHost(r.url.Hostname()) == c.files.own }

// send signs and sends a request once and reads the answer whole.
func (c *Client) send(ctx context.Context, r *request, version int, proto protocol) (*reply, *Error) {
	watched, w := newStallTimer(ctx, c.stallTimeout(r))
	defer w.stop()
	req, err := c.newRequest(watched, r, version, proto)
	if err != nil {
		return nil, c.newError(r, KindRequest, err.Error())
	}
	w.watchRequestBody(req)
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.requestError(ctx, r, w, err)
	}
	defer func() { _ = resp.Body.Close() }()
	w.reset()
	body, err := readLimited(progressReader{resp.Body, w}, c.maxBody)
	if errors.Is(err, errTooLarge) {
		e := c.newError(r, KindTooLarge, fmt.Sprintf("the answer is larger than %d bytes", c.maxBody))
		e.Status = resp.StatusCode
		e.Hint = "the answer exceeds what this program reads; split the collection or object"
		return nil, e
	}
	if err != nil {
		return nil, c.requestError(ctx, r, w, err)
	}
	c.cfg.Log.DebugContext(ctx, "chef request", "server", c.cfg.Name, "method", r.method, "path", r.displayPath(), "status", resp.StatusCode,
		"bytes", len(body), "duration", time.Since(start))
	p := &reply{status: resp.StatusCode, header: resp.Header, body: body, version: version, proto: proto}
	c.recordLicense(p)
	return p, nil
}

func (c *Client) newRequest(ctx context.Context, r *request, version int, proto protocol) (*http.Request, error) {
	path, query, _ := strings.Cut(r.path, "?")
	u, err := exactURL(r.url, path, query)
	if err != nil {
		return nil, err
	}
	var body io.Reader = http.NoBody
	if len(r.body) > 0 {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "/", body)
	if err != nil {
		return nil, errors.New("the request can't be made")
	}
	req.URL, req.Host = u, u.Host
	c.addHeaders(req)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Chef-Version", clientVersion)
	req.Header.Set("User-Agent", "chef-sync")
	if len(r.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, signRequest(req.Header, c.cfg.Key, proto, signingParts{
		method: r.method, path: u.EscapedPath(), body: r.body, user: c.cfg.User, time: c.cfg.Now(), apiVersion: version,
	})
}

// addHeaders adds the headers of the configuration to a request, if it goes to the server
// itself: they may be secret, and a file store is another server.
func (c *Client) addHeaders(req *http.Request) {
	if origin(req.URL) == origin(c.base) {
		maps.Copy(req.Header, c.cfg.Header)
	}
}

// origin returns scheme, host and port of a URL, for comparison.
func origin(u *url.URL) string {
	return u.Scheme + "://" + net.JoinHostPort(normalizeHost(u.Hostname()), portOf(u))
}

// exactURL returns a URL whose path is sent exactly as given.
func exactURL(base *url.URL, path, query string) (*url.URL, error) {
	raw := base.EscapedPath() + path
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return nil, errors.New("the path's percent-encoding is wrong")
	}
	u := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: decoded, RawPath: raw, RawQuery: query}
	if u.EscapedPath() != raw {
		return nil, errors.New("the path holds characters that must be percent-encoded")
	}
	return u, nil
}

// checkPath refuses paths that servers or proxies would rewrite, which breaks
// the signature or, worse, names another object.
func checkPath(path string) error {
	if path == "" {
		return nil
	}
	if path[0] != '/' {
		return errors.New("the path must begin with a slash")
	}
	for _, s := range strings.Split(path[1:], "/") {
		if s == "" || s == "." || s == ".." {
			return errors.New("the path holds an empty segment or one of dots")
		}
	}
	return nil
}

// validOrg checks an organization's name (docs/chef-server-api.md §4.7).
func validOrg(name string) bool {
	if name == "" || len(name) > 255 || name[0] == '-' || name[0] == '_' {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

var errTooLarge = errors.New("the answer is too large")

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, errTooLarge
	}
	return b, nil
}
