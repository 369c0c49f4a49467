package replication

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"chefsync/pkg/object"
)

// Class says what an error means for a pass.
type Class string

// The classes of errors. An adapter gives each of its errors one of these; an
// error without a class counts as Transient.
const (
	// Absent: the server itself said that the object isn't there.
	Absent Class = "absent"
	// Rejected: this object can't be read or written as it is (400, 413, a
	// missing permission on one object, wrong bytes). Others go on.
	Rejected Class = "rejected"
	// Degraded: the object was written, but the replica can't hold all of it.
	Degraded Class = "degraded"
	// Transient: trying again later may help (5xx, a broken answer).
	Transient Class = "transient"
	// Unreachable: no answer from the server at all. Ends the pass.
	Unreachable Class = "unreachable"
	// Denied: the server refuses us as a whole (wrong key, clock skew, not a
	// member of the organization, license). Ends the pass; needs a person.
	Denied Class = "denied"
	// Foreign: what answered wasn't the Chef Server (HTML of a proxy, an empty
	// 200). Never to be read as "empty" or "deleted".
	Foreign Class = "foreign"
	// Unserved: the server has no objects of this kind at all: it doesn't know the
	// kind's paths. Other kinds go on; nothing of this one is written or deleted.
	Unserved Class = "unserved"
	// DeletionHeld: the deletion waits for approval. Only records have this class.
	DeletionHeld Class = "held"
	// Local: this machine's own trouble (disk full, state unreadable).
	Local Class = "local"
)

// Error is an error with what a user needs to act on it. Adapters return it;
// the engine decides by its Class.
type Error struct {
	Op     string     // what was tried, such as "read", "write", "upload"
	Ref    object.Ref // the object, when there is one
	Server string     // the server, as the user named it
	Class  Class
	Hint   string // what to try, a sentence without a full stop
	Err    error
}

// Error says what happened to which object on which server.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Ref != (object.Ref{}) {
		b.WriteString(" " + e.Ref.Path())
	}
	if e.Server != "" {
		b.WriteString(" on " + e.Server)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf finds the class of an error: Transient for one that carries none.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) && e.Class != "" {
		return e.Class
	}
	return Transient
}

// HintOf finds what the error says to try, or "".
func HintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// IsAbsent reports whether the server itself said that the object isn't there.
func IsAbsent(err error) bool { return err != nil && ClassOf(err) == Absent }

func canceled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Errors of feeds, stages and states.
var (
	// ErrPositionLost: the feed can't continue from the position asked for;
	// only a full compare helps.
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
	// ErrFenced: the lease was lost; another holder may be working. Nothing was
	// written.
	ErrFenced = errors.New("the lease of this pair was lost")
	// ErrMayNotCreate: the replica lets us create no object of a kind at all, which
	// is no trouble of one object.
	ErrMayNotCreate = errors.New("missing create permission")
	// ErrSchema: the state was written by a newer version of the program.
	ErrSchema = errors.New("the state was written by a newer version")
)

// LeasedError says that somebody else holds the lease of a pair.
type LeasedError struct {
	Pair  PairID
	Lease Lease
}

// Error names the holder and the end of the lease.
func (e *LeasedError) Error() string {
	return fmt.Sprintf("pair %s is being worked on by %s until %s", e.Pair, e.Lease.Owner, e.Lease.Expires.UTC().Format("15:04:05Z"))
}
