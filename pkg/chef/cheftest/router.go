package cheftest

import (
	"net/http"
	"slices"
	"strings"
)

// handler serves one method of a route. The API validates a body before it
// authenticates the request (docs/chef-server-api.md §7.4): parse runs first and without the
// lock, then the signature is checked, then serve runs under the lock.
type handler struct {
	parse func(*request) *answer
	serve func(*request) *answer
	open  bool // needs no signature
}

type methods map[string]handler

type route struct {
	pattern []string
	methods methods
}

// request is one call of the API.
type request struct {
	s       *Server
	r       *http.Request
	path    string // as sent
	rel     string // below the organization
	org     *Org   // nil for routes of the whole server
	orgName string
	inOrg   bool
	args    map[string]string
	body    []byte
	version int
	actor   *account
	doc     *object // the body, once parsed
	arrived int64   // when it arrived, by the counter of the server
}

func (q *request) arg(name string) string { return q.args[name] }

// baseURL returns the beginning of URLs in answers, by the Host header of the request (docs/chef-server-api.md §1.1).
func (q *request) baseURL() string {
	scheme := "http"
	if q.r.TLS != nil {
		scheme = "https"
	}
	if p := q.r.Header.Get("X-Forwarded-Proto"); p != "" {
		scheme = p
	}
	return scheme + "://" + q.r.Host
}

// urlOf returns the URL of a path below the request's organization.
func (q *request) urlOf(parts ...string) string {
	b := q.baseURL()
	if q.org != nil && q.org.name != "" {
		b += "/organizations/" + q.org.name
	}
	return b + "/" + strings.Join(parts, "/")
}

func (s *Server) addRoute(table map[string][]route, pattern string, m methods) {
	p := strings.Split(strings.Trim(pattern, "/"), "/")
	key := p[0]
	if p[0] == "ORG" && len(p) > 1 {
		key += "/" + p[1]
	}
	table[key] = append(table[key], route{p, m})
}

// matchRoute finds the route of a path. Literal patterns precede those with arguments in
// the table.
func (s *Server) matchRoute(key string, segs []string) (route, map[string]string, bool) {
next:
	for _, rt := range s.routes[key] {
		if len(rt.pattern) != len(segs) {
			continue
		}
		args := map[string]string{}
		for i, p := range rt.pattern {
			if strings.HasPrefix(p, ":") && segs[i] != "" {
				args[p[1:]] = segs[i]
			} else if p != segs[i] {
				continue next
			}
		}
		return rt, args, true
	}
	return route{}, nil, false
}

// orgEndpoint reports whether the front end passes on paths below an organization that
// begin with a segment (docs/chef-server-api.md §1.5).
func orgEndpoint(seg string) bool {
	return slices.Contains([]string{
		"cookbooks", "data", "roles", "sandboxes", "environments", "clients", "nodes", "principals", "groups",
		"containers", "controls", "policy_groups", "policies", "cookbook_artifacts", "universe", "search", "users",
		"association_requests", "organizations", "updated_since",
	}, seg)
}

// splitPath collapses repeated slashes and drops the one at the end.
func splitPath(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func validOrgName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// findRoute finds the route of a request; false means that the front end has no such
// route.
func (q *request) findRoute() (route, bool) {
	segs := splitPath(q.path)
	if len(segs) == 0 {
		return route{}, false
	}
	key, pattern := segs[0], segs
	switch {
	case segs[0] == "organizations" && len(segs) >= 2 && !q.s.opts.Orgless:
		if !validOrgName(segs[1]) {
			return route{}, false
		}
		q.inOrg, q.orgName = true, segs[1]
		q.rel = "/" + strings.Join(segs[2:], "/")
		if len(segs) > 2 && !orgEndpoint(segs[2]) {
			return route{}, false
		}
		pattern = append([]string{"ORG"}, segs[2:]...)
		key = "ORG"
		if len(segs) > 2 {
			key += "/" + segs[2]
		}
	case q.s.opts.Orgless && orgEndpoint(segs[0]) && segs[0] != "users":
		q.inOrg, q.rel = true, "/"+strings.Join(segs, "/")
		pattern, key = append([]string{"ORG"}, segs...), "ORG/"+segs[0]
	}
	rt, args, ok := q.s.matchRoute(key, pattern)
	q.args = args
	if ok && pattern[len(pattern)-1] == "updated_since" {
		q.s.mu.Lock()
		ok = q.s.feeds
		q.s.mu.Unlock()
	}
	return rt, ok
}
