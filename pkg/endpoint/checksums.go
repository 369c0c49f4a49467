package endpoint

import "sync"

// checksums records which content the server has, and which is being sent, so that no two
// open sandboxes contain the same new content: servers return an error when both are
// committed (docs/chef-server-api.md §3.5).
type checksums struct {
	mu      sync.Mutex
	sending map[string]bool
	known   map[string]bool // the server had it at its last answer
	changed chan struct{}   // closed by the next release
}

func newChecksums() *checksums {
	return &checksums{sending: map[string]bool{}, known: map[string]bool{}, changed: make(chan struct{})}
}

// claim returns the checksums that the server may lack and that aren't being sent: the
// caller sends them and calls release. If some are being sent, sent is closed by the
// next release, after which the caller claims again; otherwise it is nil.
func (c *checksums) claim(sums []string) (mine []string, sent <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sums {
		switch {
		case c.known[s]:
		case c.sending[s]:
			sent = c.changed
		default:
			mine = append(mine, s)
		}
	}
	for _, s := range mine {
		c.sending[s] = true
	}
	return mine, sent
}

// release ends a claim. If stored is true, the server has the content now.
func (c *checksums) release(sums []string, stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sums {
		delete(c.sending, s)
		if stored {
			c.known[s] = true
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// dropKnown marks content as unknown: servers delete content that no cookbook refers to
// (docs/chef-server-api.md §3.3).
func (c *checksums) dropKnown(sums []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sums {
		delete(c.known, s)
	}
}

// dropAllKnown marks all content as unknown.
func (c *checksums) dropAllKnown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.known)
}
