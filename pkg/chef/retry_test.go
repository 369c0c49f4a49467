package chef

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func realisticRetry(c *Config) {
	c.Retry = RetryPolicy{Attempts: 4, Base: time.Second, Max: 10 * time.Second}
}

func TestTransientFaultsAreRetriedWithFreshSignatures(t *testing.T) {
	for name, fault := range map[string]cannedAnswer{
		"500": erchefAnswer(500, `{"error":["internal service error"]}`), "502": pageAnswer(502), "503": pageAnswer(503), "504": pageAnswer(504),
		"429": pageAnswer(429), "408": pageAnswer(408),
		"reset": {err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, "EOF": {err: io.EOF},
		"membership fault": erchefAnswer(403, `{"error":["Failed to verify user 'u' as a member of organization 'acme'"]}`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed := 0
				s := &scriptedTransport{answer: func(_ int, s sentRequest) cannedAnswer {
					if s.uri == "/server_api_version" || failed == 2 {
						return erchefAnswer(200, `{}`)
					}
					failed++
					return fault
				}}
				slow := func(c *Config) { c.Retry = RetryPolicy{Attempts: 4, Base: 4 * time.Second, Max: 10 * time.Second} }
				if _, err := newTestClient(t, s, slow).Org("acme").Do(context.Background(), "GET", "/roles", nil); err != nil {
					t.Fatal(err)
				}
				var last string
				for _, x := range s.sent {
					if x.uri == "/server_api_version" {
						continue
					}
					if x.timestamp == last {
						t.Errorf("two attempts carry the timestamp %s", last)
					}
					last = x.timestamp
				}
			})
		})
	}
}

func TestPermanentErrorsAreNotRetried(t *testing.T) {
	for _, status := range []int{400, 403, 404, 405, 409, 412, 413, 415} {
		s := answerAlways(erchefAnswer(status, `{"error":["no"]}`))
		_, err := newTestClient(t, s).Org("acme").Do(context.Background(), "PUT", "/roles/web", []byte(`{}`))
		var e *Error
		if !errors.As(err, &e) || e.Attempts != 1 {
			t.Errorf("status %d: error %v with %+v, want one attempt", status, err, e)
		}
	}
}

func TestWaitsGrowAreJitteredAndCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answerInOrder(pageAnswer(429)) // of a proxy that is alive
		c := newTestClient(t, s, func(c *Config) { c.Retry = RetryPolicy{Attempts: 7, Base: time.Second, Max: 8 * time.Second} })
		c.jitter = func() float64 { return 0.5 }
		_, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil)
		if e := wantKind(t, err, KindUnavailable); e.Attempts != 7 {
			t.Errorf("%d attempts, want 7", e.Attempts)
		}
		want := []time.Duration{750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 6 * time.Second, 6 * time.Second,
			6 * time.Second}
		for i, w := range want {
			if got := s.sent[i+1].at.Sub(s.sent[i].at); got != w {
				t.Errorf("wait %d is %v, want %v", i+1, got, w)
			}
		}
	})
}

func TestRetryAfterIsHonouredAndCapped(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		want   time.Duration
	}{
		"seconds": {"4", 4 * time.Second},
		"date":    {"Sat, 01 Jan 2000 00:00:05 GMT", 5 * time.Second}, // a synctest bubble begins at that midnight
		"hours":   {"86400", 10 * time.Second},
		"rubbish": {"soon", 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := answerInOrder(pageAnswer(503).withHeader("Retry-After", c.header), erchefAnswer(200, `{}`))
				client := newTestClient(t, s, realisticRetry)
				client.jitter = func() float64 { return 0 }
				if _, err := client.Org("acme").Do(context.Background(), "GET", "/roles", nil); err != nil {
					t.Fatal(err)
				}
				if got := s.sent[1].at.Sub(s.sent[0].at); got != c.want {
					t.Errorf("waited %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestCanceledContextEndsTheWaitAndIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		s := &scriptedTransport{answer: func(int, sentRequest) cannedAnswer { cancel(); return pageAnswer(503) }}
		start := time.Now()
		_, err := newTestClient(t, s, realisticRetry).Org("acme").Do(ctx, "GET", "/roles", nil)
		if err == nil || time.Since(start) != 0 {
			t.Errorf("error %v after %v, want an error at once", err, time.Since(start))
		}
		_, err = newTestClient(t, s, realisticRetry).Org("acme").Do(ctx, "GET", "/roles", nil)
		wantKind(t, err, KindCanceled)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v isn't context.Canceled", err)
		}
	})
}

func TestWaitBeyondTheDeadlineIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := newTestClient(t, answerInOrder(pageAnswer(503)), realisticRetry).Org("acme").Do(ctx, "GET", "/roles", nil)
		wantKind(t, err, KindUnavailable)
		if time.Since(start) != 0 {
			t.Errorf("waited %v for a retry that the deadline forbids", time.Since(start))
		}
	})
}

// hangingTransport never answers.
type hangingTransport struct{}

func (hangingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestHangingServerIsUnreachableNotCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, hangingTransport{}, singleAttempt, func(c *Config) { c.ResponseTimeout = time.Minute })
		_, err := c.Org("acme").Do(context.Background(), "GET", "/roles", nil)
		wantKind(t, err, KindUnreachable)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("our own time limit looks like the caller's")
		}
	})
}

func TestLostAnswersOfWritesAreMarkedUnsure(t *testing.T) {
	versions := erchefAnswer(200, `{}`)
	exists := erchefAnswer(409, `{"error":["Role already exists"]}`)
	lost := cannedAnswer{err: io.ErrUnexpectedEOF}
	_, err := newTestClient(t, answerInOrder(versions, lost, exists)).Org("acme").Do(context.Background(), "POST", "/roles", []byte(`{}`))
	if e := wantKind(t, err, KindExists); !e.Unsure || e.Attempts != 2 {
		t.Errorf("unsure %v after %d attempts, want unsure after 2", e.Unsure, e.Attempts)
	}
	_, err = newTestClient(t, answerInOrder(versions, exists)).Org("acme").Do(context.Background(), "POST", "/roles", []byte(`{}`))
	if e := wantKind(t, err, KindExists); e.Unsure {
		t.Error("a plain 409 is certain")
	}
}

func TestUnreachableAndTLSAreDistinguished(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Kind
	}{
		"DNS":         {&net.DNSError{Err: "no such host", Name: "chef.example.com", IsNotFound: true}, KindUnreachable},
		"refused":     {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, KindUnreachable},
		"unknown CA":  {x509.UnknownAuthorityError{}, KindTLS},
		"other host":  {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "chef.example.com"}, KindTLS},
		"plain HTTP":  {http.ErrSchemeMismatch, KindTLS},
		"any failure": {errors.New("broken"), KindUnreachable},
	} {
		s := answerInOrder(cannedAnswer{err: c.err})
		_, err := newTestClient(t, s).Org("acme").Do(context.Background(), "GET", "/roles", nil)
		e := wantKind(t, err, c.want)
		if e.Hint == "" || e.Message == "" || strings.Contains(e.Message, "https://") {
			t.Errorf("%s: message %q, hint %q", name, e.Message, e.Hint)
		}
		if want := map[Kind]int{KindTLS: 1, KindUnreachable: 3}[c.want]; len(s.requestLines()) != want {
			t.Errorf("%s: %d attempts, want %d", name, len(s.requestLines()), want)
		}
	}
}
