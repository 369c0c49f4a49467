package assembly

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"chefsync/pkg/feed/journal"
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

// recall returns why no feed is served, and whether that is still believed.
func (c *choice) recall(now time.Time) (none error, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.none, !c.asked.IsZero() && now.Sub(c.asked) < probeAgain
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

// either is the feed that the primary serves, and where it serves none the
// journal. Every read of the served feed is the question whether there is one;
// while it is known that there is none, reads cost the primary nothing. Going
// from one to the other loses no change: only a journal has an epoch, so the
// position of the one is lost in the other, and everything is compared.
type either struct {
	served replication.ExplainedFeed
	kept   replication.ScannedFeed
	choice *choice
	now    func() time.Time
	none   error // why the last Read took the journal; nil if it did not
}

func (e *either) Name() string {
	if e.none != nil {
		return e.kept.Name()
	}
	return e.served.Name()
}

func (e *either) Note() string {
	if e.none != nil {
		return e.none.Error()
	}
	return e.served.Note()
}

// Begun tells whether the journal has begun: what is served was asked for before
// everything was compared.
func (e *either) Begun(ctx context.Context) (bool, error) { return e.kept.Begun(ctx) }

// Scan implements replication.ScannedFeed. Only a journal has an epoch, so whoever
// names one follows it, whatever was read last.
func (e *either) Scan(ctx context.Context, epoch string) (replication.Scan, error) {
	return e.kept.Scan(ctx, epoch)
}

func (e *either) Read(ctx context.Context, after int64) (replication.Rows, error) {
	none, fresh := e.choice.recall(e.now())
	if none == nil || !fresh {
		rows, err := e.served.Read(ctx, after)
		e.choice.learn(e.now(), err)
		if !errors.Is(err, replication.ErrNoFeed) {
			e.none = nil
			return rows, err
		}
		none = err
	}
	e.none = none
	rows, err := e.kept.Read(ctx, after)
	if errors.Is(err, replication.ErrNoFeed) {
		return rows, fmt.Errorf("%w; %w", none, journal.ErrNoJournal)
	}
	return rows, err
}

// NeedsJournal tells whether the changes of an organization are found by its
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
	if none, fresh := c.recall(f.Now()); fresh {
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
