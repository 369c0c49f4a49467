package endpoint

import "sync"

// checksums says which content the server has, and which is being sent. Two
// sandboxes never hold the same new content at once, which servers answer with an
// error when both are committed (docs/chef-server-api.md §3.5).
type checksums struct {
	mu      sync.Mutex
	sending map[string]bool
	known   map[string]bool // the server has it, as far as it said
	changed chan struct{}   // closed when content isn't being sent any more
}

func newChecksums() *checksums {
	return &checksums{sending: map[string]bool{}, known: map[string]bool{}, changed: make(chan struct{})}
}

// claim returns those of the checksums that the server may lack and nobody sends: the
// caller sends them, and calls release. If others are being sent, sent is closed when
// it is worth to claim again, else it is nil.
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

// release ends a claim. Stored says that the server has the content now.
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

// dropKnown drops what was known of content: the server collects what no cookbook
// refers to any more (docs/chef-server-api.md §3.3).
func (c *checksums) dropKnown(sums []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sums {
		delete(c.known, s)
	}
}

// dropAllKnown drops what was known of all content.
func (c *checksums) dropAllKnown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.known)
}
