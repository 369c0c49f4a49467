package web

import (
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// TestPathsAreThoseOfAnHTTPServer: a client whose URL ends with a slash, as AWS shows that of
// a function, sends a path that begins with two.
func TestPathsAreThoseOfAnHTTPServer(t *testing.T) {
	for raw, want := range map[string]string{
		"": "/", "/": "/", "//": "//", "/organizations/acme/updated_since": "/organizations/acme/updated_since",
		"//organizations/acme/updated_since": "//organizations/acme/updated_since",
	} {
		event := events.LambdaFunctionURLRequest{RawPath: raw, RawQueryString: "seq=7"}
		event.RequestContext.HTTP.Method = http.MethodGet
		q, err := requestOf(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		if q.URL.Path != want || q.URL.Host != "" || q.URL.Query().Get("seq") != "7" {
			t.Errorf("raw path %q: path %q, host %q, query %q; want path %q", raw, q.URL.Path, q.URL.Host, q.URL.RawQuery, want)
		}
	}
}
