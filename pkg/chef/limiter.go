package chef

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

// How the number of requests in flight adapts to a server.
const (
	// overloadFactor is what remains of the limit after an answer that says that the
	// server is overloaded, and slowFactor when its answers become slow.
	overloadFactor = 0.5
	slowFactor     = 0.8
	// Requests of one class are slow that take slowRatio times as long as they did, and
	// slowDelay more, on the average of about the last 1/latencyWeight ones.
	slowRatio     = 3
	slowDelay     = 100 * time.Millisecond
	latencyWeight = 0.2
	// baselineTime is how soon what counts as fast follows a server that has become
	// slower for good.
	baselineTime = 10 * time.Minute
	// latencySamples of a class are needed before its latency says anything.
	latencySamples = 10
	// smallUpload is the size of a file up to which its transfer takes no time of note.
	smallUpload = 64 << 10
)

// limiter bounds the requests in flight to one host: by one more per round of
// requests that went well, up to a maximum, and to a fraction when the server
// struggles. It is safe for concurrent use.
type limiter struct {
	most float64

	mu       sync.Mutex
	limit    float64
	inFlight int
	waiting  []chan struct{} // in the order in which they came
	lowered  time.Time       // requests that began before say nothing new
	latency  map[string]*latency
}

// latency is how long requests of one class take, in seconds.
type latency struct {
	baseline, recent float64
	samples          int
	at               time.Time // of the newest sample
}

func newLimiter(most int) *limiter {
	return &limiter{most: float64(most), limit: float64(most), latency: map[string]*latency{}}
}

// Concurrency returns the most requests that the client sends at once.
func (c *Client) Concurrency() int { return int(c.limiter.most) }

// limiterOf returns the limiter of the host that a request goes to: cookbook files on the
// server's own host count as its other requests do. Another host where it keeps them has a
// limiter of its own, as neither's trouble says anything about the other.
func (c *Client) limiterOf(r *request) *limiter {
	if c.isOwnHost(r) {
		return c.limiter
	}
	return c.fileLimiter
}

// acquire waits until a request may be sent.
func (l *limiter) acquire(ctx context.Context) error {
	l.mu.Lock()
	if len(l.waiting) == 0 && l.inFlight < int(l.limit) {
		l.inFlight++
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.waiting {
		if other == turn {
			l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
			return ctx.Err()
		}
	}
	l.inFlight-- // its turn came at the same moment
	l.admitWaiting()
	return ctx.Err()
}

// release ends a request that acquire admitted.
func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.admitWaiting()
}

func (l *limiter) admitWaiting() {
	for len(l.waiting) > 0 && l.inFlight < int(l.limit) {
		l.inFlight++
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
	}
}

// recordOutcome adapts the limit to how a request ended, which is still in flight. Status is
// 0 when no answer came, and class "" when the time says nothing.
func (l *limiter) recordOutcome(class string, began, now time.Time, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if status == 0 || status == http.StatusTooManyRequests || status >= 500 {
		l.lowerLimit(began, now, overloadFactor)
		return
	}
	if class != "" && l.isSlow(class, now.Sub(began).Seconds(), now) {
		l.lowerLimit(began, now, slowFactor)
		return
	}
	if l.inFlight >= int(l.limit) { // else nobody knows whether more would do
		l.limit = min(l.most, l.limit+1/l.limit)
		l.admitWaiting()
	}
}

// lowerLimit lowers the limit, once for all requests that were in flight together.
func (l *limiter) lowerLimit(began, now time.Time, factor float64) {
	if began.Before(l.lowered) {
		return
	}
	l.limit, l.lowered = max(1, l.limit*factor), now
}

// isSlow takes up the time that a request took, and reports whether those of its class
// take much longer than they did.
func (l *limiter) isSlow(class string, took float64, now time.Time) bool {
	c := l.latency[class]
	if c == nil {
		c = &latency{baseline: took, recent: took, at: now}
		l.latency[class] = c
	}
	c.samples++
	c.recent += latencyWeight * (took - c.recent)
	if took < c.baseline {
		c.baseline = took
	} else {
		c.baseline += min(1, now.Sub(c.at).Seconds()/baselineTime.Seconds()) * (took - c.baseline)
	}
	c.at = now
	return c.samples >= latencySamples && c.recent > slowRatio*c.baseline && c.recent-c.baseline > slowDelay.Seconds()
}

// latencyClass names what takes a server about the same work: the method and the
// collection, or a file. It is "" where the time isn't one of the server's work: the
// transfer of a larger upload depends on the size, and a store elsewhere, such as S3,
// takes milliseconds or a second for the same request whatever it is sent. The
// time of a download ends where its transfer begins.
func (c *Client) latencyClass(r *request) string {
	switch {
	case !c.isOwnHost(r) || r.size > smallUpload:
		return ""
	case r.file:
		return r.method + " file"
	}
	path, _, _ := strings.Cut(r.path, "?")
	if parts := strings.SplitN(path, "/", 4); len(parts) == 4 && parts[1] == "organizations" {
		path = "/" + parts[3]
	}
	parts := strings.SplitN(path, "/", 4)
	class := r.method + " " + strings.Join(parts[:min(2, len(parts))], "/")
	if len(parts) > 2 {
		class += "/*"
	}
	return class
}
