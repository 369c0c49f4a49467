package chef

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/chef/cheftest"
)

// limited is a server that does the work of one request in a given time, and of
// capacity requests at once.
type limited struct {
	http.RoundTripper
	work     time.Duration
	capacity int
	refuses  bool // more than capacity get 503; else all take longer

	inFlight atomic.Int64
	mu       sync.Mutex
	most     int64 // since the last look
}

// RoundTrip implements http.RoundTripper.
func (s *limited) RoundTrip(q *http.Request) (*http.Response, error) {
	n := s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	s.mu.Lock()
	s.most = max(s.most, n)
	s.mu.Unlock()
	over := n > int64(s.capacity)
	took := s.work
	if over && !s.refuses {
		took = s.work * time.Duration(n) / time.Duration(s.capacity)
	}
	time.Sleep(took)
	if over && s.refuses {
		return &http.Response{StatusCode: 503, Header: http.Header{"X-Ops-Server-Api-Version": {"{}"}}, Body: io.NopCloser(bytes.NewReader(nil)), Request: q}, nil
	}
	return s.RoundTripper.RoundTrip(q)
}

// look returns the most requests in flight since the last look.
func (s *limited) look() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := s.most
	s.most = 0
	return most
}

func TestConcurrencyFollowsWhatTheServerCanDo(t *testing.T) {
	for name, c := range map[string]struct {
		server *limited
		most   int64 // in flight in the end
		least  int64
	}{
		"a server that is fast enough":   {&limited{work: 10 * time.Millisecond, capacity: 100}, 20, 20},
		"a server that refuses":          {&limited{work: 10 * time.Millisecond, capacity: 4, refuses: true}, 6, 2},
		"a server that becomes slow":     {&limited{work: 80 * time.Millisecond, capacity: 2}, 12, 2},
		"a far server, with a long line": {&limited{work: 2 * time.Second, capacity: 100}, 20, 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cheftest.New(cheftest.Options{})
				s.AddOrg("acme").PutRole("web", `{}`)
				user, key := s.Superuser()
				server := c.server
				server.RoundTripper = s.Transport()
				client, err := New(Config{Name: "s", URL: s.URL, User: user, Key: key, Concurrency: 20, Transport: server,
					Retry: RetryPolicy{Attempts: 5, Base: time.Millisecond, Max: 2 * time.Millisecond}})
				if err != nil {
					t.Fatal(err)
				}
				read := func(n int) {
					for range n { // alone, so that the client learns how fast the server can be
						_, _ = client.Org("acme").Do(t.Context(), http.MethodGet, "/roles/web", nil)
					}
				}
				read(15)
				var wg sync.WaitGroup
				for range 25 {
					wg.Go(func() { read(10) })
				}
				wg.Wait()
				server.look()
				for range 25 {
					wg.Go(func() { read(4) })
				}
				wg.Wait()
				if most := server.look(); most > c.most || most < c.least {
					t.Errorf("up to %d requests in flight, want %d to %d", most, c.least, c.most)
				}
			})
		})
	}
}

func TestTheLimitFallsOncePerRoundAndRisesAgain(t *testing.T) {
	l := newLimiter(16)
	at := time.Unix(0, 0)
	for range 16 {
		if err := l.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 16 { // all were in flight together
		l.recordOutcome("GET /roles", at, at.Add(time.Second), 503)
		l.release()
	}
	if l.limit != 8 {
		t.Errorf("limit %v after one round of refusals, want 8", l.limit)
	}
	rounds := 0
	for l.limit < 16 && rounds < 100 {
		n := int(l.limit)
		for range n {
			_ = l.acquire(t.Context())
		}
		for range n {
			l.recordOutcome("GET /roles", at.Add(2*time.Second), at.Add(2*time.Second+time.Millisecond), 200)
		}
		for range n {
			l.release()
		}
		rounds++
	}
	if rounds < 8 || rounds > 13 {
		t.Errorf("%d rounds until the limit is 16 again, want about one more request per round", rounds)
	}
}

func TestWaitingRequestsAreAdmittedInOrderAndCanGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		_ = l.acquire(t.Context())
		order := make(chan int, 3)
		canceled, cancel := context.WithCancel(t.Context())
		for i, ctx := range []context.Context{t.Context(), canceled, t.Context()} {
			go func() {
				err := l.acquire(ctx)
				if (err != nil) != (i == 1) || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("request %d: %v", i, err)
				}
				order <- i
			}()
			synctest.Wait()
		}
		cancel()
		for _, want := range []int{1, 0, 2} {
			if want != 1 {
				l.release()
			}
			if got := <-order; got != want {
				t.Errorf("request %d was next, want %d", got, want)
			}
		}
		if l.release(); l.inFlight != 0 {
			t.Errorf("%d in flight", l.inFlight)
		}
	})
}
