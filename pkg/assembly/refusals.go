package assembly

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/feed/collector"
)

// refusalLogInterval is how often refused requests of one kind and status are logged.
const refusalLogInterval = time.Minute

// refusalLogger logs the requests that a handler refuses: the first of a kind and status
// at once, and further ones as one line a minute with their number, so that clients
// can't fill the log.
type refusalLogger struct {
	http.Handler
	log *slog.Logger

	mu     sync.Mutex
	counts map[refusalKey]*refusalCount
}

// refusalKey groups refused requests.
type refusalKey struct {
	requestKind string // push, read or other
	status      int
}

// refusalCount counts requests since the last line.
type refusalCount struct {
	requests     int
	remote, user string // of the last one
}

func logRefusals(h http.Handler, log *slog.Logger) *refusalLogger {
	return &refusalLogger{Handler: h, log: log, counts: map[refusalKey]*refusalCount{}}
}

// ServeHTTP implements http.Handler.
func (r *refusalLogger) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s := &statusWriter{ResponseWriter: w}
	r.Handler.ServeHTTP(s, q)
	if Refused(s.status, w.Header()) {
		r.recordRefusal(q, s.status)
	}
}

// Refused reports whether a response means that a request was refused for its sender or
// content: 4xx, and the 503 for a name that isn't looked up yet.
func Refused(status int, header http.Header) bool {
	return status >= 400 && status < 500 || status == http.StatusServiceUnavailable && header.Get("Retry-After") != ""
}

// recordRefusal logs a refused request, or counts it for the next line.
func (r *refusalLogger) recordRefusal(q *http.Request, status int) {
	key := refusalKey{requestKind(q), status}
	latest := refusalCount{requests: 1, remote: q.RemoteAddr}
	if name := q.Header.Get("X-Ops-UserId"); chef.ValidName(name) {
		latest.user = name
	}
	r.mu.Lock()
	count := r.counts[key]
	if count != nil {
		latest.requests += count.requests
		*count = latest
	} else {
		r.counts[key] = &refusalCount{}
		time.AfterFunc(refusalLogInterval, func() { r.logInterval(key) })
	}
	r.mu.Unlock()
	if count == nil {
		r.writeLog(key, latest)
	}
}

// logInterval logs the requests since the last line, and stops when there are none.
func (r *refusalLogger) logInterval(key refusalKey) {
	r.mu.Lock()
	count := *r.counts[key]
	if count.requests == 0 {
		delete(r.counts, key)
	} else {
		r.counts[key] = &refusalCount{}
		time.AfterFunc(refusalLogInterval, func() { r.logInterval(key) })
	}
	r.mu.Unlock()
	if count.requests > 0 {
		r.writeLog(key, count)
	}
}

func (r *refusalLogger) writeLog(key refusalKey, count refusalCount) {
	args := []any{"request", key.requestKind, "status", key.status, "requests", count.requests, "remote", count.remote}
	if count.user != "" {
		args = append(args, "user", count.user)
	}
	if hint := key.operatorHint(); hint != "" {
		args = append(args, "hint", hint)
	}
	r.log.Warn("requests were refused", args...)
}

// requestKind returns the kind of a request, for the log.
func requestKind(q *http.Request) string {
	switch {
	case q.Method == http.MethodPost && collector.AtRoot(q):
		return "push"
	case q.Header.Get("X-Ops-UserId") != "":
		return "read"
	}
	return "other"
}

// operatorHint returns what the operator can do about refusals.
func (r refusalKey) operatorHint() string {
	switch {
	case r.requestKind == "push" && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden):
		return "if it is your Chef Server, its data_collector['token'] isn't the token that token under [journal] refers to"
	case r.status == http.StatusServiceUnavailable:
		return "requests are signed with more names than usual; restrict them with readers or [journal.keys] in the configuration"
	}
	return ""
}

// statusWriter records the status of a response.
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
