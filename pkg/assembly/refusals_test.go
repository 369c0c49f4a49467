package assembly

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lockedBuffer is a log that timers write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lockedBuffer) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Reset()
}

// TestRefusedRequestsAreLoggedInFewLines: the log has their number, not
// a line for each.
func TestRefusedRequestsAreLoggedInFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		h := logRefusals(http.HandlerFunc(refusePushes), slog.New(slog.NewTextHandler(&log, nil)))
		post := func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil))
		}
		post()
		if !strings.Contains(log.String(), "requests=1 ") {
			t.Errorf("the first one isn't logged at once:\n%s", log.String())
		}
		for range 19_999 {
			post()
			time.Sleep(10 * time.Millisecond) // 200 seconds of it
		}
		time.Sleep(2 * refusalLogInterval)
		synctest.Wait()
		total := 0
		for _, m := range regexp.MustCompile(`request=push status=403 requests=(\d+) remote=`).FindAllStringSubmatch(log.String(), -1) {
			n, _ := strconv.Atoi(m[1]) // digits
			total += n
		}
		if n := strings.Count(log.String(), "\n"); n != 5 || total != 20_000 {
			t.Errorf("%d requests in %d lines, want 20000 in 5:\n%s", total, n, log.String())
		}
		// Silence ends it; the next one is logged at once again.
		log.Reset()
		time.Sleep(time.Hour)
		synctest.Wait()
		if log.String() != "" {
			t.Errorf("lines about nothing:\n%s", log.String())
		}
		if post(); !strings.Contains(log.String(), "requests=1 ") {
			t.Errorf("the first one after a pause isn't logged at once:\n%s", log.String())
		}
		time.Sleep(2 * refusalLogInterval)
	})
}

// TestRefusalsOfOneKindDoNotHideOthers: a flood of pushes and one reader.
func TestRefusalsOfOneKindDoNotHideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		status, header := 0, http.Header{}
		h := logRefusals(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for name, values := range header {
				w.Header()[name] = values
			}
			w.WriteHeader(status)
		}), slog.New(slog.NewTextHandler(&log, nil)))
		ask := func(answer int, method, path, user string) string {
			log.Reset()
			status = answer
			q := httptest.NewRequest(method, path, nil)
			q.Header.Set("X-Ops-UserId", user)
			h.ServeHTTP(httptest.NewRecorder(), q)
			return log.String()
		}
		for _, c := range []struct {
			status             int
			method, path, user string
			want               string // "" for nothing
		}{
			{403, "POST", "/", "", "request=push status=403"}, {403, "POST", "/", "", ""}, {401, "POST", "/", "", "data_collector['token']"},
			{401, "GET", "/organizations/acme/updated_since", "bob", "request=read status=401 requests=1 remote=192.0.2.1:1234 user=bob"},
			{404, "GET", "/.env", "", "request=other status=404"}, {404, "GET", "/x", "a b\nlevel=ERROR", "request=read status=404 requests=1 remote=192.0.2.1:1234\n"},
			{200, "GET", "/", "", ""}, {204, "POST", "/", "", ""}, {500, "GET", "/x", "", ""}, {503, "POST", "/", "", ""},
		} {
			if got := ask(c.status, c.method, c.path, c.user); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%+v: logged %q", c, got)
			}
		}
		header.Set("Retry-After", "1")
		if got := ask(503, "GET", "/organizations/acme/updated_since", "bob"); !strings.Contains(got, "journal.keys") {
			t.Errorf("who is to come again: logged %q", got)
		}
		time.Sleep(2 * refusalLogInterval)
	})
}
