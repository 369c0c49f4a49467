package cheftest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxRequestLine is what nginx reads of the first line of a request, by default.
const maxRequestLine = 8 << 10

// frontEnd checks what nginx checks before a request reaches the API, in its order
// (docs/chef-server-api.md §1.5).
func (s *Server) frontEnd(q *request) *answer {
	s.mu.Lock()
	down := s.maintenance
	s.mu.Unlock()
	if down {
		a := failText(http.StatusServiceUnavailable, "The Chef Infra Server is in maintenance mode.")
		a.frontEnd, a.ctype = true, jsonType
		return a
	}
	if len(q.r.RequestURI) > maxRequestLine {
		return htmlPage(http.StatusRequestURITooLong)
	}
	version := q.r.Header.Get("X-Chef-Version")
	if version == "" {
		return htmlPage(http.StatusOK)
	}
	if !modernChef(version) {
		a := failText(http.StatusBadRequest, "Unsupported client version: %s", version)
		a.frontEnd, a.ctype = true, "text/plain"
		return a
	}
	if q.r.Header.Get("X-Ops-UserId") == "" {
		return htmlPage(http.StatusUnauthorized)
	}
	return nil
}

// modernChef reports whether a version reads N.N. and is at least 10, or 0.10.
func modernChef(version string) bool {
	parts := strings.Split(version, ".")
	if len(parts) < 3 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (major >= 10 || major == 0 && minor == 10)
}

// allowHeader returns the methods of a route, for a 405.
func (m methods) allowHeader() string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
