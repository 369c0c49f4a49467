package endpoint

import (
	"context"
	"sync"
)

// flights keeps two sandboxes from holding the same new content at once, which
// servers answer with an error when both are committed (docs/chef-server-api.md §3.5).
type flights struct {
	mu      sync.Mutex
	busy    map[string]bool
	known   map[string]bool // content that the server has, as far as it said
	changed chan struct{}   // closed when content leaves busy
}

func newFlights() *flights {
	return &flights{busy: map[string]bool{}, known: map[string]bool{}, changed: make(chan struct{})}
}

// enter waits until none of the checksums is in another sandbox, and takes
// those that the server may lack. All are taken at once, so that two callers
// never wait for each other.
func (f *flights) enter(ctx context.Context, sums []string) (leave func(stored bool), err error) {
	for {
		f.mu.Lock()
		if taken, ok := f.take(sums); ok {
			f.mu.Unlock()
			return func(stored bool) { f.leave(sums, taken, stored) }, nil
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *flights) take(sums []string) (taken []string, ok bool) {
	for _, s := range sums {
		if f.busy[s] {
			return nil, false
		}
		if !f.known[s] {
			taken = append(taken, s)
		}
	}
	for _, s := range taken {
		f.busy[s] = true
	}
	return taken, true
}

func (f *flights) leave(sums, taken []string, stored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range taken {
		delete(f.busy, s)
	}
	if stored {
		for _, s := range sums {
			f.known[s] = true
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// forget drops what was known of content: the server collects what no cookbook
// refers to any more (docs/chef-server-api.md §3.3).
func (f *flights) forget(sums []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range sums {
		delete(f.known, s)
	}
}
