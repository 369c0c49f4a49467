package cheftest

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{s: s, r: r, path: rawPath(r), arrived: s.moments.Add(1)}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away
	}
	q.body = body
	hits := s.faults.matchFaults(r)
	if !hits.runDelays(r) {
		panic(http.ErrAbortHandler)
	}
	a := hits.answerBefore()
	if a == nil {
		a = hits.answerAfter(s.answerRequest(q))
	}
	s.writeAnswer(w, q, a, hits)
}

// answerRequest answers as the whole server: front end, bookshelf and API.
func (s *Server) answerRequest(q *request) *answer {
	if strings.HasPrefix(q.path, "/bookshelf/") {
		return s.serveFile(q)
	}
	if q.path == "/_status" {
		return ok(obj("status", "pong", "upstreams", obj()))
	}
	rt, known := q.findRoute()
	if !s.opts.NoFrontEnd {
		if a := s.frontEnd(q); a != nil {
			return a
		}
	}
	if !known {
		if s.opts.EmptyUnknown {
			return &answer{status: http.StatusOK}
		}
		return htmlPage(http.StatusNotFound)
	}
	a := s.answerAPI(q, rt)
	if a.status < 300 && a.ctype == "" && len(a.body) > 0 {
		a.ctype = jsonType
	}
	return a
}

// answerAPI runs the steps of an API request in the order of erchef.
func (s *Server) answerAPI(q *request, rt route) *answer {
	for _, step := range []func(*request) *answer{s.checkVersion, s.checkLicense} {
		if a := step(q); a != nil {
			return a
		}
	}
	method := q.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h, found := rt.methods[method]
	if !found {
		return (&answer{status: http.StatusMethodNotAllowed}).withHeader("Allow", rt.methods.allowHeader())
	}
	var sig *signature
	if !h.open {
		var a *answer
		if sig, a = s.checkHeaders(q.r); a != nil {
			return a
		}
	}
	if a := s.checkRequest(q); a != nil {
		return a
	}
	if h.parse != nil {
		if a := h.parse(q); a != nil {
			return a
		}
	}
	if !h.open {
		if a := s.authenticate(q, sig); a != nil {
			return a
		}
	}
	if a := checkMedia(q.r, len(q.body) > 0); a != nil {
		return a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return h.serve(q)
}

func (s *Server) checkVersion(q *request) *answer {
	text := q.r.Header.Get("X-Ops-Server-API-Version")
	if text == "" {
		return nil
	}
	v, err := strconv.Atoi(text)
	q.version = v
	if err == nil && v >= s.opts.MinAPIVersion && v <= s.opts.MaxAPIVersion {
		return nil
	}
	if s.opts.LenientVersion {
		q.version = s.opts.MaxAPIVersion
		return nil
	}
	if err != nil {
		q.version = -1
	}
	a := failWith(http.StatusNotAcceptable, obj(
		"error", "invalid-x-ops-server-api-version", "message", "Specified version "+text+" not supported",
		"min_version", s.opts.MinAPIVersion, "max_version", s.opts.MaxAPIVersion))
	return a.withHeader("X-Ops-Server-API-Version", s.versionHeader(q.version, -1))
}

func (s *Server) checkLicense(*request) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.license == "" {
		return nil
	}
	state := obj("licenseType", "commercial", "expirationDateTime", s.now().AddDate(0, 0, -1).Format("2006-01-02"),
		"warningMessage", s.license, "gracePeriod", false)
	return failWith(http.StatusForbidden, obj("error", s.license, "message", "invalid-license")).
		withHeader("X-Ops-License", string(encode(state)))
}

// checkRequest checks the size of the body and that the organization exists, both before
// authentication.
func (s *Server) checkRequest(q *request) *answer {
	writes := q.r.Method == http.MethodPost || q.r.Method == http.MethodPut
	if writes && len(q.body) > s.opts.MaxRequestSize {
		return failText(http.StatusRequestEntityTooLarge, "JSON must be no more than %d bytes.", s.opts.MaxRequestSize)
	}
	if !q.inOrg {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.org = s.orgs[q.orgName]; q.org == nil {
		if strings.HasPrefix(q.rel, "/principals/") {
			return failWith(http.StatusNotFound, obj("not_found", "org", "error", "Cannot find org "+q.orgName))
		}
		return notFound("organization '%s' does not exist.", q.orgName)
	}
	return nil
}

func checkMedia(r *http.Request, hasBody bool) *answer {
	if accept := r.Header.Get("Accept"); accept != "" && !strings.Contains(accept, "*/*") &&
		!strings.Contains(accept, "application/*") && !strings.Contains(accept, jsonType) {
		return &answer{status: http.StatusNotAcceptable}
	}
	if hasBody && (r.Method == http.MethodPut || r.Method == http.MethodPost) {
		if t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(t) != jsonType {
			return &answer{status: http.StatusUnsupportedMediaType}
		}
	}
	return nil
}

// writeAnswer writes an answer, changed by the faults, and logs the request.
func (s *Server) writeAnswer(w http.ResponseWriter, q *request, a *answer, hits faultHits) {
	h := w.Header()
	for k, v := range a.header {
		h[k] = v
	}
	h.Set("Date", s.now().Format(http.TimeFormat))
	if requested := q.r.Header.Get("X-Ops-Server-API-Version"); !a.frontEnd && h.Get("X-Ops-Server-API-Version") == "" {
		v, err := strconv.Atoi(requested)
		if requested == "" || err == nil && v <= s.opts.MaxAPIVersion {
			h.Set("X-Ops-Server-API-Version", s.versionHeader(v, v))
		}
	}
	h["Content-Type"] = nil
	if a.ctype != "" {
		h["Content-Type"] = []string{a.ctype}
	}
	body := hits.corruptBody(a.body)
	s.log.add(Request{
		Method: q.r.Method, Path: q.path, Query: q.r.URL.RawQuery, Org: q.orgName, Actor: q.r.Header.Get("X-Ops-UserId"),
		Status: a.status, BytesIn: int64(len(q.body)), Bytes: int64(len(body)), Lost: hits.losesAnswer(),
	})
	if hits.losesAnswer() {
		panic(http.ErrAbortHandler)
	}
	if a.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	if q.r.Method == http.MethodHead {
		return
	}
	if hits.cutsBody() {
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

// rawPath returns the path as it was sent, still percent-encoded.
func rawPath(r *http.Request) string {
	p := r.RequestURI
	if p == "" || !strings.HasPrefix(p, "/") {
		p = r.URL.EscapedPath()
	}
	p, _, _ = strings.Cut(p, "?")
	return p
}
