package cheftest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Transport returns a transport to the server without sockets, for any host in a URL.
// Each request is served completely before its answer is returned. A connection that a
// fault closes is an io.EOF, a truncated body ends with io.ErrUnexpectedEOF.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

// Client returns an http.Client over [Server.Transport] that follows no redirects.
func (s *Server) Client() *http.Client {
	return &http.Client{
		Transport:     s.Transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type transport struct{ s *Server }

// RoundTrip serves one request.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	r := req.Clone(req.Context())
	r.RequestURI = req.URL.RequestURI()
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	rec := &recorder{header: http.Header{}}
	aborted := rec.serveRequest(t.s, r)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if aborted && rec.status == 0 {
		return nil, io.EOF
	}
	return rec.buildResponse(req, aborted), nil
}

type recorder struct {
	header http.Header
	sent   http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush does nothing: the body is buffered.
func (w *recorder) Flush() {}

// serveRequest runs the handler and reports whether it closed the connection.
func (w *recorder) serveRequest(h http.Handler, r *http.Request) (aborted bool) {
	defer func() {
		if p := recover(); p != nil {
			if err, isErr := p.(error); !isErr || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			aborted = true
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

func (w *recorder) buildResponse(req *http.Request, cut bool) *http.Response {
	var body io.Reader = bytes.NewReader(w.body.Bytes())
	if cut {
		body = io.MultiReader(body, failingReader{})
	}
	header := http.Header{}
	for k, v := range w.sent {
		if len(v) > 0 {
			header[k] = v
		}
	}
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(body), ContentLength: contentLength(header, w.body.Len()), Request: req,
	}
}

func contentLength(h http.Header, n int) int64 {
	var length int64
	for _, c := range h.Get("Content-Length") {
		length = length*10 + int64(c-'0')
	}
	if h.Get("Content-Length") == "" {
		return int64(n)
	}
	return length
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
