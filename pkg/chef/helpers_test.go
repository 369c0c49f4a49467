package chef

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// testKey is one key for all tests: making them is slow.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

const erchefVersions = `{"min_version":"0","max_version":"2","request_version":"2","response_version":"2"}`

// cannedAnswer is a scripted answer. Without a versions header it isn't the Chef
// Server's.
type cannedAnswer struct {
	status   int
	body     string
	versions string
	header   map[string]string
	err      error
}

// erchefAnswer is an answer of the Chef Server itself.
func erchefAnswer(status int, body string) cannedAnswer {
	return cannedAnswer{status: status, body: body, versions: erchefVersions}
}

// pageAnswer is an answer of something in front of it.
func pageAnswer(status int) cannedAnswer {
	return cannedAnswer{status: status, body: "<html><head><title>Some page</title></head></html>"}
}

func (a cannedAnswer) withHeader(key, value string) cannedAnswer {
	h := map[string]string{key: value}
	for k, v := range a.header {
		h[k] = v
	}
	a.header = h
	return a
}

// sentRequest is a request as it reached the transport.
type sentRequest struct {
	method, uri, version, proto, timestamp string
	header                                 http.Header
	body                                   string
	length                                 int64
	at                                     time.Time
}

// scriptedTransport is a transport that answers from a function and keeps what was sent.
type scriptedTransport struct {
	mu     sync.Mutex
	sent   []sentRequest
	answer func(n int, s sentRequest) cannedAnswer
}

func (s *scriptedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	now := sentRequest{method: r.Method, uri: r.URL.RequestURI(), version: r.Header.Get("X-Ops-Server-API-Version"),
		timestamp: r.Header.Get("X-Ops-Timestamp"), header: r.Header.Clone(), body: string(body), length: r.ContentLength, at: time.Now()}
	_, after, _ := strings.Cut(r.Header.Get("X-Ops-Sign"), "version=")
	now.proto = strings.TrimSuffix(after, ";")
	s.mu.Lock()
	n := len(s.sent)
	s.sent = append(s.sent, now)
	s.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	a := s.answer(n, now)
	if a.err != nil {
		return nil, a.err
	}
	h := http.Header{}
	if a.versions != "" {
		h.Set("X-Ops-Server-API-Version", a.versions)
	}
	for k, v := range a.header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader(a.body)),
		ContentLength: int64(len(a.body)), Request: r}, nil
}

// requestLines lists the requests as METHOD URI.
func (s *scriptedTransport) requestLines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, x := range s.sent {
		out = append(out, x.method+" "+x.uri)
	}
	return out
}

// answerInOrder answers the nth request with the nth answer, and the rest with the last.
func answerInOrder(answers ...cannedAnswer) *scriptedTransport {
	return &scriptedTransport{answer: func(n int, _ sentRequest) cannedAnswer { return answers[min(n, len(answers)-1)] }}
}

// answerAlways answers all requests to paths below the organization with one answer,
// and serves the negotiation.
func answerAlways(a cannedAnswer) *scriptedTransport {
	return &scriptedTransport{answer: func(_ int, s sentRequest) cannedAnswer {
		if s.uri == "/server_api_version" {
			return erchefAnswer(200, `{"min_api_version":0,"max_api_version":2}`)
		}
		return a
	}}
}

func newTestClient(t *testing.T, transport http.RoundTripper, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Name: "primary", URL: "https://chef.example.com", User: "chef-sync", Key: testKey(), Transport: transport,
		Retry: RetryPolicy{Attempts: 3, Base: time.Millisecond, Max: 2 * time.Millisecond}}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func singleAttempt(c *Config) { c.Retry.Attempts = 1 }

func wantKind(t *testing.T, err error, want Kind) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a *Error of kind %q", err, want)
	}
	if e.Kind != want {
		t.Fatalf("got kind %q (%v), want %q", e.Kind, e, want)
	}
	return e
}

func contentOf(s string) func() (io.ReadCloser, int64, error) { return contentOfSize(s, int64(len(s))) }

// contentOfSize is content with a size that may be wrong.
func contentOfSize(s string, size int64) func() (io.ReadCloser, int64, error) {
	return func() (io.ReadCloser, int64, error) { return io.NopCloser(strings.NewReader(s)), size, nil }
}

func equalStrings(t *testing.T, what string, got, want []string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func certPEM(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}
