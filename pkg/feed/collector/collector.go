package collector

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
)

// maxBody is the limit of a message, in bytes: servers refuse objects beyond 2 MB by
// default (docs/chef-server-api.md §3.8), and messages hold one object.
const maxBody = 16 << 20

// Config is who may post and where changes are recorded. Token, Store and Source are
// required.
type Config struct {
	// Token is the secret of data_collector['token'].
	Token string
	Store changelog.Store
	// Source returns the name in the change log of an organization of the server, "" if no
	// objects of the kind are replicated from it.
	Source func(organization string, kind object.Kind) string
	// Notify is called with a source that has a change, after the row was written or
	// could not be. It must not block. May be nil.
	Notify func(source string)
	Now    func() time.Time // default time.Now
	Log    *slog.Logger     // default: nothing is logged
}

// Receiver is a data collector. It answers:
//
//	GET /   200: the health check of a Chef Server; needs no token
//	POST /  204; 401 without a token, 403 with a wrong one, 400 for what isn't a
//	        message, 413 for one that is too large, 503 if the change log can't be
//	        written (a Chef Server doesn't post again)
//
// The token is checked before the body is read. Refused requests aren't logged: any
// client can send any number of them.
type Receiver struct {
	config Config
	token  [sha256.Size]byte
	bad    atomic.Int64 // bodies that aren't messages
}

var _ http.Handler = (*Receiver)(nil)

// New validates a configuration and returns a receiver.
func New(c Config) (*Receiver, error) {
	if c.Token == "" || c.Store == nil || c.Source == nil {
		return nil, errors.New("a receiver of data collector messages needs a token, a store and the organizations")
	}
	if c.Notify == nil {
		c.Notify = func(string) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Receiver{config: c, token: sha256.Sum256([]byte(c.Token))}, nil
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	switch {
	case !AtRoot(q):
		http.NotFound(w, q)
	case q.Method == http.MethodGet || q.Method == http.MethodHead:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}\n")) // whether the server still listens doesn't matter
	case q.Method == http.MethodPost:
		w.WriteHeader(r.handlePost(w, q))
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// AtRoot reports whether a request is for the data collector. A Chef Server appends a slash to
// data_collector['root_url'], which may end with one: AWS shows the URL of a function so.
func AtRoot(q *http.Request) bool { return strings.Trim(q.URL.Path, "/") == "" }

// IsHealthCheck reports whether a request looks like the health check of a Chef
// Server: GET / with the headers of a message, but without the token.
func IsHealthCheck(q *http.Request) bool {
	return q.Method == http.MethodGet && AtRoot(q) && q.Header.Get("Content-Type") == "application/json"
}

func (r *Receiver) handlePost(w http.ResponseWriter, q *http.Request) (status int) {
	token := q.Header.Get("X-Data-Collector-Token")
	given := sha256.Sum256([]byte(token)) // equal length, so that the time of the comparison reveals nothing
	if subtle.ConstantTimeCompare(given[:], r.token[:]) != 1 {
		w.Header().Set("Connection", "close") // the body isn't read
		if token == "" {
			return http.StatusUnauthorized
		}
		return http.StatusForbidden
	}
	if q.ContentLength > maxBody {
		w.Header().Set("Connection", "close")
		return http.StatusRequestEntityTooLarge
	}
	m, err := ReadMessage(http.MaxBytesReader(w, q.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		w.Header().Set("Connection", "close")
		return http.StatusRequestEntityTooLarge
	case err != nil:
		if n := r.bad.Add(1); n&(n-1) == 0 { // the 1st, 2nd, 4th, 8th and so on
			r.config.Log.WarnContext(q.Context(), "a data collector message could not be read", "error", err.Error(), "so_far", n)
		}
		return http.StatusBadRequest
	}
	return r.recordChange(q.Context(), m)
}

// recordChange appends the changes of a message to the change log of its organization.
func (r *Receiver) recordChange(ctx context.Context, m Message) (status int) {
	changes := m.Changes()
	if len(changes) == 0 {
		return http.StatusNoContent
	}
	ref, _ := m.objectRef()
	source := r.config.Source(m.Organization, ref.Kind)
	if source == "" {
		return http.StatusNoContent
	}
	defer r.config.Notify(source)
	// The change is recorded even if the server closes the connection.
	appendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	_, err := r.config.Store.Append(appendCtx, source, r.config.Now(), changes)
	switch {
	case err == nil:
		r.config.Log.DebugContext(ctx, "change pushed", "source", source, "action", changes[0].Action, "path", changes[0].Path)
	case errors.Is(err, changelog.ErrNoChangeLog): // no pair has a position in it
	default:
		r.config.Log.ErrorContext(ctx, "a pushed change could not be recorded; the next scan finds it", "source", source, "path",
			changes[0].Path, "error", err.Error())
		return http.StatusServiceUnavailable
	}
	return http.StatusNoContent
}
