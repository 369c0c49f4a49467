package chef

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// When a server counts as down, and how often it is asked then.
const (
	// suspectAfter is how long nothing but failures must have been seen before a
	// server is probed: about as long as a request whose connection is refused tries
	// by itself, so that a server that restarts in a moment isn't given up.
	suspectAfter = 3 * time.Second
	// probeFirst and probeMost are the first and the longest wait between two probes
	// of a server that is down.
	probeFirst = 5 * time.Second
	probeMost  = time.Minute
	// probeTimeout bounds the wait for an answer that takes the server no work.
	probeTimeout = 10 * time.Second
)

// Breaker keeps requests away from a server that doesn't answer, so that its users
// fail at once instead of waiting for one timeout each. After some seconds of nothing
// but failures one user sends a probe; while that fails, one probe is sent per interval and all other
// requests fail without being sent. Any answer closes the breaker: only missing
// answers and those of a front end whose server is away count as failures. It is
// safe for concurrent use; clients of the same server may share one.
type Breaker struct {
	mu       sync.Mutex
	jitter   func() float64 // in [0,1)
	answered time.Time      // the newest answer of any kind
	served   time.Time      // the newest answer to a signed request that was accepted
	latency  time.Duration  // of that
	since    time.Time      // when the first request began that failed since then
	last     *Error         // the newest of these failures; nil without one
	open     bool           // a probe has confirmed that the server is down
	wait     time.Duration  // until the probe after the next
	next     time.Time      // of the next probe, while open
	probing  chan struct{}  // closed at the end of the probe under way; nil without one
}

// NewBreaker returns a closed breaker.
func NewBreaker() *Breaker { return &Breaker{jitter: rand.Float64} }

// Availability is what was seen of whether a server answers.
type Availability struct {
	Served    time.Time     // the newest answer to a signed request that the server accepted
	Latency   time.Duration // of that answer
	DownSince time.Time     // when the first request began that failed since the newest answer
	Failure   *Error        // the newest of them
	Open      bool          // requests fail without being sent
}

// Availability returns what was seen of the server.
func (b *Breaker) Availability() Availability {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Availability{Served: b.served, Latency: b.latency, DownSince: b.since, Failure: b.last, Open: b.open}
}

// ProbeNow makes the next request probe the server instead of waiting for the time
// of the next probe: somebody may have repaired it.
func (b *Breaker) ProbeNow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next = time.Time{}
}

// admit returns nil when a request may be sent. Of several that come while it isn't
// known whether the server is down, one probes and the others wait for the result.
func (b *Breaker) admit(ctx context.Context, probe func(context.Context) *Error) *outage {
	for {
		turn, wait, down := b.look()
		switch {
		case turn:
			began := time.Now()
			b.probed(ctx, began, probe(ctx))
		case wait != nil:
			select {
			case <-wait:
			case <-ctx.Done():
				return nil // the request ends by its own context, too
			}
		default:
			return down
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// look reports whether it is the caller's turn to probe, or which probe to wait for,
// or that the server is down. All are zero when requests may be sent.
func (b *Breaker) look() (turn bool, wait <-chan struct{}, down *outage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case !b.open && (b.last == nil || now.Sub(b.since) < suspectAfter):
		return false, nil, nil
	case b.probing != nil && !b.open:
		return false, b.probing, nil
	case b.probing != nil || b.open && now.Before(b.next):
		return false, nil, &outage{since: b.since, next: b.next, last: b.last}
	}
	b.probing = make(chan struct{})
	return true, nil, nil
}

// probed takes the result of a probe. One that its caller broke off says nothing.
func (b *Breaker) probed(ctx context.Context, began time.Time, failed *Error) {
	canceled := ctx.Err() != nil
	if failed == nil || !canceled {
		b.report(began, failed)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.probing)
	b.probing = nil
	if failed == nil || canceled {
		return
	}
	if !b.open {
		b.open, b.wait = true, probeFirst
	}
	b.next = time.Now().Add(b.wait*3/4 + time.Duration(b.jitter()*float64(b.wait/4)))
	b.wait = min(2*b.wait, probeMost)
}

// report takes how a request that was sent ended: failed is nil when the server
// answered. A failure of a request that began before the newest answer concerns
// that request, not the server.
func (b *Breaker) report(began time.Time, failed *Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case failed == nil:
		b.answered, b.since, b.last, b.open = time.Now(), time.Time{}, nil, false
	case began.Before(b.answered):
	default:
		if b.last == nil || began.Before(b.since) {
			b.since = began
		}
		b.last = failed
	}
}

// accepted notes an answer to a signed request that the server accepted.
func (b *Breaker) accepted(began time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.served = time.Now()
	b.latency = b.served.Sub(began)
}

// outage is why a request isn't sent.
type outage struct {
	since, next time.Time
	last        *Error
}

// text says since when the server is down, why, and when it is asked again.
func (o *outage) text() string {
	const clock = "15:04:05"
	next := "a probe is under way"
	if o.next.After(time.Now()) {
		next = "next probe at " + o.next.UTC().Format(clock) + " UTC"
	}
	return fmt.Sprintf("no answer since %s UTC (%s); %s", o.since.UTC().Format("2006-01-02 "+clock), o.last.cause(), next)
}

// cause is the error without the request and its kind.
func (e *Error) cause() string {
	switch {
	case e.Status != 0:
		return fmt.Sprintf("HTTP status %d", e.Status)
	case e.Message != "":
		return e.Message
	}
	return string(e.Kind)
}
