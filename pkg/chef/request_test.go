package chef

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPathsAreSentAndSignedByteForByte(t *testing.T) {
	var uris []string
	var signed []bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uris = append(uris, r.RequestURI)
		path, _, _ := strings.Cut(r.RequestURI, "?")
		want := http.Header{}
		at, _ := time.Parse(time.RFC3339, r.Header.Get("X-Ops-Timestamp"))
		_ = signRequest(want, testKey(), protocol13, signingParts{method: r.Method, path: path, user: "chef-sync", time: at, apiVersion: 2})
		signed = append(signed, want.Get("X-Ops-Authorization-1") == r.Header.Get("X-Ops-Authorization-1"))
		w.Header().Set("X-Ops-Server-API-Version", erchefVersions)
		_, _ = w.Write([]byte(`{}`))
	}))
	defer srv.Close()
	o := newTestClient(t, nil, func(c *Config) { c.URL = srv.URL + "/chef/" }).Org("acme")
	paths := []string{"/data/bag/a:b.c-d_e", "/roles/a%3Ab", "/cookbooks?num_versions=all", "/search/role?q=*:*&rows=10",
		"/data/b/%E2%82%AC", "/roles/a!$&'()*+,;=@~"}
	for _, p := range paths {
		if _, err := o.Do(context.Background(), "GET", p, nil); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	for i, p := range paths {
		if want := "/chef/organizations/acme" + p; uris[i] != want || !signed[i] {
			t.Errorf("got %q, signed as sent %v, want %q", uris[i], signed[i], want)
		}
	}
}

func TestPathsThatCannotBeSentUnchangedAreRefused(t *testing.T) {
	s := answerInOrder(erchefAnswer(200, `{}`))
	c := newTestClient(t, s)
	for _, p := range []string{"roles", "/roles/..", "/data/./x", "/data//x", "/roles/a b", `/roles/a"b`, "/roles/%zz", "/roles/ü",
		"/roles/a#b"} {
		if _, err := c.Org("acme").Do(context.Background(), "GET", p, nil); KindOf(err) != KindRequest {
			t.Errorf("%q: error %v, want it refused", p, err)
		}
	}
	for _, org := range []string{"", "..", "Acme", "a/b", "-a"} {
		if _, err := c.Org(org).Do(context.Background(), "GET", "/roles", nil); KindOf(err) != KindRequest {
			t.Errorf("organization %q: error %v, want it refused", org, err)
		}
	}
	if len(s.requestLines()) != 0 {
		t.Errorf("sent %v", s.requestLines())
	}
}

func TestHeadersOfARequest(t *testing.T) {
	s := answerAlways(erchefAnswer(200, `{}`))
	if _, err := newTestClient(t, s).Org("acme").Do(context.Background(), "PUT", "/roles/web", []byte(`{"a":"<&>"}`)); err != nil {
		t.Fatal(err)
	}
	h := s.sent[1].header
	for k, want := range map[string]string{"Accept": "application/json", "Content-Type": "application/json", "X-Chef-Version": clientVersion,
		"X-Ops-UserId": "chef-sync", "X-Ops-Server-API-Version": "2", "X-Ops-Request-Source": ""} {
		if got := h.Get(k); got != want {
			t.Errorf("%s: got %q, want %q", k, got, want)
		}
	}
	if s.sent[0].header.Get("Content-Type") != "" || s.sent[1].body != `{"a":"<&>"}` {
		t.Errorf("body %q", s.sent[1].body)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer srv.Close()
	c := newTestClient(t, nil, singleAttempt, func(c *Config) { c.URL = srv.URL })
	_, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil)
	wantKind(t, err, KindForeign)
	if n := hits.Load(); n > 4 { // the request and the probes of its versions
		t.Errorf("%d requests reached the server", n)
	}
}

func TestLargeAnswersAreRefused(t *testing.T) {
	body := `{"a":"` + strings.Repeat("x", 1000) + `"}`
	c := newTestClient(t, answerInOrder(erchefAnswer(200, body)))
	c.maxBody = 1000
	_, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil)
	wantKind(t, err, KindTooLarge)
	c.maxBody = int64(len(body))
	if _, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil); err != nil {
		t.Error(err)
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	var now, most atomic.Int32
	gate := make(chan struct{})
	s := &scriptedTransport{answer: func(int, sentRequest) cannedAnswer {
		most.Store(max(most.Load(), now.Add(1)))
		<-gate
		now.Add(-1)
		return erchefAnswer(200, `{}`)
	}}
	c := newTestClient(t, s, func(c *Config) { c.Concurrency = 3 })
	errs := make(chan error)
	for i := range 20 {
		go func() {
			_, err := c.Org("acme").Do(context.Background(), "GET", fmt.Sprintf("/roles/r%d", i), nil)
			errs <- err
		}()
	}
	for range 20 {
		gate <- struct{}{}
	}
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d requests at once, want at most 3", most.Load())
	}
}

func TestConfigurationMistakesAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no URL":       {func(c *Config) { c.URL = "" }, "https://HOST"},
		"scheme":       {func(c *Config) { c.URL = "ftp://x" }, "https://HOST"},
		"organization": {func(c *Config) { c.URL = "https://x/organizations/acme" }, "name the organization separately"},
		"password":     {func(c *Config) { c.URL = "https://u:secret@x" }, "password"},
		"query":        {func(c *Config) { c.URL = "https://x?a=b" }, "query"},
		"dots":         {func(c *Config) { c.URL = "https://x/a/../b" }, "characters"},
		"no user":      {func(c *Config) { c.User = "" }, "user name"},
		"line feed":    {func(c *Config) { c.User = "a\nb" }, "user name"},
		"no key":       {func(c *Config) { c.Key = nil }, "private key"},
		"CA":           {func(c *Config) { c.CA = []byte("x") }, "certificate"},
	} {
		cfg := Config{URL: "https://chef.example.com", User: "u", Key: testKey()}
		c.change(&cfg)
		_, err := New(cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want it to say %q", name, err, c.want)
		}
	}
}

func TestCertificatesAreVerifiedUnlessInsecure(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Ops-Server-API-Version", erchefVersions)
		_, _ = w.Write([]byte(`{}`))
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	get := func(change func(*Config)) error {
		c := newTestClient(t, nil, func(c *Config) { c.URL = srv.URL }, change)
		_, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil)
		return err
	}
	wantKind(t, get(func(*Config) {}), KindTLS)
	if err := get(func(c *Config) { c.CA = certPEM(srv) }); err != nil {
		t.Errorf("with the CA: %v", err)
	}
	if err := get(func(c *Config) { c.Insecure = true }); err != nil {
		t.Errorf("insecure: %v", err)
	}
}
