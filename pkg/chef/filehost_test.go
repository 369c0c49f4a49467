package chef

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func filesOn(hosts ...string) func(*Config) { return func(c *Config) { c.FileHosts = hosts } }

// A server that was taken over, or that is another's, can name any host in a
// manifest or a sandbox.
func TestFilesAreOnlyRequestedFromAllowedHosts(t *testing.T) {
	for _, c := range []struct {
		url     string
		hosts   []string
		allowed bool
	}{
		{"https://chef.example.com/bookshelf/x", nil, true},
		{"https://CHEF.example.com.:8443/bookshelf/x", nil, true},
		{"https://files.example.com/x", nil, false},
		{"https://files.example.com/x", []string{"files.example.com"}, true},
		{"https://files.example.com/x", []string{"Files.Example.com"}, true},
		{"https://files.example.com/x", []string{"*.example.com"}, true},
		{"https://example.com/x", []string{"*.example.com"}, false},
		{"https://badexample.com/x", []string{"*.example.com"}, false},
		{"https://files.example.com.evil.net/x", []string{"*.example.com", "files.example.com"}, false},
		{"http://169.254.169.254/latest/meta-data", nil, false},
		{"http://127.0.0.1:8080/x", nil, false},
		{"http://[::1]/x", nil, false},
		{"http://chef.example.com@files.example.com/x", nil, false},
	} {
		s := answerInOrder(cannedAnswer{status: 200, body: "x"})
		_, _, err := newTestClient(t, s, singleAttempt, filesOn(c.hosts...)).OpenFile(t.Context(), c.url)
		if c.allowed && err != nil {
			t.Errorf("%s with %q: %v", c.url, c.hosts, err)
		}
		if c.allowed {
			continue
		}
		e := wantKind(t, err, KindFileHost)
		u, _ := url.Parse(c.url)
		if len(s.sent) != 0 || !strings.Contains(e.Hint, `file_hosts = ["`+u.Hostname()+`"]`) {
			t.Errorf("%s with %q: %d requests, hint %q", c.url, c.hosts, len(s.sent), e.Hint)
		}
	}
	s := answerInOrder(cannedAnswer{status: 200})
	err := newTestClient(t, s, singleAttempt).UploadFile(t.Context(), "https://files.example.com/x", strings.Repeat("0", 32), contentOf("x"))
	if wantKind(t, err, KindFileHost); len(s.sent) != 0 {
		t.Error("content was sent to a host that nobody allowed")
	}
}

// What a name leads to is only known when it is resolved.
func TestNamesOfInternalAddressesAreNotFollowed(t *testing.T) {
	var asked atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(inside.Close)
	address := strings.TrimPrefix(inside.URL, "http://")
	hosts := newFileHosts(&url.URL{Host: "chef.example.com"}, []string{"*.example.com", "127.0.0.1"})
	resolver := &net.Dialer{}
	dial := func(host string) error {
		guarded := *resolver
		if !hosts.mayBeInternal(host, net.JoinHostPort(host, "80")) {
			guarded.Control = refuseInternal
		}
		conn, err := guarded.DialContext(t.Context(), "tcp", address) // as if host led there
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if err := dial("files.example.com"); err == nil || !strings.Contains(err.Error(), errInternal.Error()) {
		t.Errorf("a name that leads to this machine: %v", err)
	}
	for _, host := range []string{"chef.example.com", "127.0.0.1"} {
		if err := dial(host); err != nil {
			t.Errorf("%s, which the configuration names: %v", host, err)
		}
	}
}

// The whole client: only localhost is a name that surely leads to this machine.
func TestClientDoesNotFollowNamesOfInternalAddresses(t *testing.T) {
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
	t.Cleanup(store.Close)
	at := strings.Replace(store.URL, "127.0.0.1", "localhost", 1)
	open := func(hosts ...string) error {
		content, _, err := newTestClient(t, nil, singleAttempt, filesOn(hosts...)).OpenFile(t.Context(), at+"/f")
		if err == nil {
			_ = content.Close()
		}
		return err
	}
	if err := open("localhost"); err != nil {
		t.Errorf("named: %v", err)
	}
	wantKind(t, open(), KindFileHost)
	wantKind(t, open("*.localhost"), KindFileHost)
}

func TestInternalAddresses(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "127.8.8.8": true, "::1": true, "::ffff:127.0.0.1": true,
		"169.254.169.254": true,
		"fe80::1":         true, "0.0.0.0": true, "::": true, "fd00:ec2::254": true, "10.0.0.1": false, "192.168.1.1": false,
		"8.8.8.8": false, "2001:db8::1": false} {
		if got := isInternal(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestProxyMayBeInternal(t *testing.T) {
	h := newFileHosts(&url.URL{Host: "chef.example.com"}, nil)
	choose := h.recordProxy(func(*http.Request) (*url.URL, error) { return url.Parse("http://127.0.0.1:3128") })
	if h.mayBeInternal("127.0.0.1", "127.0.0.1:3128") {
		t.Error("a proxy that nobody uses")
	}
	q, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://chef.example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := choose(q); err != nil || !h.mayBeInternal("127.0.0.1", "127.0.0.1:3128") || h.mayBeInternal("127.0.0.1", "127.0.0.1:80") {
		t.Errorf("the proxy in use: %v", err)
	}
}

// What answers elsewhere may be anybody's, and its words a secret of theirs.
func TestForeignAnswersAreNotQuoted(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":["internal secret: AKIA-1234 token=hunter2"]}`: "",
		`<html><title>hunter2</title></html>`:                    "",
		`hunter2`:                                                "",
		`<Error><Code>AccessDenied</Code><Message>for hunter2</Message></Error>`:                                "AccessDenied",
		`<Error><Code>hunter 2</Code></Error>`:                                                                  "",
		`<Error><Code>RequestTimeout</Code><Message>hunter2: Your socket connection was idle</Message></Error>`: "RequestTimeout",
	} {
		_, _, err := newTestClient(t, answerInOrder(cannedAnswer{status: 400, body: body}), singleAttempt,
			filesOn("files.example.com")).OpenFile(t.Context(), "https://files.example.com/x")
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "AKIA") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
