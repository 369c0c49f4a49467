package replication

import (
	"context"
	"errors"
	"fmt"
)

func isCanceled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Errors of feeds, stages and states.
var (
	// ErrPositionLost: the feed can't continue from the position asked for;
	// only a full comparison helps.
	ErrPositionLost = errors.New("the feed has lost this position")
	// ErrNoFeed: the primary serves no feed.
	ErrNoFeed = errors.New("the primary serves no change feed")
	// ErrNotStaged: the stage doesn't hold the content.
	ErrNotStaged = errors.New("content is not staged")
	// ErrStageFull: the stage has no room for the content.
	ErrStageFull = errors.New("the stage is full")
	// ErrContentMismatch: bytes whose MD5 isn't the checksum they came under.
	ErrContentMismatch = errors.New("content does not match its checksum")
	// ErrContentLost: a server's file store doesn't have a file that the server's
	// objects name.
	ErrContentLost = errors.New("the server's file store has lost the content")
	// ErrFenced: the lease of the pair or of the change log was lost, so that another
	// process may have taken it. Nothing was written.
	ErrFenced = errors.New("the lease was lost")
	// ErrMayNotCreate: the replica lets us create no object of a kind at all, which
	// is no error of one object.
	ErrMayNotCreate = errors.New("missing create permission")
	// ErrSchema: the state was written by a newer version of the program.
	ErrSchema = errors.New("the state was written by a newer version")
)

// LeasedError means that another process holds a lease.
type LeasedError struct {
	What  string // what is leased, such as "pair eu/engineering"
	Lease Lease
}

// Error returns a message with the owner and the end of the lease.
func (e *LeasedError) Error() string {
	return fmt.Sprintf("%s is being worked on by %s until %s", e.What, e.Lease.Owner, e.Lease.Expires.UTC().Format("15:04:05Z"))
}
