package chef

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
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

// fileStore stores files at any path, below a front end that passes other requests on.
type fileStore struct{ api http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s fileStore) RoundTrip(q *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(q.URL.Path, "/bookshelf/") {
		return s.api.RoundTrip(q)
	}
	if _, err := io.Copy(io.Discard, q.Body); err != nil {
		return nil, err
	}
	_ = q.Body.Close()
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("x")), Request: q}, nil
}

const (
	ownFile   = "https://chef.example.com:443/bookshelf/x"
	otherFile = "https://files.example.com/bookshelf/x"
)

func readRole(ctx context.Context, c *Client) error {
	_, err := c.Org("acme").Do(ctx, http.MethodGet, "/roles/web", nil)
	return err
}

func downloadFile(url string) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		r, _, err := c.OpenFile(ctx, url)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		return errors.Join(err, r.Close())
	}
}

func uploadFile(url string, size int) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		return c.UploadFile(ctx, url, strings.Repeat("0", 32), contentOf(strings.Repeat("x", size)))
	}
}

// newLimitedClient returns a client of a server that has one role and stores files.
func newLimitedClient(t *testing.T, s *limited, concurrency int) *Client {
	t.Helper()
	memory := cheftest.New(cheftest.Options{})
	memory.AddOrg("acme").PutRole("web", `{}`)
	user, key := memory.Superuser()
	s.RoundTripper = fileStore{memory.Transport()}
	return newTestClient(t, s, filesOn("files.example.com"), func(c *Config) {
		c.User, c.Key, c.Concurrency, c.Retry.Attempts = user, key, concurrency, 5
	})
}

func TestConcurrencyFollowsWhatTheServerCanDo(t *testing.T) {
	for name, c := range map[string]struct {
		work     time.Duration
		capacity int
		refuses  bool
		most     int64 // in flight in the end
		least    int64
	}{
		"a server that is fast enough":   {10 * time.Millisecond, 100, false, 20, 20},
		"a server that refuses":          {10 * time.Millisecond, 4, true, 6, 2},
		"a server that becomes slow":     {80 * time.Millisecond, 2, false, 12, 2},
		"a far server, with a long line": {2 * time.Second, 100, false, 20, 20},
	} {
		for what, send := range map[string]func(context.Context, *Client) error{
			"objects": readRole, "downloads": downloadFile(ownFile), "uploads": uploadFile(ownFile, 100),
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &limited{work: c.work, capacity: c.capacity, refuses: c.refuses}
					client := newLimitedClient(t, server, 20)
					sendSeveral := func(n int) {
						for range n { // alone, so that the client learns how fast the server can be
							_ = send(t.Context(), client)
						}
					}
					sendSeveral(15)
					var wg sync.WaitGroup
					for range 25 {
						wg.Go(func() { sendSeveral(10) })
					}
					wg.Wait()
					server.look()
					for range 25 {
						wg.Go(func() { sendSeveral(4) })
					}
					wg.Wait()
					if most := server.look(); most > c.most || most < c.least {
						t.Errorf("up to %d requests in flight, want %d to %d", most, c.least, c.most)
					}
				})
			})
		}
	}
}

// TestFilesAndObjectsShareTheConnections sends both at once.
func TestFilesAndObjectsShareTheConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &limited{work: time.Second, capacity: 100}
		client := newLimitedClient(t, server, 4)
		var wg sync.WaitGroup
		for range 5 {
			for _, send := range []func(context.Context, *Client) error{readRole, downloadFile(ownFile), uploadFile(ownFile, 100)} {
				wg.Go(func() {
					if err := send(t.Context(), client); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if most := server.look(); most != 4 {
			t.Errorf("up to %d requests in flight, want 4", most)
		}
	})
}

// TestTheSizeOfUploadsSaysNothingOfTheServer sends large files after small ones.
func TestTheSizeOfUploadsSaysNothingOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &limited{work: 10 * time.Millisecond, capacity: 100}
		client := newLimitedClient(t, server, 20)
		for range 15 {
			_ = uploadFile(ownFile, 100)(t.Context(), client)
		}
		server.work = 10 * time.Second
		for range 3 {
			var wg sync.WaitGroup
			server.look()
			for range 40 {
				wg.Go(func() { _ = uploadFile(ownFile, smallUpload+1)(t.Context(), client) })
			}
			wg.Wait()
		}
		if most := server.look(); most != 20 {
			t.Errorf("up to %d uploads at once, want 20", most)
		}
	})
}

// TestAnotherHostOfFilesHasALimitOfItsOwn: neither's trouble says anything about the other.
func TestAnotherHostOfFilesHasALimitOfItsOwn(t *testing.T) {
	for refused, c := range map[string]struct{ own, other float64 }{
		"files.example.com":    {16, 1},
		"chef.example.com:443": {1, 16},
	} {
		synctest.Test(t, func(t *testing.T) {
			client := newTestClient(t, &scriptedTransport{answer: func(int, sentRequest) cannedAnswer { return cannedAnswer{status: 503} }},
				filesOn("files.example.com"), func(c *Config) { c.Concurrency = 16 })
			for range 4 {
				_ = downloadFile("https://"+refused+"/x")(t.Context(), client)
			}
			if own, other := client.limiter.limit, client.fileLimiter.limit; own != c.own || other != c.other {
				t.Errorf("%s refuses: limit %v of the server, %v of the other host", refused, own, other)
			}
		})
	}
}

// TestAStreamBlocksNoOtherRequest uploads content while it is downloaded from the same
// server, with a limit of one connection.
func TestAStreamBlocksNoOtherRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newLimitedClient(t, &limited{work: time.Second, capacity: 1}, 1)
		began := time.Now()
		err := client.UploadFile(t.Context(), ownFile, strings.Repeat("0", 32), func() (io.ReadCloser, int64, error) {
			content, _, err := client.OpenFile(t.Context(), ownFile)
			return content, 1, errors.Join(err, readRole(t.Context(), client))
		})
		// A download, the negotiation of the API version, a role and an upload.
		if took := time.Since(began); err != nil || took > 4*time.Second {
			t.Errorf("error %v after %v", err, took)
		}
	})
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
