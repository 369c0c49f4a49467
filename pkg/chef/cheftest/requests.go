package cheftest

import (
	"strings"
	"sync"
)

// Request is one request that was answered, bookshelf included.
type Request struct {
	Method  string
	Path    string // as sent, without the query
	Query   string
	Org     string // "" outside an organization
	Actor   string // the name in its headers
	Status  int
	BytesIn int64 // of the request's body
	Bytes   int64 // of the answer's body
	Lost    bool  // a fault closed the connection before the answer
}

// Requests is a list of requests in the order in which they were answered.
type Requests []Request

// Filter returns the requests for which keep returns true.
func (rs Requests) Filter(keep func(Request) bool) Requests {
	var kept Requests
	for _, r := range rs {
		if keep(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

// Method returns the requests of a method.
func (rs Requests) Method(method string) Requests {
	return rs.Filter(func(r Request) bool { return r.Method == method })
}

// Containing returns the requests whose path contains part.
func (rs Requests) Containing(part string) Requests {
	return rs.Filter(func(r Request) bool { return strings.Contains(r.Path, part) })
}

// Writes returns the requests that change something: all but GET, HEAD
// and searches by POST.
func (rs Requests) Writes() Requests {
	return rs.Filter(func(r Request) bool {
		return r.Method != "GET" && r.Method != "HEAD" && !strings.Contains(r.Path, "/search/")
	})
}

// Counts returns the number of requests by method.
func (rs Requests) Counts() map[string]int {
	counts := map[string]int{}
	for _, r := range rs {
		counts[r.Method]++
	}
	return counts
}

type requestLog struct {
	mu   sync.Mutex
	list Requests
}

func (l *requestLog) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r)
}

// Requests returns the requests since the start or the last ResetRequests.
func (s *Server) Requests() Requests {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return append(Requests(nil), s.log.list...)
}

// ResetRequests clears the log of requests.
func (s *Server) ResetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.list = nil
}
