package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Getter reads a path below the primary's organization, such as
// /updated_since?seq=0, and returns the body of a success (2xx). Anything else
// is an error.
type Getter interface {
	Get(ctx context.Context, path string) (body []byte, err error)
}

// UpdatedSince is the feed that the primary serves itself.
type UpdatedSince struct {
	getter   Getter
	unserved func(error) bool
}

// Name is the name of the feed in configuration and status.
const Name = "updated_since"

// NewUpdatedSince returns a feed that reads with a getter. Unserved reports whether an
// error of the getter means that the server has no such route: a 404 of any origin, or a 200 that
// isn't the Chef Server's JSON (docs/chef-server-api.md §2.4, §13: the front end
// answers 404 HTML, goiardi 200 with an empty body). It must be false for 401,
// 403, 5xx, for a server that gives no answer, and for an organization that
// doesn't exist.
func NewUpdatedSince(getter Getter, unserved func(error) bool) *UpdatedSince {
	return &UpdatedSince{getter: getter, unserved: unserved}
}

// Read returns the rows with an id greater than after, or all for 0 and below: the
// server can't be asked for the newest ones. Errors wrap
// replication.ErrNoFeed if the server serves no feed; that includes answers that are
// valid JSON but not rows. An invalid answer is an error of class Transient. Errors of
// the getter are wrapped.
func (u *UpdatedSince) Read(ctx context.Context, after int64) (replication.Rows, error) {
	after = max(after, 0)
	body, err := u.getter.Get(ctx, "/updated_since?seq="+strconv.FormatInt(after, 10))
	if err != nil {
		if u.unserved(err) {
			return replication.Rows{}, unservedError{err}
		}
		return replication.Rows{}, fmt.Errorf("read updated_since: %w", err)
	}
	switch start := bytes.TrimLeft(body, " \t\r\n"); {
	case len(start) == 0:
		return replication.Rows{}, noFeedError(errors.New("the answer is empty"))
	case start[0] == '<':
		return replication.Rows{}, noFeedError(errors.New("the answer is an HTML page"))
	}
	changes, err := DecodeRows(body)
	switch {
	case errors.Is(err, ErrShape):
		return replication.Rows{}, noFeedError(err)
	case err != nil:
		return replication.Rows{}, &fault.Error{Op: "read updated_since", Class: fault.Transient, Err: err}
	}
	if after > 0 {
		// Whether seq itself belongs to the answer was never published.
		changes = slices.DeleteFunc(changes, func(c replication.Change) bool { return c.ID <= after })
	}
	return replication.Rows{Changes: changes}, nil
}

// unservedError is the case of nearly all servers, so the details of their answer aren't
// shown.
type unservedError struct{ err error }

func (unservedError) Error() string {
	return "the primary serves no updated_since, like all current Chef Servers"
}

func (e unservedError) Unwrap() []error { return []error{replication.ErrNoFeed, e.err} }

func noFeedError(reason error) error {
	return fmt.Errorf("%w: GET /updated_since: %w", replication.ErrNoFeed, reason)
}
