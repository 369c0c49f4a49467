package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// httpReceiver keeps what is posted to it, by the first part of the path.
type httpReceiver struct {
	mu     sync.Mutex
	bodies map[string][]string // that were taken
	tried  map[string][]string // also those that were refused
	status int
}

func (r *httpReceiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	name, _, _ := strings.Cut(strings.Trim(q.URL.Path, "/"), "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried[name] = append(r.tried[name], string(body)+" ")
	if r.status == http.StatusOK {
		r.bodies[name] = append(r.bodies[name], string(body)+" ")
	}
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, q.URL.String())
}

// matching returns the bodies of a path that match a pattern.
func (r *httpReceiver) matching(name, pattern string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.bodies[name]
	if r.status != http.StatusOK {
		all = r.tried[name]
	}
	for _, body := range all {
		if regexp.MustCompile(pattern).MatchString(body) {
			n++
		}
	}
	return n
}

// receiverCommand is an HTTP server that notifications are posted to:
//
//	receiver start              run it; $RECEIVER_URL is its URL
//	receiver got PATH PATTERN   something that matches was posted to PATH
//	receiver await PATH PATTERN wait until it is; while it refuses, until it was tried
//	receiver count PATH N       N were posted since the last reset
//	receiver status N           answer with N from now on
//	receiver reset
func receiverCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(sitesKey{}).(*sites)
	if neg || len(args) == 0 || len(args) < 3 && (args[0] == "got" || args[0] == "await" || args[0] == "count") {
		ts.Fatalf("usage: receiver VERB ...")
	}
	r := s.receiver
	switch args[0] {
	case "start":
		r = &httpReceiver{bodies: map[string][]string{}, tried: map[string][]string{}, status: http.StatusOK}
		server := httptest.NewServer(r)
		ts.Defer(server.Close)
		ts.Setenv("RECEIVER_URL", server.URL)
		s.receiver = r
	case "got":
		if r.matching(args[1], args[2]) == 0 {
			ts.Fatalf("nothing like %s; there is %q", args[2], r.bodies)
		}
	case "await":
		for give := time.After(time.Minute); r.matching(args[1], args[2]) == 0; {
			select {
			case <-give:
				ts.Fatalf("nothing like %s came; there is %q", args[2], r.tried)
			case <-time.After(20 * time.Millisecond):
			}
		}
	case "count":
		if n := r.matching(args[1], ""); strconv.Itoa(n) != args[2] {
			ts.Fatalf("%d messages, want %s: %q", n, args[2], r.bodies[args[1]])
		}
	case "status", "reset":
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies, r.tried = map[string][]string{}, map[string][]string{}
		if args[0] == "status" {
			var err error
			r.status, err = strconv.Atoi(args[1])
			ts.Check(err)
		}
	default:
		ts.Fatalf("unknown verb %s", args[0])
	}
}
