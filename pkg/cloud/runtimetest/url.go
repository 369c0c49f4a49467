package runtimetest

import (
	"encoding/base64"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// URL starts a server, until the test ends, as the function's URL does, without
// authentication. Any failure of the function is a 502.
func (f *Function) URL() string { return startServer(f.t, http.HandlerFunc(f.serveURL)) }

func (f *Function) serveURL(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has disconnected
	}
	var response events.LambdaFunctionURLResponse
	result, err := f.Invoke(r.Context(), newURLRequest(r, body))
	if err == nil {
		err = result.Decode(&response)
	}
	body = []byte(response.Body)
	if err == nil && response.IsBase64Encoded {
		body, err = base64.StdEncoding.DecodeString(response.Body)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	for name, value := range response.Headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(body) // the client may have disconnected
}

// newURLRequest returns the event for a request, without its cookies and what repeats
// the path and the query. See "Invoking Lambda function URLs" in Lambda's documentation.
func newURLRequest(r *http.Request, body []byte) events.LambdaFunctionURLRequest {
	e := events.LambdaFunctionURLRequest{Version: "2.0", RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery, Body: string(body),
		Headers: map[string]string{"host": r.Host, "x-forwarded-proto": "https"}}
	for name, values := range r.Header {
		e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if len(body) > 0 && !isText(r.Header, body) {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	e.RequestContext.RequestID, e.RequestContext.DomainName = newID(), r.Host
	h := &e.RequestContext.HTTP
	h.Method, h.Path, h.Protocol, h.UserAgent = r.Method, e.RawPath, r.Proto, r.UserAgent()
	h.SourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	return e
}

// isText reports whether Lambda passes a body on as text. It knows few content types: a
// form and a body without a type are binary.
func isText(h http.Header, body []byte) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch kind {
	case "application/json", "application/xml", "application/javascript":
	default:
		if !strings.HasPrefix(kind, "text/") {
			return false
		}
	}
	return h.Get("Content-Encoding") == "" && utf8.Valid(body)
}
