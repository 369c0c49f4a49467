package statusserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"time"
)

// Options are the parts of a handler. Reader and Now are required.
type Options struct {
	Reader   Reader
	Recorder *Recorder // of this process; nil for one that runs no passes
	// Owner is the daemon whose heartbeat /healthz wants; "" for a process without a
	// scheduler.
	Owner string
	Token string // that readers must present; "" for none
	// LocalOnly refuses requests that name another host than this machine: a page of
	// another site could have its name resolved to a loopback address.
	LocalOnly bool
	Now       func() time.Time
	Refresh   time.Duration // between two updates of a page in a browser
}

// NewHandler returns the handler of all that is served. It changes nothing: all requests
// but GET and HEAD are refused.
func NewHandler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", o.serveHealth)
	mux.Handle("/metrics", newMetricsHandler(o.Reader, o.Recorder, o.Now))
	mux.HandleFunc("/api/status", o.serveAPI)
	o.registerPages(mux)
	var h http.Handler = mux
	if o.Token != "" {
		h = requireToken(o.Token, h)
	}
	if o.LocalOnly {
		h = requireLocalHost(h)
	}
	return onlyReads(withSecurityHeaders(h))
}

// onlyReads refuses requests that could change something.
func onlyReads(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are supported", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// contentPolicy allows pages what this listener serves itself, and nothing else.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func withSecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// requireToken refuses requests without the token, which programs present as a bearer
// token and browsers as a password. Probes of /healthz can't present one, and its answer
// names nothing.
func requireToken(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !isBearer {
			_, given, _ = r.BasicAuth()
		}
		got := sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 && r.URL.Path != "/healthz" {
			w.Header().Set("WWW-Authenticate", `Basic realm="Chef Replication: any user, the token as password", charset="UTF-8"`)
			http.Error(w, "send the token as a bearer token, or as the password of any user", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// requireLocalHost refuses requests to another host than this machine.
func requireLocalHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "without a token, only requests to localhost are answered", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
