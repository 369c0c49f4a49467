package chef

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// defaultRetry is the retry policy that clients have by default.
func defaultRetry(c *Config) { c.Retry = RetryPolicy{} }

// flakyTransport is a transport that answers, fails or hangs, as its test says.
type flakyTransport struct {
	mu    sync.Mutex
	fail  func(path string) *cannedAnswer // nil: answered with {}
	hang  func(path string) bool
	asked []time.Time
	paths []string
}

func (f *flakyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.asked, f.paths = append(f.asked, time.Now()), append(f.paths, r.URL.Path)
	fail, hang := f.fail, f.hang
	f.mu.Unlock()
	if hang != nil && hang(r.URL.Path) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	a := erchefAnswer(200, `{}`)
	if fail != nil {
		if c := fail(r.URL.Path); c != nil {
			a = *c
		}
	}
	return answerInOrder(a).RoundTrip(r)
}

// setBehaviour changes how the server behaves.
func (f *flakyTransport) setBehaviour(fail func(string) *cannedAnswer, hang func(string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.hang = fail, hang
}

// countSince counts the requests that reached the server after a time.
func (f *flakyTransport) countSince(t time.Time) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.asked {
		if at.After(t) {
			n++
		}
	}
	return n
}

func anyPath(string) bool { return true }

func unreachableServer() func(string) *cannedAnswer {
	return func(string) *cannedAnswer { return &cannedAnswer{err: syscall.ECONNREFUSED} }
}

func getPath(c *Client, path string) error {
	_, err := c.Org("acme").Do(context.Background(), "GET", path, nil)
	return err
}

// Forty users of a server that is down ask again every second for ten minutes.
func TestBreakerSendsOneProbePerInterval(t *testing.T) {
	for name, set := range map[string]func(*flakyTransport){
		"it hangs":               func(f *flakyTransport) { f.setBehaviour(nil, anyPath) },
		"it refuses connections": func(f *flakyTransport) { f.setBehaviour(unreachableServer(), nil) },
		"its front end maintains": func(f *flakyTransport) {
			f.setBehaviour(func(string) *cannedAnswer { a := pageAnswer(503); return &a }, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &flakyTransport{}
				set(f)
				c := newTestClient(t, f, defaultRetry)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var users sync.WaitGroup
				for range 40 {
					users.Go(func() {
						for ctx.Err() == nil {
							if err := getPath(c, "/roles"); KindOf(err) != KindUnreachable && KindOf(err) != KindUnavailable {
								t.Errorf("error %v", err)
							}
							time.Sleep(time.Second)
						}
					})
				}
				time.Sleep(time.Minute)
				began := time.Now()
				time.Sleep(time.Minute)
				if n := f.countSince(began); n > 6 {
					t.Errorf("%d requests in the second minute", n)
				}
				began = time.Now()
				time.Sleep(8 * time.Minute)
				if n := f.countSince(began); n < 6 || n > 11 {
					t.Errorf("%d requests in 8 minutes, want a probe a minute", n)
				}
				users.Wait()
			})
		})
	}
}

func TestErrorOfAnOpenBreakerNamesOutageAndNextProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flakyTransport{}
		f.setBehaviour(unreachableServer(), nil)
		c := newTestClient(t, f, defaultRetry)
		c.jitter = func() float64 { return 0.9 }
		_ = getPath(c, "/roles")
		e := wantKind(t, getPath(c, "/roles"), KindUnreachable)
		want := "no answer since 2000-01-01 00:00:00 UTC (connection refused); next probe at 00:00:0"
		if !strings.HasPrefix(e.Message, want) || e.Attempts != 1 || e.Hint == "" {
			t.Errorf("%q after %d attempts, hint %q", e.Message, e.Attempts, e.Hint)
		}
		a := c.Breaker().Availability()
		if !a.Open || a.DownSince.IsZero() || a.Failure == nil || !a.Served.IsZero() {
			t.Errorf("availability %+v", a)
		}
	})
}

func TestBreakerClosesAtTheNextSuccessfulProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flakyTransport{}
		c := newTestClient(t, f, defaultRetry)
		if err := getPath(c, "/roles"); err != nil {
			t.Fatal(err)
		}
		f.setBehaviour(unreachableServer(), nil)
		for start := time.Now(); time.Since(start) < 5*time.Minute; time.Sleep(time.Second) {
			_ = getPath(c, "/roles")
		}
		f.setBehaviour(nil, nil)
		repaired := time.Now()
		for getPath(c, "/roles") != nil {
			time.Sleep(time.Second)
		}
		if took := time.Since(repaired); took > probeMost {
			t.Errorf("the server was used %v after it was repaired", took)
		}
		if a := c.Breaker().Availability(); a.Open || !a.DownSince.IsZero() || a.Failure != nil || time.Since(a.Served) > time.Second {
			t.Errorf("availability %+v", a)
		}
	})
}

// TestABreakerGoesByTheWallClock: the monotonic clock stops while a machine, or a function on
// AWS, is suspended. A server would seem to have answered just now, and one that is down
// would not be probed for long.
func TestABreakerGoesByTheWallClock(t *testing.T) {
	b := NewBreaker() // not in a bubble, whose times have no such reading
	b.recordAccepted(time.Now())
	b.probeDone = make(chan struct{})
	b.recordProbe(t.Context(), time.Now(), &Error{Kind: KindUnreachable})
	a := b.Availability()
	for name, at := range map[string]time.Time{"served": a.Served, "down since": a.DownSince, "next probe": b.nextProbe} {
		if at.IsZero() || strings.Contains(at.String(), "m=") {
			t.Errorf("%s: %s has a reading of the monotonic clock", name, at)
		}
	}
}

// TestAClockThatIsSetBackDelaysNoProbe for longer than the longest interval.
func TestAClockThatIsSetBackDelaysNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flakyTransport{}
		f.setBehaviour(unreachableServer(), nil)
		c := newTestClient(t, f, defaultRetry)
		for !c.Breaker().Availability().Open {
			_ = getPath(c, "/roles")
		}
		c.Breaker().nextProbe = c.Breaker().nextProbe.Add(time.Hour) // as it looks then
		f.setBehaviour(nil, nil)
		if err := getPath(c, "/roles"); err != nil {
			t.Error(err)
		}
	})
}

func TestProbeNowDoesNotWaitForTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flakyTransport{}
		f.setBehaviour(unreachableServer(), nil)
		c := newTestClient(t, f, defaultRetry)
		for start := time.Now(); time.Since(start) < 5*time.Minute; time.Sleep(time.Second) {
			_ = getPath(c, "/roles")
		}
		f.setBehaviour(nil, nil)
		c.Breaker().ProbeNow()
		if err := getPath(c, "/roles"); err != nil {
			t.Error(err)
		}
	})
}

// What a server answers, however unfriendly, shows that it is there; only a front
// end's word that the server behind it isn't counts.
func TestAnswersDoNotOpenTheBreaker(t *testing.T) {
	for name, a := range map[string]cannedAnswer{
		"500": erchefAnswer(500, `{"error":["internal service error"]}`), "503 of the Chef Server": erchefAnswer(503, `{"error":["busy"]}`),
		"401": erchefAnswer(401, `{"error":["no"]}`), "403": erchefAnswer(403, `{"error":["missing read permission"]}`),
		"404": erchefAnswer(404, `{"error":["none"]}`),
		"409": erchefAnswer(409, `{"error":["exists"]}`), "429": pageAnswer(429), "HTML 500": pageAnswer(500), "HTML 404": pageAnswer(404),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &flakyTransport{}
				f.setBehaviour(func(string) *cannedAnswer { return &a }, nil)
				c := newTestClient(t, f, defaultRetry)
				for range 20 {
					before := time.Now().Add(-1)
					_ = getPath(c, "/roles/web")
					if f.countSince(before) == 0 {
						t.Fatal("a request wasn't sent")
					}
					time.Sleep(time.Second)
				}
				if av := c.Breaker().Availability(); av.Open || !av.DownSince.IsZero() {
					t.Errorf("availability %+v", av)
				}
			})
		})
	}
}

// One path hangs, or a proxy refuses it. Nothing else is asked of the server.
func TestOnePathThatFailsDoesNotOpenTheBreaker(t *testing.T) {
	bad := func(path string) bool { return strings.HasSuffix(path, "/roles/bad") }
	refused := func(path string) *cannedAnswer {
		if a := pageAnswer(503); bad(path) {
			return &a
		}
		return nil
	}
	for name, set := range map[string]func(*flakyTransport){
		"it hangs":   func(f *flakyTransport) { f.setBehaviour(nil, bad) },
		"it refuses": func(f *flakyTransport) { f.setBehaviour(refused, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &flakyTransport{}
				set(f)
				c := newTestClient(t, f, defaultRetry)
				for range 10 {
					if err := getPath(c, "/roles/bad"); err == nil {
						t.Fatal("no error")
					}
					if c.Breaker().Availability().Open {
						t.Fatal("the breaker is open")
					}
					if err := getPath(c, "/roles/good"); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// Requests that come while nobody knows yet whether the server is down wait for the
// one that finds out. If its caller goes away, another one does it.
func TestCanceledProbeIsRepeatedByAnotherRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flakyTransport{}
		f.setBehaviour(nil, anyPath)
		c := newTestClient(t, f, singleAttempt)
		_ = getPath(c, "/roles")
		leaving, leave := context.WithCancel(t.Context())
		var both sync.WaitGroup
		both.Go(func() {
			_, err := c.Org("acme").Do(leaving, "GET", "/roles", nil)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want canceled", err)
			}
		})
		synctest.Wait()
		both.Go(func() {
			if err := getPath(c, "/roles"); err != nil {
				t.Errorf("the request that waited: %v", err)
			}
		})
		synctest.Wait()
		before := time.Now()
		f.setBehaviour(nil, nil)
		leave()
		both.Wait()
		if n := len(f.paths); n != 4 || time.Since(before) != 0 { // one, two probes, and the request
			t.Errorf("%d requests: %v", n, f.paths)
		}
	})
}

func TestFailuresOfOtherFileHostsDoNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flakyTransport{}
		c := newTestClient(t, f, defaultRetry, func(c *Config) { c.FileHosts = []string{"files.example.com"} })
		f.setBehaviour(nil, func(path string) bool { return strings.HasPrefix(path, "/store") })
		for range 3 {
			_, _, err := c.OpenFile(t.Context(), "https://files.example.com/store/abc")
			wantKind(t, err, KindUnreachable)
		}
		if a := c.Breaker().Availability(); !a.DownSince.IsZero() {
			t.Errorf("availability %+v", a)
		}
		f.setBehaviour(nil, anyPath)
		for range 2 {
			_ = getPath(c, "/roles")
		}
		before := time.Now()
		if err := c.UploadFile(t.Context(), "https://chef.example.com:443/bookshelf/abc", strings.Repeat("0", 32),
			contentOf("x")); KindOf(err) != KindUnreachable || time.Since(before) != 0 {
			t.Errorf("an upload to the server itself: %v after %v, want an error at once", err, time.Since(before))
		}
		f.setBehaviour(nil, nil)
		content, _, err := c.OpenFile(t.Context(), "https://files.example.com/store/abc")
		if err != nil {
			t.Fatalf("a file elsewhere: %v", err)
		}
		_, _ = io.Copy(io.Discard, content)
		_ = content.Close()
	})
}

// Requests that wait for one of the connections must not each try it out again.
func TestQueuedRequestsFailTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flakyTransport{}
		f.setBehaviour(nil, anyPath)
		c := newTestClient(t, f, singleAttempt, func(c *Config) { c.Concurrency = 1 })
		start := time.Now()
		var users sync.WaitGroup
		for range 20 {
			users.Go(func() { wantKind(t, getPath(c, "/roles"), KindUnreachable) })
		}
		users.Wait()
		if took := time.Since(start); took != 40*time.Second {
			t.Errorf("20 requests took %v, want one timeout and one probe: 40s", took)
		}
	})
}

// A request that its caller broke off, and one that began before others were
// answered, say nothing of the server.
func TestFailuresOfOneRequestDoNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flakyTransport{}
		f.setBehaviour(nil, func(path string) bool { return strings.HasSuffix(path, "/slow") })
		c := newTestClient(t, f, singleAttempt)
		leaving, leave := context.WithTimeout(t.Context(), 10*time.Second)
		defer leave()
		if _, err := c.Org("acme").Do(leaving, "GET", "/roles/slow", nil); KindOf(err) != KindCanceled {
			t.Errorf("error %v, want canceled", err)
		}
		if a := c.Breaker().Availability(); !a.DownSince.IsZero() {
			t.Errorf("after a request that was broken off: %+v", a)
		}
		var slow sync.WaitGroup
		slow.Go(func() { wantKind(t, getPath(c, "/roles/slow"), KindUnreachable) })
		time.Sleep(time.Second)
		if err := getPath(c, "/roles"); err != nil {
			t.Error(err)
		}
		slow.Wait()
		if a := c.Breaker().Availability(); !a.DownSince.IsZero() {
			t.Errorf("after a request that took longer than others: %+v", a)
		}
	})
}
