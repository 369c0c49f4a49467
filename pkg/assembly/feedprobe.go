package assembly

import (
	"context"
	"errors"
	"sync"
	"time"

	"chefsync/pkg/config"
	"chefsync/pkg/replication"
)

// feedProbeAge is how long the result of a probe is used: a probe costs a request, and
// servers change seldom (docs/chef-server-api.md §2.4).
const feedProbeAge = time.Hour

// feedProbe is the result of the last probe of the served feed of an organization.
type feedProbe struct {
	mu       sync.Mutex
	probedAt time.Time // zero: never
	noFeed   error     // why none is served; nil if one is
}

// feedProbeOf returns the probe that all pairs of an organization share.
func (f *Fleet) feedProbeOf(org string) *feedProbe {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.feedProbes[org]
	if c == nil {
		c = &feedProbe{}
		f.feedProbes[org] = c
	}
	return c
}

// cachedResult reports whether the result is recent enough to be used, and returns why
// no feed is served.
func (c *feedProbe) cachedResult(now time.Time) (fresh bool, none error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.probedAt.IsZero() && now.Sub(c.probedAt) < feedProbeAge, c.noFeed
}

// recordResult records the error of a read of the served feed. One that doesn't say
// whether there is a feed is ignored.
func (c *feedProbe) recordResult(now time.Time, err error) {
	if err != nil && !errors.Is(err, replication.ErrNoFeed) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probedAt, c.noFeed = now, err
}

// NeedsChangeLog reports whether the changes of an organization are found by its
// change log, so that it must be scanned. Unless the organization is being scanned, it
// asks the primary, at most once per feedProbeAge.
func (f *Fleet) NeedsChangeLog(ctx context.Context, org string) (bool, error) {
	switch f.Feed {
	case config.FeedUpdatedSince:
		return false, nil
	case config.FeedChangeLog:
		return true, nil
	}
	c := f.feedProbeOf(org)
	if fresh, none := c.cachedResult(f.Now()); fresh {
		return none != nil, nil
	}
	if scanned, err := f.beingScanned(ctx, org); err != nil || scanned {
		return scanned, err
	}
	served, err := f.newServedFeed(ctx, org)
	if err != nil {
		return false, err
	}
	_, err = served.Read(ctx, 0)
	c.recordResult(f.Now(), err)
	if errors.Is(err, replication.ErrNoFeed) {
		return true, nil
	}
	return false, err
}
