package assembly

import (
	"context"
	"errors"
	"sync"
	"time"

	"chefsync/pkg/replication"
)

// probeAgain is how long it is believed that the primary serves no feed: asking
// costs a request, and servers change seldom (docs/chef-server-api.md §2.4).
const probeAgain = time.Hour

// choice is what was last learned about the served feed of an organization.
type choice struct {
	mu    sync.Mutex
	asked time.Time // zero: never
	none  error     // why none is served; nil if one is
}

// choice is the one that all pairs of an organization share.
func (f *Fleet) choice(org string) *choice {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.choices[org]
	if c == nil {
		c = &choice{}
		f.choices[org] = c
	}
	return c
}

// recall reports whether the answer is recent enough to be believed, and returns
// why no feed is served.
func (c *choice) recall(now time.Time) (fresh bool, none error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.asked.IsZero() && now.Sub(c.asked) < probeAgain, c.none
}

// learn takes up the answer of a read of the served feed. An error that doesn't
// tell whether there is a feed teaches nothing.
func (c *choice) learn(now time.Time, err error) {
	if err != nil && !errors.Is(err, replication.ErrNoFeed) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.none = now, err
}

// NeedsJournal reports whether the changes of an organization are found by its
// journal, so that somebody must scan it. It asks the primary when that isn't
// known, and then not for an hour, unless the organization is being scanned.
func (f *Fleet) NeedsJournal(ctx context.Context, org string) (bool, error) {
	switch f.Feed {
	case feedUpdatedSince:
		return false, nil
	case feedJournal:
		return true, nil
	}
	c := f.choice(org)
	if fresh, none := c.recall(f.Now()); fresh {
		return none != nil, nil
	}
	if scanned, err := f.beingScanned(ctx, org); err != nil || scanned {
		return scanned, err
	}
	served, err := f.served(ctx, org)
	if err != nil {
		return false, err
	}
	_, err = served.Read(ctx, 0)
	c.learn(f.Now(), err)
	if errors.Is(err, replication.ErrNoFeed) {
		return true, nil
	}
	return false, err
}
