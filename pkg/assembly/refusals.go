package assembly

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"chefsync/pkg/chef"
)

// refusalsEvery is how often requests that are refused alike are logged.
const refusalsEvery = time.Minute

// refusals logs what a handler refuses: the first request at once, and those that
// are refused alike as one line a minute with their number. Whoever can reach the
// handler could otherwise fill the log.
type refusals struct {
	http.Handler
	log *slog.Logger

	mu   sync.Mutex
	open map[refusal]*refused
}

// refusal is what requests are refused alike in.
type refusal struct {
	request string // push, read or other
	status  int
}

// refused is what was refused since the last line.
type refused struct {
	requests     int
	remote, user string // of the last one
}

func logRefusals(h http.Handler, log *slog.Logger) *refusals {
	return &refusals{Handler: h, log: log, open: map[refusal]*refused{}}
}

// ServeHTTP implements http.Handler.
func (r *refusals) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s := &statusWriter{ResponseWriter: w}
	r.Handler.ServeHTTP(s, q)
	if Refused(s.status, w.Header()) {
		r.note(q, s.status)
	}
}

// Refused reports whether an answer means that a request got nothing because of who
// made it or what it says: 4xx, and the 503 for a name that isn't looked up yet.
func Refused(status int, header http.Header) bool {
	return status >= 400 && status < 500 || status == http.StatusServiceUnavailable && header.Get("Retry-After") != ""
}

func (r *refusals) note(q *http.Request, status int) {
	what := refusal{requestOf(q), status}
	one := refused{requests: 1, remote: q.RemoteAddr}
	if name := q.Header.Get("X-Ops-UserId"); chef.ValidName(name) {
		one.user = name
	}
	r.mu.Lock()
	since := r.open[what]
	if since != nil {
		one.requests += since.requests
		*since = one
	} else {
		r.open[what] = &refused{}
		time.AfterFunc(refusalsEvery, func() { r.report(what) })
	}
	r.mu.Unlock()
	if since == nil {
		r.write(what, one)
	}
}

// report logs what was refused since the last line, and ends when that is nothing.
func (r *refusals) report(what refusal) {
	r.mu.Lock()
	since := *r.open[what]
	if since.requests == 0 {
		delete(r.open, what)
	} else {
		r.open[what] = &refused{}
		time.AfterFunc(refusalsEvery, func() { r.report(what) })
	}
	r.mu.Unlock()
	if since.requests > 0 {
		r.write(what, since)
	}
}

func (r *refusals) write(what refusal, since refused) {
	args := []any{"request", what.request, "status", what.status, "requests", since.requests, "remote", since.remote}
	if since.user != "" {
		args = append(args, "user", since.user)
	}
	if hint := what.hint(); hint != "" {
		args = append(args, "hint", hint)
	}
	r.log.Warn("requests were refused", args...)
}

// requestOf is what a request asks for.
func requestOf(q *http.Request) string {
	switch {
	case q.Method == http.MethodPost && atRoot(q):
		return "push"
	case q.Header.Get("X-Ops-UserId") != "":
		return "read"
	}
	return "other"
}

func (r refusal) hint() string {
	switch {
	case r.request == "push" && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden):
		return "if it is your Chef Server, its data_collector['token'] isn't what token under [journal] refers to"
	case r.status == http.StatusServiceUnavailable:
		return "more names than usual sign requests; readers or [journal.keys] in the configuration say who may"
	}
	return ""
}

// atRoot reports whether a request goes to where the data collector is.
func atRoot(q *http.Request) bool { return q.URL.Path == "/" || q.URL.Path == "" }

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
