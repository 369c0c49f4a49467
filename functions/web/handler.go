// Package web is the function of the change log's URL: it takes what Chef Servers push,
// and serves the change log as updated_since.
package web

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"chefsync/functions/internal/environment"
	"chefsync/functions/internal/invoke"
	"chefsync/functions/internal/metrics"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/collector"
)

// Handler answers requests to the function's URL. Make it with New. An environment has
// one invocation at a time.
type Handler struct {
	*environment.Environment
	lambda *lambda.Client

	fleet       *assembly.Fleet // of handler
	handler     http.Handler
	createdAt   time.Time
	changedOrgs map[string]bool // organizations with a change in the current request
}

// New returns the handler of an environment.
func New(e *environment.Environment) *Handler {
	return &Handler{Environment: e, lambda: lambda.NewFromConfig(e.AWS)}
}

// Handle serves a request. Token and signature are checked by the handler of the
// configuration before anything else of the request is read.
func (h *Handler) Handle(ctx context.Context, event events.LambdaFunctionURLRequest) (events.LambdaFunctionURLResponse, error) {
	request, err := requestOf(ctx, event)
	if err != nil {
		h.countRefused()
		return events.LambdaFunctionURLResponse{StatusCode: http.StatusBadRequest}, nil
	}
	web, err := h.currentHandler(ctx)
	if err != nil {
		h.Log.Error("requests can't be answered", "error", err.Error(), "hint", fault.HintOf(err))
		return events.LambdaFunctionURLResponse{}, err
	}
	h.changedOrgs = map[string]bool{}
	w := &responseRecorder{header: http.Header{}, status: http.StatusOK}
	web.ServeHTTP(w, request)
	if wasRefused(request, w) {
		h.countRefused()
	}
	for org := range h.changedOrgs {
		invoke.StartPairs(ctx, h.Environment, h.lambda, h.fleet, org, cloud.TriggerPush)
	}
	return w.lambdaResponse(), nil
}

// wasRefused reports whether a request counts as refused: its response says so, or it
// is a GET / that is not the health check of a Chef Server.
func wasRefused(q *http.Request, w *responseRecorder) bool {
	root := collector.AtRoot(q) && w.status == http.StatusOK
	return assembly.Refused(w.status, w.header) || root && !collector.IsHealthCheck(q)
}

func (h *Handler) countRefused() {
	h.WriteMetrics(map[string]metrics.Value{"Refused": {Number: 1, Unit: metrics.Count}})
}

// currentHandler returns the handler of the configuration in use. It is made again for a
// new configuration, and every KeyAge in case the token was replaced.
func (h *Handler) currentHandler(ctx context.Context) (http.Handler, error) {
	fleet, err := h.Fleet(ctx, false)
	if err != nil {
		return nil, err
	}
	if h.handler != nil && h.fleet == fleet && h.Now().Sub(h.createdAt) < environment.KeyAge {
		return h.handler, nil
	}
	web, err := fleet.ChangesHandler(context.WithoutCancel(ctx), func(org string) { h.changedOrgs[org] = true })
	if err != nil {
		return nil, err
	}
	h.fleet, h.handler, h.createdAt = fleet, web, h.Now()
	return web, nil
}

// requestOf converts an event to a request. Signatures cover the path as it was
// sent, which is the event's raw path.
func requestOf(ctx context.Context, event events.LambdaFunctionURLRequest) (*http.Request, error) {
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(event.Body); err != nil {
			return nil, fmt.Errorf("the body isn't base64: %w", err)
		}
	}
	uri := event.RawPath
	if uri == "" {
		uri = "/"
	}
	if event.RawQueryString != "" {
		uri += "?" + event.RawQueryString
	}
	target, err := url.ParseRequestURI(uri) // as an HTTP server does: what follows two slashes is no host
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, event.RequestContext.HTTP.Method, "/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.URL = target
	request.RequestURI, request.RemoteAddr = uri, event.RequestContext.HTTP.SourceIP
	request.Host = event.RequestContext.DomainName
	for name, value := range event.Headers {
		request.Header.Set(name, value)
	}
	return request, nil
}

// responseRecorder is an http.ResponseWriter that keeps the response.
type responseRecorder struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (r *responseRecorder) Header() http.Header { return r.header }

func (r *responseRecorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
}

func (r *responseRecorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *responseRecorder) lambdaResponse() events.LambdaFunctionURLResponse {
	out := events.LambdaFunctionURLResponse{StatusCode: r.status, Headers: map[string]string{}, Body: r.body.String()}
	for name, values := range r.header {
		if name != "Connection" { // Lambda's own
			out.Headers[name] = strings.Join(values, ",")
		}
	}
	if !utf8.Valid(r.body.Bytes()) {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(r.body.Bytes()), true
	}
	return out
}
