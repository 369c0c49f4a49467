package assembly

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"chefsync/pkg/chef"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// The words of feed in the configuration.
const (
	feedUpdatedSince = "updated_since"
	feedJournal      = "journal"
)

// feed returns the feed of a source organization.
func (f *Fleet) feed(ctx context.Context, org, space string) (*changeFeed, error) {
	c := &changeFeed{fleet: f, space: space, choice: f.choice(org), required: f.Feed == feedUpdatedSince}
	if f.Feed == feedJournal {
		return c, nil
	}
	var err error
	c.served, err = f.served(ctx, org)
	return c, err
}

// served returns the feed that the primary serves, or another server in its stead.
func (f *Fleet) served(ctx context.Context, org string) (*feed.UpdatedSince, error) {
	server := f.Primary
	if f.FeedURL != "" {
		server.Name, server.URL = "the server of feed_url", f.FeedURL
	}
	client, err := f.Client(ctx, server)
	if err != nil {
		return nil, err
	}
	return feed.NewUpdatedSince(getter{client.Org(org)}, unserved), nil
}

// changeFeed is the feed that the primary serves, and where it serves none the
// journal. Every read of the served feed is the question whether there is one;
// while it is known to serve none, reads cost the primary nothing. Going
// from one to the other loses no change: only a journal has an epoch, so the
// position of the one is lost in the other, and everything is compared.
type changeFeed struct {
	fleet    *Fleet
	space    string
	choice   *choice
	served   *feed.UpdatedSince // nil: the journal alone is read
	required bool               // the configuration demands what is served
	unserved error              // why the last Read took the journal, nil if it did not
}

var _ replication.Feed = (*changeFeed)(nil)

func (c *changeFeed) Name() string {
	if c.served == nil || c.unserved != nil {
		return journal.Name
	}
	return c.served.Name()
}

func (c *changeFeed) Note() string {
	switch {
	case c.served == nil:
		return `feed = "journal" in the configuration`
	case c.unserved != nil:
		return c.unserved.Error()
	case c.fleet.FeedURL != "":
		return c.fleet.FeedURL + " serves it"
	}
	return c.served.Note()
}

// journal opens the journal when it is asked: a primary that serves its changes needs
// none.
func (c *changeFeed) journal(ctx context.Context) (replication.Feed, error) {
	store, err := c.fleet.Journals(ctx)
	if err != nil {
		return nil, err
	}
	return scan.Feed(store, c.space), nil
}

// Begun reports whether the journal has begun: what is served was asked for before
// everything was compared.
func (c *changeFeed) Begun(ctx context.Context) (bool, error) {
	if c.required {
		return false, nil
	}
	journal, err := c.journal(ctx)
	if err != nil {
		return false, err
	}
	return journal.Begun(ctx)
}

// ReadSnapshot returns the snapshot of the journal; only its rows have a generation.
func (c *changeFeed) ReadSnapshot(ctx context.Context) (replication.Snapshot, error) {
	journal, err := c.journal(ctx)
	if err != nil {
		return replication.Snapshot{}, err
	}
	return journal.ReadSnapshot(ctx)
}

func (c *changeFeed) Read(ctx context.Context, after int64) (replication.Rows, error) {
	if c.required {
		return c.readRequired(ctx, after)
	}
	c.unserved = nil
	if c.served != nil {
		fresh, unserved := c.choice.recall(c.fleet.Now())
		if unserved == nil || !fresh {
			rows, err := c.served.Read(ctx, after)
			c.choice.learn(c.fleet.Now(), err)
			if !errors.Is(err, replication.ErrNoFeed) {
				return rows, err
			}
			unserved = err
		}
		c.unserved = unserved
	}
	kept, err := c.journal(ctx)
	if err != nil {
		return replication.Rows{}, err
	}
	rows, err := kept.Read(ctx, after)
	if errors.Is(err, replication.ErrNoFeed) && c.unserved != nil {
		return rows, fmt.Errorf("%w; %w", c.unserved, journal.ErrNoJournal)
	}
	return rows, err
}

// readRequired reads the served feed, whose absence is an error and not a reason to
// compare instead.
func (c *changeFeed) readRequired(ctx context.Context, after int64) (replication.Rows, error) {
	rows, err := c.served.Read(ctx, after)
	if errors.Is(err, replication.ErrNoFeed) {
		return rows, &fault.Error{Op: "read the change feed", Server: "primary", Class: fault.Denied,
			Hint: `write feed = "auto" in the configuration, so that changes are found by scanning instead`,
			Err:  errors.New(err.Error())} // without the ErrNoFeed inside
	}
	return rows, err
}

// ProbeFeed asks for the feed of an organization as a pass would, and says which
// it is and why. Without one it returns replication.ErrNoFeed, wrapped.
func (f *Fleet) ProbeFeed(ctx context.Context, org string) (note string, err error) {
	source, err := f.Source(org)
	if err != nil {
		return "", err
	}
	feed, err := f.feed(ctx, source.Org, source.Space)
	if err != nil {
		return "", err
	}
	_, err = feed.Read(ctx, 0)
	if errors.Is(err, replication.ErrNoFeed) {
		return err.Error() + "; until a scan has begun it, the primary is compared whole every compare_every", err
	}
	return feed.Name() + ", " + feed.Note(), err
}

// getter reads a path of an organization for a feed.
type getter struct{ org *chef.Org }

func (g getter) Get(ctx context.Context, path string) ([]byte, error) {
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

// unserved tells of an error that the server has no such route: a 404 of any
// origin, or a success that isn't the Chef Server's JSON.
func unserved(err error) bool {
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
