package assembly_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"chefsync/pkg/chef/cheftest"
)

// tenantRecorder counts the requests to each server by their header Tenant-Id.
type tenantRecorder struct {
	mu   sync.Mutex
	seen map[string]map[string]int // by server and value
}

func (r *tenantRecorder) wrap(server string, next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(q *http.Request) (*http.Response, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.seen[server] == nil {
			r.seen[server] = map[string]int{}
		}
		r.seen[server][q.Header.Get("Tenant-Id")]++
		return next.RoundTrip(q)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

func TestEachServerGetsItsOwnHeaders(t *testing.T) {
	other := newFixture(t, cheftest.Options{UpdatedSince: true})
	w := newFixture(t, cheftest.Options{})
	w.env["TENANT"] = "tenant-1"
	w.top = `headers = { Tenant-Id = "env:TENANT" }`
	w.org.PutCookbook("base", "1.0.0", map[string][]byte{"recipes/default.rb": []byte("x")}, false)
	f := w.newFleet()
	r := &tenantRecorder{seen: map[string]map[string]int{}}
	f.WrapTransport = r.wrap
	if run := w.runPass(f); run.Counts.Created != 1 {
		t.Errorf("the pass: %+v", run)
	}
	w.top += fmt.Sprintf("\nfeed_url = %q", other.primary.URL)
	f = w.newFleet()
	f.WrapTransport = r.wrap
	if _, err := f.DescribeFeed(t.Context(), "acme"); err == nil {
		t.Error("the other server knows the key")
	}
	for server, want := range map[string]string{"primary": "tenant-1", "eu": "", "the server of feed_url": ""} {
		if len(r.seen[server]) != 1 || r.seen[server][want] == 0 {
			t.Errorf("requests to %s by tenant: %v, want %q", server, r.seen[server], want)
		}
	}
	client, err := f.NewHTTPClient(t.Context(), f.Primary)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { got = q.Header.Get("Tenant-Id") }))
	defer plain.Close()
	resp, err := client.Get(plain.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got != "tenant-1" {
		t.Errorf("an unsigned request has Tenant-Id %q", got)
	}
}
