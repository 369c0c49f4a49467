package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"chefsync/pkg/chef/goiarditest"
)

// proxy forwards to a server and tells of each request. The Host header goes
// through as it is, so that URLs which the server hands out lead through it too.
func proxy(t testing.TB, target string, tell func(*http.Request)) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(u)
		p.Out.Host = p.In.Host
	}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tell(r)
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func startGoiardi(t testing.TB) *goiarditest.Server { return goiarditest.Start(t) }
