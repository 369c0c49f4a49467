package assembly

import (
	"context"
	"errors"
	"net/http"

	"chefsync/pkg/chef"
	"chefsync/pkg/feed"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/scan"
	"chefsync/pkg/replication"
)

// The words of feed in the configuration.
const (
	feedUpdatedSince = "updated_since"
	feedJournal      = "journal"
)

// feed is the feed of a source organization.
func (f *Fleet) feed(ctx context.Context, org, space string) (replication.Feed, error) {
	kept := lateJournal{f, space}
	if f.Feed == feedJournal {
		return explained{kept, `feed = "journal" in the configuration`}, nil
	}
	served, err := f.served(ctx, org)
	if err != nil {
		return nil, err
	}
	if f.Feed == feedUpdatedSince {
		return wanted{served}, nil
	}
	return &either{served: served, kept: kept, choice: f.choice(org), now: f.Now}, nil
}

// served is the feed that the primary serves, or another server in its stead.
func (f *Fleet) served(ctx context.Context, org string) (replication.ExplainedFeed, error) {
	server := f.Primary
	if f.FeedURL != "" {
		server.Name, server.URL = "the server of feed_url", f.FeedURL
	}
	client, err := f.Client(ctx, server)
	if err != nil {
		return nil, err
	}
	served := feed.NewUpdatedSince(getter{client.Org(org)}, unserved)
	if f.FeedURL != "" {
		return explained{served, f.FeedURL + " serves it"}, nil
	}
	return served, nil
}

// explained is a feed with a reason of its own.
type explained struct {
	replication.Feed
	note string
}

func (e explained) Note() string { return e.note }

// Begun implements replication.LateFeed for a feed that may begin late.
func (e explained) Begun(ctx context.Context) (bool, error) {
	if late, ok := e.Feed.(replication.LateFeed); ok {
		return late.Begun(ctx)
	}
	return false, nil
}

// Scan implements replication.ScannedFeed for a feed that a scanner fills.
func (e explained) Scan(ctx context.Context, epoch string) (replication.Scan, error) {
	if scanned, ok := e.Feed.(replication.ScannedFeed); ok {
		return scanned.Scan(ctx, epoch)
	}
	return nil, nil
}

// lateJournal opens the journals when they are asked: a primary that serves its
// changes needs none.
type lateJournal struct {
	fleet *Fleet
	space string
}

func (l lateJournal) Name() string { return journal.Name }

func (l lateJournal) open(ctx context.Context) (replication.ScannedFeed, error) {
	store, err := l.fleet.Journals(ctx)
	if err != nil {
		return nil, err
	}
	return scan.Feed(store, l.space, l.fleet.Now), nil
}

func (l lateJournal) Begun(ctx context.Context) (bool, error) {
	feed, err := l.open(ctx)
	if err != nil {
		return false, err
	}
	return feed.Begun(ctx)
}

func (l lateJournal) Read(ctx context.Context, after int64) (replication.Rows, error) {
	feed, err := l.open(ctx)
	if err != nil {
		return replication.Rows{}, err
	}
	return feed.Read(ctx, after)
}

func (l lateJournal) Scan(ctx context.Context, epoch string) (replication.Scan, error) {
	feed, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	return feed.Scan(ctx, epoch)
}

// wanted is a feed that the configuration demands: its absence is an error, not
// a reason to compare instead.
type wanted struct{ replication.ExplainedFeed }

func (w wanted) Read(ctx context.Context, after int64) (replication.Rows, error) {
	rows, err := w.ExplainedFeed.Read(ctx, after)
	if errors.Is(err, replication.ErrNoFeed) {
		return rows, &replication.Error{Op: "read the change feed", Server: "primary", Class: replication.Denied,
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
	note = feed.Name()
	if e, ok := feed.(replication.ExplainedFeed); ok {
		note += ", " + e.Note()
	}
	return note, err
}

// getter reads a path of an organization for a feed.
type getter struct{ org *chef.Org }

func (g getter) Get(ctx context.Context, path string) ([]byte, error) {
	answer, err := g.org.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, g.fail(err)
	}
	return answer.Body, nil
}

// fail gives an error its meaning for a pass: a feed that is refused concerns
// the organization as a whole.
func (g getter) fail(err error) error {
	var e *chef.Error
	if !errors.As(err, &e) {
		return err
	}
	class := replication.Transient
	switch e.Kind {
	case chef.KindUnreachable:
		class = replication.Unreachable
	case chef.KindForeign:
		class = replication.Foreign
	case chef.KindClockSkew, chef.KindKey, chef.KindNotMember, chef.KindOrgMissing, chef.KindLicense, chef.KindFrontEnd,
		chef.KindTLS, chef.KindVersion, chef.KindPermission:
		class = replication.Denied
	}
	return &replication.Error{Op: "GET", Server: g.org.Client().Name(), Class: class, Hint: e.Hint, Err: reason{e}}
}

// reason prints an error of the client without the request, which the errors
// around it name already.
type reason struct{ err *chef.Error }

func (r reason) Error() string { return r.err.Reason() }

func (r reason) Unwrap() error { return r.err }

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
