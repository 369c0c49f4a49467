package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/feed/changelog"
)

// superuser is the user that may read every organization without being a member.
const superuser = "pivotal"

// The versions of the Chef Server API that requests may name.
const minVersion, maxVersion = 0, 2

const (
	maxBody = 1 << 20 // of a request, which needs none
	// An answer ends with the row that makes it so large, in bytes: a function URL allows
	// 6 MB, in which each quote of the answer counts twice.
	maxAnswer = 4 << 20
	// maxRows is how many rows an answer has at most. A client that asks for older ones
	// than are kept gets the newest ones.
	maxRows = 20_000
)

// Config is the configuration of a Handler. Store, Sources and Principals are required.
type Config struct {
	Store changelog.Store
	// Sources are the names of sources in the change log by organization; "" for a primary
	// without organizations, whose feed is /updated_since.
	Sources    map[string]string
	Principals Principals
	// Only, unless empty, are the only names that may read. By default every member
	// may, API clients (and so nodes) included: rows name objects that every member
	// can list.
	Only []string
	Now  func() time.Time // default time.Now
	Log  *slog.Logger     // default: nothing is logged
}

// Handler serves change logs as updated_since.
type Handler struct{ config Config }

var _ http.Handler = (*Handler)(nil)

// New validates a configuration and returns a handler.
func New(c Config) (*Handler, error) {
	if c.Store == nil || c.Principals == nil || len(c.Sources) == 0 {
		return nil, errors.New("serving updated_since needs a store, principals and organizations")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Handler{c}, nil
}

// ServeHTTP implements http.Handler. The checks come in the order of a Chef
// Server: version, organization, headers, signature, membership, query.
func (h *Handler) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	version, ok := requestVersion(q)
	if !ok {
		asked, _ := json.Marshal("Specified version " + q.Header.Get("X-Ops-Server-API-Version") + " not supported") // a string always encodes
		writeAnswer(w, -1, http.StatusNotAcceptable,
			fmt.Appendf(nil, `{"error":"invalid-x-ops-server-api-version","message":%s,"min_version":%d,"max_version":%d}`, asked,
				minVersion, maxVersion))
		return
	}
	refuse := func(status int, format string, args ...any) {
		body, _ := json.Marshal(map[string][]string{"error": {fmt.Sprintf(format, args...)}}) // strings always encode
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `X-Ops-Sign version="1.0" version="1.1"`)
		}
		writeAnswer(w, version, status, body)
	}
	organization, ok := parseRoute(q)
	if !ok {
		refuse(http.StatusNotFound, "Object not found")
		return
	}
	source, ok := h.config.Sources[organization]
	switch {
	case !ok:
		refuse(http.StatusNotFound, "organization '%s' does not exist.", organization)
		return
	case q.Method != http.MethodGet && q.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(http.StatusMethodNotAllowed, "Method not allowed")
		return
	}
	if err := h.authenticate(q, organization); err != nil {
		r := &chef.AuthError{Status: http.StatusServiceUnavailable, Message: "the signature can't be checked now"}
		var busy *BusyError
		switch {
		case errors.As(err, &r):
		case errors.As(err, &busy):
			w.Header().Set("Retry-After", strconv.Itoa(int((busy.RetryAfter+time.Second-1)/time.Second)))
		default:
			h.config.Log.ErrorContext(q.Context(), "a reader of updated_since could not be checked", "organization", organization,
				"error", err.Error())
		}
		refuse(r.Status, "%s", r.Message)
		return
	}
	after, ok := parseSeq(q)
	if !ok {
		refuse(http.StatusBadRequest, "invalid 'seq' value")
		return
	}
	body, head, err := h.encodeRows(q, source, after)
	switch {
	case errors.Is(err, changelog.ErrNoChangeLog):
		refuse(http.StatusNotFound, "the changes of organization '%s' are not recorded yet", organization)
		return
	case err != nil:
		h.config.Log.ErrorContext(q.Context(), "the change log could not be read", "source", source, "error", err.Error())
		refuse(http.StatusInternalServerError, "internal service error")
		return
	}
	w.Header().Set("X-Chef-Sync-Epoch", head.Epoch)
	w.Header().Set("X-Chef-Sync-Oldest", strconv.FormatInt(head.Oldest, 10))
	w.Header().Set("X-Chef-Sync-Newest", strconv.FormatInt(head.Newest, 10))
	writeAnswer(w, version, http.StatusOK, body)
}

// requestVersion returns the API version that a request names; none means 0.
func requestVersion(q *http.Request) (int, bool) {
	text := q.Header.Get("X-Ops-Server-API-Version")
	if text == "" {
		return 0, true
	}
	v, err := strconv.Atoi(text)
	return v, err == nil && v >= minVersion && v <= maxVersion
}

// writeAnswer sends an answer with the header by which clients recognize a Chef Server
// (docs/chef-server-api.md §1.4).
func writeAnswer(w http.ResponseWriter, version, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Ops-Server-API-Version", fmt.Sprintf(`{"min_version":"%d","max_version":"%d","request_version":"%d",`+
		`"response_version":"%d"}`,
		minVersion, maxVersion, version, version))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // whether the client still listens doesn't matter
}

// parseRoute parses /organizations/ORG/updated_since, or /updated_since. The request line
// of the endpoint's documentation has objects_since (docs/chef-server-api.md §2.1), so both
// names are served.
func parseRoute(q *http.Request) (organization string, ok bool) {
	parts := strings.FieldsFunc(q.URL.EscapedPath(), func(r rune) bool { return r == '/' })
	if len(parts) == 0 || !slices.Contains([]string{"updated_since", "objects_since"}, parts[len(parts)-1]) {
		return "", false
	}
	switch {
	case len(parts) == 1:
		return "", true
	case len(parts) == 3 && parts[0] == "organizations" && chef.ValidName(parts[1]):
		return parts[1], true
	}
	return "", false
}

// authenticate returns a *chef.AuthError for a request that may not read, and another
// error if that can't be determined. The checks that need no key come first, so that
// the primary isn't asked about invalid requests.
func (h *Handler) authenticate(q *http.Request, organization string) error {
	signed, err := chef.ReadSigned(q.Header, h.config.Now())
	if err != nil {
		return err
	}
	name := signed.User
	invalid := &chef.AuthError{Status: http.StatusUnauthorized, Message: fmt.Sprintf("Invalid signature for user or client '%s'", name)}
	body, err := readBody(q)
	switch {
	case err != nil:
		return err
	case !signed.Covers(body):
		return invalid
	case len(h.config.Only) > 0 && !slices.Contains(h.config.Only, name):
		return &chef.AuthError{Status: http.StatusForbidden, Message: "missing read permission"}
	}
	path := rawPath(q)
	who, known, err := h.config.Principals.Signer(q.Context(), organization, name, func(p Principal) bool {
		return signed.VerifiedBy(p.Key, q.Method, path, body)
	})
	switch {
	case err != nil:
		return err
	case !known:
		return &chef.AuthError{Status: http.StatusUnauthorized,
			Message: fmt.Sprintf("Failed to authenticate as '%s'. Ensure that your node_name and client key are correct.", name)}
	case who == nil:
		return invalid
	case !who.Member && !who.Client && name != superuser:
		return &chef.AuthError{Status: http.StatusForbidden,
			Message: fmt.Sprintf("'%s' not associated with organization '%s'", name, organization)}
	}
	return nil
}

// readBody reads the body of a request, which needs none.
func readBody(q *http.Request) ([]byte, error) {
	if q.ContentLength <= maxBody {
		body, err := io.ReadAll(io.LimitReader(q.Body, maxBody+1))
		if err == nil && len(body) <= maxBody {
			return body, nil
		}
	}
	return nil, &chef.AuthError{Status: http.StatusRequestEntityTooLarge, Message: "the request needs no body"}
}

// rawPath returns the path as it was received, which is what the client signed.
func rawPath(q *http.Request) string {
	if path, _, _ := strings.Cut(q.RequestURI, "?"); strings.HasPrefix(path, "/") {
		return path
	}
	return q.URL.EscapedPath()
}

// parseSeq returns the largest id that the client knows; none means 0.
func parseSeq(q *http.Request) (int64, bool) {
	text := q.URL.Query().Get("seq")
	if text == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0
}

// encodeRows returns the rows after an id as JSON, as many as fit into an answer.
func (h *Handler) encodeRows(q *http.Request, source string, after int64) ([]byte, changelog.Head, error) {
	page, err := h.config.Store.Rows(q.Context(), source, after, maxRows)
	if head := page.Head; err == nil && after+1 < head.Oldest && head.Newest-maxRows >= head.Oldest {
		page, err = h.config.Store.Rows(q.Context(), source, head.Newest-maxRows, maxRows)
	}
	if err == nil && page.Head.Epoch == "" {
		err = changelog.ErrNoChangeLog
	}
	if err != nil {
		return nil, page.Head, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('[')
	for i, r := range page.Rows {
		if b.Len() >= maxAnswer {
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		row := struct {
			Action string `json:"action"`
			ID     int64  `json:"id"`
			Path   string `json:"path"`
		}{r.Action, r.ID, r.Path}
		if err := enc.Encode(row); err != nil {
			return nil, page.Head, err
		}
	}
	return append(b.Bytes(), ']'), page.Head, nil
}
