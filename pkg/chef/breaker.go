package chef

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// When a server counts as down, and how often it is probed then.
const (
	// suspectAfter is how long requests must have failed without exception before a
	// server is probed: about as long as a request whose connection is refused is
	// retried, so that a quick restart doesn't open the breaker.
	suspectAfter = 3 * time.Second
	// probeFirst and probeMost are the first and the longest interval between two
	// probes of a server that is down.
	probeFirst = 5 * time.Second
	probeMost  = time.Minute
	// probeTimeout bounds the wait for the response to a probe, which takes the
	// server no work.
	probeTimeout = 10 * time.Second
)

// Breaker is a circuit breaker: while a server doesn't answer, requests fail at once
// instead of waiting for one timeout each. After some seconds of nothing but failures
// one caller sends a probe; while probes fail, one is sent per interval and all other
// requests fail without being sent. Any answer closes the breaker: only missing
// answers, and those of a front end whose backend is down, count as failures. It is
// safe for concurrent use; clients of the same server may share one.
type Breaker struct {
	mu            sync.Mutex
	jitter        func() float64 // in [0,1)
	lastAnswer    time.Time      // the newest answer of any kind
	lastAccepted  time.Time      // the newest answer to a signed request that was accepted
	latency       time.Duration  // of lastAccepted
	failingSince  time.Time      // when the first request began that failed after lastAnswer
	lastFailure   *Error         // the newest failure after lastAnswer; nil without one
	open          bool           // a probe has confirmed that the server is down
	probeInterval time.Duration  // between nextProbe and the probe after it
	nextProbe     time.Time      // while open, by the wall clock
	probeDone     chan struct{}  // closed at the end of the probe in progress; nil without one
}

// NewBreaker returns a closed breaker.
func NewBreaker() *Breaker { return &Breaker{jitter: rand.Float64} }

// Availability describes whether a server answers.
type Availability struct {
	Served    time.Time     // the newest answer to a signed request that the server accepted
	Latency   time.Duration // of that answer
	DownSince time.Time     // when the first request began that failed since the newest answer
	Failure   *Error        // the newest failure since then
	Open      bool          // requests fail without being sent
}

// Availability returns the availability of the server as observed so far. Its times have no
// reading of the monotonic clock, which stops while a machine or a function is suspended.
func (b *Breaker) Availability() Availability {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Availability{Served: b.lastAccepted.Round(0), Latency: b.latency, DownSince: b.failingSince.Round(0), Failure: b.lastFailure, Open: b.open}
}

// ProbeNow makes the next request probe the server at once, as it may have been
// repaired.
func (b *Breaker) ProbeNow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nextProbe = time.Time{}
}

// allowRequest returns nil when a request may be sent. While it isn't known whether
// the server is down, one caller probes and the others wait for the result.
func (b *Breaker) allowRequest(ctx context.Context, probe func(context.Context) *Error) *outage {
	for {
		mustProbe, inProgress, down := b.claimProbe()
		switch {
		case mustProbe:
			began := time.Now()
			b.recordProbe(ctx, began, probe(ctx))
		case inProgress != nil:
			select {
			case <-inProgress:
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

// claimProbe reports whether the caller must probe, or returns the probe to wait for,
// or the outage. All are zero when requests may be sent.
func (b *Breaker) claimProbe() (mustProbe bool, inProgress <-chan struct{}, down *outage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	wait := b.nextProbe.Sub(now) // longer than any interval if the clock was set back
	switch {
	case !b.open && (b.lastFailure == nil || now.Sub(b.failingSince) < suspectAfter):
		return false, nil, nil
	case b.probeDone != nil && !b.open:
		return false, b.probeDone, nil
	case b.probeDone != nil || b.open && 0 < wait && wait <= probeMost:
		return false, nil, &outage{since: b.failingSince, nextProbe: b.nextProbe, lastFailure: b.lastFailure}
	}
	b.probeDone = make(chan struct{})
	return true, nil, nil
}

// recordProbe records the result of a probe, unless its caller canceled it.
func (b *Breaker) recordProbe(ctx context.Context, began time.Time, failed *Error) {
	canceled := ctx.Err() != nil
	if failed == nil || !canceled {
		b.recordResult(began, failed)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.probeDone)
	b.probeDone = nil
	if failed == nil || canceled {
		return
	}
	if !b.open {
		b.open, b.probeInterval = true, probeFirst
	}
	b.nextProbe = time.Now().Round(0).Add(b.probeInterval*3/4 + time.Duration(b.jitter()*float64(b.probeInterval/4)))
	b.probeInterval = min(2*b.probeInterval, probeMost)
}

// recordResult records how a request that was sent ended: failed is nil when the server
// answered. A failure of a request that began before the newest answer concerns
// that request, not the server.
func (b *Breaker) recordResult(began time.Time, failed *Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case failed == nil:
		b.lastAnswer, b.failingSince, b.lastFailure, b.open = time.Now(), time.Time{}, nil, false
	case began.Before(b.lastAnswer):
	default:
		if b.lastFailure == nil || began.Before(b.failingSince) {
			b.failingSince = began
		}
		b.lastFailure = failed
	}
}

// recordAccepted records that the server accepted a signed request.
func (b *Breaker) recordAccepted(began time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastAccepted = time.Now()
	b.latency = b.lastAccepted.Sub(began)
}

// outage is the reason why a request isn't sent.
type outage struct {
	since, nextProbe time.Time
	lastFailure      *Error
}

// errorMessage says since when the server is down, why, and when it is probed next.
func (o *outage) errorMessage() string {
	const clock = "15:04:05"
	next := "a probe is under way"
	if o.nextProbe.After(time.Now()) {
		next = "next probe at " + o.nextProbe.UTC().Format(clock) + " UTC"
	}
	return fmt.Sprintf("no answer since %s UTC (%s); %s", o.since.UTC().Format("2006-01-02 "+clock), o.lastFailure.shortReason(), next)
}

// shortReason returns the reason without the request and the kind.
func (e *Error) shortReason() string {
	switch {
	case e.Status != 0:
		return fmt.Sprintf("HTTP status %d", e.Status)
	case e.Message != "":
		return e.Message
	}
	return string(e.Kind)
}
