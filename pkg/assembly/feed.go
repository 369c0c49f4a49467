package assembly

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"chefsync/pkg/chef"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// newChangeFeed returns the feed of a source organization.
func (f *Fleet) newChangeFeed(ctx context.Context, org, space string) (*changeFeed, error) {
	c := &changeFeed{fleet: f, space: space, probe: f.feedProbeOf(org), required: f.Feed == config.FeedUpdatedSince}
	if f.Feed == config.FeedChangeLog {
		return c, nil
	}
	var err error
	c.served, err = f.newServedFeed(ctx, org)
	return c, err
}

// newServedFeed returns the feed that the primary or the server of feed_url serves.
func (f *Fleet) newServedFeed(ctx context.Context, org string) (*feed.UpdatedSince, error) {
	server := f.Primary
	if f.FeedURL != "" {
		server.Name, server.URL, server.Headers = "the server of feed_url", f.FeedURL, nil
	}
	client, err := f.Client(ctx, server)
	if err != nil {
		return nil, err
	}
	return feed.NewUpdatedSince(orgGetter{client.Org(org)}, isFeedMissing), nil
}

// changeFeed is the feed that the primary serves, or the change log if it serves none.
// Every read of the served feed is also a probe whether there is one; while the primary
// is known to serve none, reads send it nothing. No change is lost between the two: only
// a change log has an epoch, so a position of the one is invalid in the other, and
// everything is compared.
type changeFeed struct {
	fleet    *Fleet
	space    string
	probe    *feedProbe
	served   *feed.UpdatedSince // nil: only the change log is read
	required bool               // the configuration requires the served feed
	noFeed   error              // why the last Read read the change log; nil if it read the served feed
}

var _ replication.Feed = (*changeFeed)(nil)

// Name implements replication.Feed.
func (c *changeFeed) Name() string {
	if c.served == nil || c.noFeed != nil {
		return changelog.Name
	}
	return feed.Name
}

// Reason implements replication.Feed.
func (c *changeFeed) Reason() string {
	switch {
	case c.served == nil:
		return `feed = "journal" in the configuration`
	case c.noFeed != nil:
		return c.noFeed.Error()
	case c.fleet.FeedURL != "":
		return c.fleet.FeedURL + " serves it"
	}
	return "the primary serves it"
}

// openChangeLog opens the change log, which a primary that serves its changes doesn't need.
func (c *changeFeed) openChangeLog(ctx context.Context) (replication.Feed, error) {
	store, err := c.fleet.ChangeLogs(ctx)
	if err != nil {
		return nil, err
	}
	return scan.NewFeed(store, c.space), nil
}

// Begun reports whether the change log has begun. The served feed was read before
// everything was compared, so it doesn't matter.
func (c *changeFeed) Begun(ctx context.Context) (bool, error) {
	if c.required {
		return false, nil
	}
	recorded, err := c.openChangeLog(ctx)
	if err != nil {
		return false, err
	}
	return recorded.Begun(ctx)
}

// ReadSnapshot returns the snapshot of the change log; only its rows have a generation.
func (c *changeFeed) ReadSnapshot(ctx context.Context) (replication.Snapshot, error) {
	recorded, err := c.openChangeLog(ctx)
	if err != nil {
		return replication.Snapshot{}, err
	}
	return recorded.ReadSnapshot(ctx)
}

func (c *changeFeed) Read(ctx context.Context, after int64) (replication.Rows, error) {
	if c.required {
		return c.readRequired(ctx, after)
	}
	c.noFeed = nil
	if c.served != nil {
		fresh, unserved := c.probe.cachedResult(c.fleet.Now())
		if unserved == nil || !fresh {
			rows, err := c.served.Read(ctx, after)
			c.probe.recordResult(c.fleet.Now(), err)
			if !errors.Is(err, replication.ErrNoFeed) {
				return rows, err
			}
			unserved = err
		}
		c.noFeed = unserved
	}
	recorded, err := c.openChangeLog(ctx)
	if err != nil {
		return replication.Rows{}, err
	}
	rows, err := recorded.Read(ctx, after)
	if errors.Is(err, replication.ErrNoFeed) && c.noFeed != nil {
		return rows, fmt.Errorf("%w; %w", c.noFeed, changelog.ErrNoChangeLog)
	}
	return rows, err
}

// readRequired reads the served feed; its absence is an error.
func (c *changeFeed) readRequired(ctx context.Context, after int64) (replication.Rows, error) {
	rows, err := c.served.Read(ctx, after)
	if errors.Is(err, replication.ErrNoFeed) {
		return rows, &fault.Error{Op: "read the change feed", Server: "primary", Class: fault.Denied,
			Hint: `write feed = "auto" in the configuration, so that changes are found by scanning instead`,
			Err:  errors.New(err.Error())} // without the ErrNoFeed inside
	}
	return rows, err
}

// DescribeFeed reads the feed of an organization as a pass would, and returns a
// description of which feed that is and why. Without a feed the error wraps
// replication.ErrNoFeed.
func (f *Fleet) DescribeFeed(ctx context.Context, org string) (description string, err error) {
	source, err := f.Source(org)
	if err != nil {
		return "", err
	}
	feed, err := f.newChangeFeed(ctx, source.Org, source.Space)
	if err != nil {
		return "", err
	}
	_, err = feed.Read(ctx, 0)
	if errors.Is(err, replication.ErrNoFeed) {
		return feed.describe() + "; until the first scan, everything is compared every compare_every", err
	}
	return feed.describe(), err
}

// describe says, after a Read, where changes come from.
func (c *changeFeed) describe() string {
	if c.noFeed != nil {
		return "no updated_since; changes are found by scans"
	}
	return c.Name() + ", " + c.Reason()
}

// orgGetter reads paths of an organization.
type orgGetter struct{ org *chef.Org }

func (g orgGetter) Get(ctx context.Context, path string) ([]byte, error) {
	answer, err := g.org.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		var e *chef.Error
		if errors.As(err, &e) {
			err = e.Wrap("GET", object.Ref{})
		}
		return nil, err
	}
	return answer.Body, nil
}

// isFeedMissing reports whether an error means that the server has no such route: a 404
// of any origin, or a success that isn't the Chef Server's JSON.
func isFeedMissing(err error) bool {
	var e *chef.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case chef.KindAbsent:
		return true
	case chef.KindForeign:
		return e.Status == http.StatusNotFound || e.Status == http.StatusOK
	}
	return false
}
