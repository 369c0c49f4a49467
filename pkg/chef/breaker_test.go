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

// usual is the retry policy that clients have by default.
func usual(c *Config) { c.Retry = RetryPolicy{} }

// flaky is a transport that answers, fails or hangs, as its test says.
type flaky struct {
	mu    sync.Mutex
	fail  func(path string) *canned // nil: answered with {}
	hang  func(path string) bool
	asked []time.Time
	paths []string
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.asked, f.paths = append(f.asked, time.Now()), append(f.paths, r.URL.Path)
	fail, hang := f.fail, f.hang
	f.mu.Unlock()
	if hang != nil && hang(r.URL.Path) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	a := erchef(200, `{}`)
	if fail != nil {
		if c := fail(r.URL.Path); c != nil {
			a = *c
		}
	}
	return inOrder(a).RoundTrip(r)
}

// set changes how the server behaves.
func (f *flaky) set(fail func(string) *canned, hang func(string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.hang = fail, hang
}

// since counts the requests that reached the server after a time.
func (f *flaky) since(t time.Time) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.asked {
		if at.After(t) {
			n++
		}
	}
	return n
}

func all(string) bool { return true }

func dead() func(string) *canned {
	return func(string) *canned { return &canned{err: syscall.ECONNREFUSED} }
}

func read(c *Client, path string) error {
	_, err := c.Org("acme").Do(context.Background(), "GET", path, nil)
	return err
}

// Forty users of a server that is down ask again every second for ten minutes.
func TestADeadServerGetsOneProbeAnInterval(t *testing.T) {
	for name, set := range map[string]func(*flaky){
		"it hangs":                func(f *flaky) { f.set(nil, all) },
		"it refuses connections":  func(f *flaky) { f.set(dead(), nil) },
		"its front end maintains": func(f *flaky) { f.set(func(string) *canned { a := page(503); return &a }, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &flaky{}
				set(f)
				c := newTestClient(t, f, usual)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var users sync.WaitGroup
				for range 40 {
					users.Go(func() {
						for ctx.Err() == nil {
							if err := read(c, "/roles"); KindOf(err) != KindUnreachable && KindOf(err) != KindUnavailable {
								t.Errorf("error %v", err)
							}
							time.Sleep(time.Second)
						}
					})
				}
				time.Sleep(time.Minute)
				began := time.Now()
				time.Sleep(time.Minute)
				if n := f.since(began); n > 6 {
					t.Errorf("%d requests in the second minute", n)
				}
				began = time.Now()
				time.Sleep(8 * time.Minute)
				if n := f.since(began); n < 6 || n > 11 {
					t.Errorf("%d requests in 8 minutes, want a probe a minute", n)
				}
				users.Wait()
			})
		})
	}
}

func TestTheErrorOfAnOpenBreakerSaysSinceWhenAndUntilWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{}
		f.set(dead(), nil)
		c := newTestClient(t, f, usual)
		c.jitter = func() float64 { return 0.9 }
		_ = read(c, "/roles")
		e := wantKind(t, read(c, "/roles"), KindUnreachable)
		if want := "no answer since 2000-01-01 00:00:00 UTC (connection refused); next probe at 00:00:0"; !strings.HasPrefix(e.Message, want) || e.Attempts != 1 || e.Hint == "" {
			t.Errorf("%q after %d attempts, hint %q", e.Message, e.Attempts, e.Hint)
		}
		a := c.Breaker().Availability()
		if !a.Open || a.DownSince.IsZero() || a.Failure == nil || !a.Served.IsZero() {
			t.Errorf("availability %+v", a)
		}
	})
}

func TestAServerThatAnswersAgainIsUsedAtTheNextProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{}
		c := newTestClient(t, f, usual)
		if err := read(c, "/roles"); err != nil {
			t.Fatal(err)
		}
		f.set(dead(), nil)
		for start := time.Now(); time.Since(start) < 5*time.Minute; time.Sleep(time.Second) {
			_ = read(c, "/roles")
		}
		f.set(nil, nil)
		repaired := time.Now()
		for read(c, "/roles") != nil {
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

func TestSomebodyWhoRepairedAServerNeedNotWaitForTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{}
		f.set(dead(), nil)
		c := newTestClient(t, f, usual)
		for start := time.Now(); time.Since(start) < 5*time.Minute; time.Sleep(time.Second) {
			_ = read(c, "/roles")
		}
		f.set(nil, nil)
		c.Breaker().ProbeNow()
		if err := read(c, "/roles"); err != nil {
			t.Error(err)
		}
	})
}

// What a server answers, however unfriendly, shows that it is there; only a front
// end's word that the server behind it isn't counts.
func TestAnswersDoNotOpenTheBreaker(t *testing.T) {
	for name, a := range map[string]canned{
		"500": erchef(500, `{"error":["internal service error"]}`), "503 of the Chef Server": erchef(503, `{"error":["busy"]}`),
		"401": erchef(401, `{"error":["no"]}`), "403": erchef(403, `{"error":["missing read permission"]}`), "404": erchef(404, `{"error":["none"]}`),
		"409": erchef(409, `{"error":["exists"]}`), "429": page(429), "HTML 500": page(500), "HTML 404": page(404),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &flaky{}
				f.set(func(string) *canned { return &a }, nil)
				c := newTestClient(t, f, usual)
				for range 20 {
					before := time.Now().Add(-1)
					_ = read(c, "/roles/web")
					if f.since(before) == 0 {
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
	refused := func(path string) *canned {
		if a := page(503); bad(path) {
			return &a
		}
		return nil
	}
	for name, set := range map[string]func(*flaky){
		"it hangs":   func(f *flaky) { f.set(nil, bad) },
		"it refuses": func(f *flaky) { f.set(refused, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &flaky{}
				set(f)
				c := newTestClient(t, f, usual)
				for range 10 {
					if err := read(c, "/roles/bad"); err == nil {
						t.Fatal("no error")
					}
					if c.Breaker().Availability().Open {
						t.Fatal("the breaker is open")
					}
					if err := read(c, "/roles/good"); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// Requests that come while nobody knows yet whether the server is down wait for the
// one that finds out. If its caller goes away, another one does it.
func TestAProbeThatIsBrokenOffIsTakenUpByAnotherRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{}
		f.set(nil, all)
		c := newTestClient(t, f, once)
		_ = read(c, "/roles")
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
			if err := read(c, "/roles"); err != nil {
				t.Errorf("the request that waited: %v", err)
			}
		})
		synctest.Wait()
		before := time.Now()
		f.set(nil, nil)
		leave()
		both.Wait()
		if n := len(f.paths); n != 4 || time.Since(before) != 0 { // one, two probes, and the request
			t.Errorf("%d requests: %v", n, f.paths)
		}
	})
}

func TestFilesElsewhereSayNothingOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{}
		c := newTestClient(t, f, usual, func(c *Config) { c.FileHosts = []string{"files.example.com"} })
		f.set(nil, func(path string) bool { return strings.HasPrefix(path, "/store") })
		for range 3 {
			_, _, err := c.OpenFile(t.Context(), "https://files.example.com/store/abc")
			wantKind(t, err, KindUnreachable)
		}
		if a := c.Breaker().Availability(); !a.DownSince.IsZero() {
			t.Errorf("availability %+v", a)
		}
		f.set(nil, all)
		for range 2 {
			_ = read(c, "/roles")
		}
		before := time.Now()
		if err := c.UploadFile(t.Context(), "https://chef.example.com/bookshelf/abc", strings.Repeat("0", 32), 1, contentOf("x")); KindOf(err) != KindUnreachable || time.Since(before) != 0 {
			t.Errorf("an upload to the server itself: %v after %v, want an error at once", err, time.Since(before))
		}
		f.set(nil, nil)
		content, _, err := c.OpenFile(t.Context(), "https://files.example.com/store/abc")
		if err != nil {
			t.Fatalf("a file elsewhere: %v", err)
		}
		_, _ = io.Copy(io.Discard, content)
		_ = content.Close()
	})
}

// Requests that wait for one of the connections must not each try it out again.
func TestRequestsInLineFailTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{}
		f.set(nil, all)
		c := newTestClient(t, f, once, func(c *Config) { c.Concurrency = 1 })
		start := time.Now()
		var users sync.WaitGroup
		for range 20 {
			users.Go(func() { wantKind(t, read(c, "/roles"), KindUnreachable) })
		}
		users.Wait()
		if took := time.Since(start); took != 40*time.Second {
			t.Errorf("20 requests took %v, want one timeout and one probe: 40s", took)
		}
	})
}

// A request that its caller broke off, and one that began before others were
// answered, say nothing of the server.
func TestFailuresOfOneRequestAreNotTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{}
		f.set(nil, func(path string) bool { return strings.HasSuffix(path, "/slow") })
		c := newTestClient(t, f, once)
		leaving, leave := context.WithTimeout(t.Context(), 10*time.Second)
		defer leave()
		if _, err := c.Org("acme").Do(leaving, "GET", "/roles/slow", nil); KindOf(err) != KindCanceled {
			t.Errorf("error %v, want canceled", err)
		}
		if a := c.Breaker().Availability(); !a.DownSince.IsZero() {
			t.Errorf("after a request that was broken off: %+v", a)
		}
		var slow sync.WaitGroup
		slow.Go(func() { wantKind(t, read(c, "/roles/slow"), KindUnreachable) })
		time.Sleep(time.Second)
		if err := read(c, "/roles"); err != nil {
			t.Error(err)
		}
		slow.Wait()
		if a := c.Breaker().Availability(); !a.DownSince.IsZero() {
			t.Errorf("after a request that took longer than others: %+v", a)
		}
	})
}
