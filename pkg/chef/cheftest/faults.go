package cheftest

import (
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Fault is a simulated failure. It hits requests that match Method and Path, as limited
// by Nth and Times. Unless an answer is set by Status, HTML or Drop, the request is
// served as usual, and then its answer is changed as the other fields say.
type Fault struct {
	// Method is the HTTP method; "" is any.
	Method string
	// Path is a pattern for the path of the request, whole or below its
	// organization: * is any run of characters, / included. "re:" before it
	// makes it a regular expression, which may match anywhere. "" is any path.
	Path string
	// Match, if set, must return true, too.
	Match func(*http.Request) bool
	// Nth is the first matching request that is hit, counting from 1.
	Nth int
	// Times is how many requests are hit; 0 is all.
	Times int

	// Do runs when a request is hit, before it has any effect. It may use the
	// server freely.
	Do func(*http.Request)
	// Delay holds the answer back, before any effect.
	Delay time.Duration
	// Status answers with this status, as the API does. The request has no
	// effect unless After is set.
	Status int
	// Body and Header belong to the answer of Status.
	Body   string
	Header http.Header
	// EmptyBody leaves the body of the answer of Status empty.
	EmptyBody bool
	// HTML makes the answer a page of the front end or of a proxy: HTML, and no
	// version header. Without a Status it is a 200.
	HTML bool
	// After lets the request take effect before the answer is replaced.
	After bool
	// Drop closes the connection without an answer and without effect;
	// DropAnswer after the effect.
	Drop, DropAnswer bool
	// CutBody closes the connection after half of the body.
	CutBody bool
	// Truncate answers with the first half of the body, as if it were all.
	Truncate bool
	// WrongBytes flips a bit in the middle of the body.
	WrongBytes bool
}

// FaultHandle counts the hits of a fault, and removes it.
type FaultHandle struct {
	list  *faultList
	fault Fault
	match func(string) bool

	seen, hits int // guarded by list.mu
}

type faultList struct {
	mu   sync.Mutex
	live []*FaultHandle
}

// Fault sets a fault until it is removed. An invalid regular expression
// matches nothing.
func (s *Server) Fault(f Fault) *FaultHandle {
	h := &FaultHandle{list: &s.faults, fault: f, match: pathMatcher(f.Path)}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.live = append(s.faults.live, h)
	return h
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.live = nil
}

// Remove ends the fault.
func (h *FaultHandle) Remove() {
	h.list.mu.Lock()
	defer h.list.mu.Unlock()
	for i, o := range h.list.live {
		if o == h {
			h.list.live = append(h.list.live[:i:i], h.list.live[i+1:]...)
			return
		}
	}
}

// Hits returns how many requests the fault has hit.
func (h *FaultHandle) Hits() int {
	h.list.mu.Lock()
	defer h.list.mu.Unlock()
	return h.hits
}

func pathMatcher(pattern string) func(string) bool {
	if pattern == "" {
		return func(string) bool { return true }
	}
	expr, isRE := strings.CutPrefix(pattern, "re:")
	if !isRE {
		expr = "^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$"
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return func(string) bool { return false }
	}
	return re.MatchString
}

// matchFaults counts a request for all faults and returns those that hit it.
func (l *faultList) matchFaults(r *http.Request) faultHits {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.live) == 0 {
		return nil
	}
	full := path.Clean(rawPath(r))
	short := full
	if parts := strings.SplitN(full, "/", 4); len(parts) == 4 && parts[1] == "organizations" {
		short = "/" + parts[3]
	}
	var hits faultHits
	for _, h := range l.live {
		f := h.fault
		if f.Method != "" && f.Method != r.Method || !h.match(full) && !h.match(short) || f.Match != nil && !f.Match(r) {
			continue
		}
		h.seen++
		if h.seen < f.Nth || f.Times > 0 && h.hits >= f.Times {
			continue
		}
		h.hits++
		hits = append(hits, f)
	}
	return hits
}

// faultHits are the faults that hit one request.
type faultHits []Fault

func (hs faultHits) anyFault(is func(Fault) bool) bool {
	for _, f := range hs {
		if is(f) {
			return true
		}
	}
	return false
}

// runDelays runs Do and Delay; it returns false if the client has gone.
func (hs faultHits) runDelays(r *http.Request) bool {
	for _, f := range hs {
		if f.Do != nil {
			f.Do(r)
		}
		if f.Delay <= 0 {
			continue
		}
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return false
		}
	}
	return true
}

func (f Fault) replacement() *answer {
	if f.Status == 0 && !f.HTML {
		return nil
	}
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	a := fail(status, "internal service error")
	if f.HTML {
		a = htmlPage(status)
	} else if status < 300 {
		a.ctype = jsonType
	}
	if f.Body != "" {
		a.body = []byte(f.Body)
	}
	if f.EmptyBody {
		a.body = nil
	}
	for k, v := range f.Header {
		a.withHeader(k, strings.Join(v, ", "))
	}
	if t := f.Header.Get("Content-Type"); t != "" {
		a.ctype = t
	}
	return a
}

// answerBefore returns an answer that replaces any effect, or nil.
func (hs faultHits) answerBefore() *answer {
	for _, f := range hs {
		if f.Drop {
			return &answer{}
		}
		if a := f.replacement(); a != nil && !f.After {
			return a
		}
	}
	return nil
}

// answerAfter returns the answer that replaces the real one, or the real one.
func (hs faultHits) answerAfter(original *answer) *answer {
	for _, f := range hs {
		if a := f.replacement(); a != nil && f.After {
			return a
		}
	}
	return original
}

func (hs faultHits) losesAnswer() bool {
	return hs.anyFault(func(f Fault) bool { return f.Drop || f.DropAnswer })
}
func (hs faultHits) cutsBody() bool { return hs.anyFault(func(f Fault) bool { return f.CutBody }) }

func (hs faultHits) corruptBody(body []byte) []byte {
	if hs.anyFault(func(f Fault) bool { return f.Truncate }) {
		body = body[:len(body)/2]
	}
	if len(body) > 0 && hs.anyFault(func(f Fault) bool { return f.WrongBytes }) {
		body = append([]byte(nil), body...)
		body[len(body)/2] ^= 1
	}
	return body
}
