package runtimetest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// urlEvent is what a function is sent for a request to its URL, of the payload
// format version 2.0. See "Invoking Lambda function URLs" in Lambda's
// documentation.
type urlEvent struct {
	Version        string            `json:"version"`
	RouteKey       string            `json:"routeKey"`
	RawPath        string            `json:"rawPath"`
	RawQueryString string            `json:"rawQueryString"`
	Cookies        []string          `json:"cookies,omitempty"`
	Headers        map[string]string `json:"headers"`
	Query          map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext urlContext        `json:"requestContext"`
	Body           string            `json:"body,omitempty"`
	Base64         bool              `json:"isBase64Encoded"`
}

type urlContext struct {
	AccountID    string `json:"accountId"`
	APIID        string `json:"apiId"`
	DomainName   string `json:"domainName"`
	DomainPrefix string `json:"domainPrefix"`
	RequestID    string `json:"requestId"`
	RouteKey     string `json:"routeKey"`
	Stage        string `json:"stage"`
	Time         string `json:"time"`
	TimeEpoch    int64  `json:"timeEpoch"`
	HTTP         struct {
		Method    string `json:"method"`
		Path      string `json:"path"`
		Protocol  string `json:"protocol"`
		SourceIP  string `json:"sourceIp"`
		UserAgent string `json:"userAgent"`
	} `json:"http"`
}

// urlResponse is what a function answers to it. One without a status is the body
// of a 200.
type urlResponse struct {
	Status  int               `json:"statusCode"`
	Headers map[string]string `json:"headers"`
	Cookies []string          `json:"cookies"`
	Body    string            `json:"body"`
	Base64  bool              `json:"isBase64Encoded"`
}

// URL starts the function's URL: a listener, until the test ends, that asks for
// no authentication. A function that fails or answers in another form is a 502,
// one whose concurrency is used up a 429.
func (f *Function) URL() string { return serve(f.t, http.HandlerFunc(f.serveURL)) }

func (f *Function) serveURL(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	if err != nil {
		return // the client has gone
	}
	result, err := f.Invoke(r.Context(), eventOf(r, body))
	switch {
	case errors.Is(err, ErrThrottled):
		refuseURL(w, http.StatusTooManyRequests)
	case errors.Is(err, ErrTooLarge):
		refuseURL(w, http.StatusRequestEntityTooLarge)
	case err != nil || result.Error != nil:
		refuseURL(w, http.StatusBadGateway)
	default:
		answerURL(w, result.Payload)
	}
}

func eventOf(r *http.Request, body []byte) urlEvent {
	e := urlEvent{Version: "2.0", RouteKey: "$default", RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery, Headers: map[string]string{}}
	for name, values := range r.Header {
		if name = strings.ToLower(name); name == "cookie" {
			e.Cookies = strings.Split(strings.Join(values, "; "), "; ")
			continue
		}
		e.Headers[name] = strings.Join(values, ",")
	}
	e.Headers["host"] = r.Host
	e.Headers["x-forwarded-proto"] = "https"
	for name, values := range r.URL.Query() {
		if e.Query == nil {
			e.Query = map[string]string{}
		}
		e.Query[name] = strings.Join(values, ",")
	}
	if e.Body = string(body); len(body) > 0 && !isText(r.Header, body) {
		e.Body, e.Base64 = base64.StdEncoding.EncodeToString(body), true
	}
	now := time.Now().UTC()
	c := &e.RequestContext
	c.AccountID, c.APIID, c.DomainName, c.DomainPrefix = "anonymous", "url", r.Host, "url"
	c.RequestID, c.RouteKey, c.Stage = newID(), "$default", "$default"
	c.Time, c.TimeEpoch = now.Format("02/Jan/2006:15:04:05 -0700"), now.UnixMilli()
	c.HTTP.Method, c.HTTP.Path, c.HTTP.Protocol, c.HTTP.UserAgent = r.Method, e.RawPath, r.Proto, r.UserAgent()
	c.HTTP.SourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	return e
}

// isText tells whether Lambda passes a body on as it is. It goes by the type, of
// which it knows few: a form and a body without a type are binary.
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

func answerURL(w http.ResponseWriter, payload []byte) {
	response := urlResponse{}
	if json.Unmarshal(payload, &response) != nil || response.Status == 0 {
		response = urlResponse{Status: http.StatusOK, Body: string(payload)}
	}
	if response.Status < 100 || response.Status > 999 {
		refuseURL(w, http.StatusBadGateway)
		return
	}
	body := []byte(response.Body)
	if response.Base64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(response.Body); err != nil {
			refuseURL(w, http.StatusBadGateway)
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	for name, value := range response.Headers {
		h.Set(name, value)
	}
	for _, cookie := range response.Cookies {
		h.Add("Set-Cookie", cookie)
	}
	w.WriteHeader(response.Status)
	_, _ = w.Write(body) // the client may be gone
}

func refuseURL(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"Message":"`+http.StatusText(status)+`"}`) // the client may be gone
}
