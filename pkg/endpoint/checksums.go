package endpoint

import (
	"sync"

	"chefsync/pkg/object"
)

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

// claim returns the files that the server may lack and that aren't being sent: the
// caller sends them and calls release. If some are being sent, sent is closed by the
// next release, after which the caller claims again; otherwise it is nil.
func (c *checksums) claim(files []object.File) (mine []object.File, sent <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range files {
		switch {
		case c.known[f.Checksum]:
		case c.sending[f.Checksum]:
			sent = c.changed
		default:
			mine = append(mine, f)
			c.sending[f.Checksum] = true
		}
	}
	return mine, sent
}

// release ends a claim. If stored is true, the server has the content now.
func (c *checksums) release(files []object.File, stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range files {
		delete(c.sending, f.Checksum)
		if stored {
			c.known[f.Checksum] = true
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// dropKnown marks content as unknown: servers delete content that no cookbook refers to
// (docs/chef-server-api.md §3.3).
func (c *checksums) dropKnown(files []object.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range files {
		delete(c.known, f.Checksum)
	}
}

// dropAllKnown marks all content as unknown.
func (c *checksums) dropAllKnown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.known)
}
