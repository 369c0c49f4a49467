package assembly

import (
	"context"
	"errors"
	"net/http"

	"chefsync/pkg/chef"
	"chefsync/pkg/feed"
	"chefsync/pkg/replication"
)

// feedUpdatedSince is the word in the configuration.
const feedUpdatedSince = "updated_since"

// feed is the feed of an organization.
func (f *Fleet) feed(o *chef.Org) replication.Feed {
	served := feed.NewUpdatedSince(getter{o}, unserved)
	if f.Feed == feedUpdatedSince {
		return wanted{served}
	}
	return served
}

// wanted is a feed that the configuration demands: its absence is an error, not
// a reason to compare instead.
type wanted struct{ *feed.UpdatedSince }

func (w wanted) Read(ctx context.Context, after int64) (replication.Rows, error) {
	rows, err := w.UpdatedSince.Read(ctx, after)
	if errors.Is(err, replication.ErrNoFeed) {
		return rows, &replication.Error{Op: "read the change feed", Server: "primary", Class: replication.Denied,
			Hint: `write feed = "auto" in the configuration, so that the primary is compared whole instead`,
			Err:  errors.New(err.Error())} // without the ErrNoFeed inside
	}
	return rows, err
}

// ProbeFeed asks the primary for the feed of an organization. Without one it
// returns replication.ErrNoFeed, wrapped, and why.
func (f *Fleet) ProbeFeed(ctx context.Context, org string) (note string, err error) {
	client, err := f.Client(ctx, f.Primary)
	if err != nil {
		return "", err
	}
	_, err = f.feed(client.Org(org)).Read(ctx, 0)
	if errors.Is(err, replication.ErrNoFeed) {
		return err.Error() + "; the primary is compared whole every compare_every", err
	}
	return feedUpdatedSince, err
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
