package changelog

import (
	"context"
	"time"

	"chefsync/pkg/replication"
)

// Store stores change logs. Every implementation passes the tests of package changelogtest.
// A source is a non-empty string that names an organization of a primary, such as
// replication.Pair.Space. All methods may be called concurrently, by any number of
// processes.
//
// Each method needs at most one conditional write: a head item with the epoch, the
// oldest and the next id, and one item per row.
type Store interface {
	// Head returns the head of a change log, zero if there is no change log.
	Head(ctx context.Context, source string) (Head, error)
	// Rows returns rows with an id greater than after, in order and without
	// gaps, at most limit (0: all), together with the head, the generation of the
	// snapshot and the number of scans. If there is no change log, the head is zero.
	Rows(ctx context.Context, source string, after int64, limit int) (Page, error)
	// Append assigns the next ids to the changes, in order, and stores them in one
	// atomic write. It needs no lease. It returns ErrNoChangeLog before the change log has
	// begun and ErrInvalidChange for changes that [CheckChanges] refuses. Without
	// changes it writes nothing.
	Append(ctx context.Context, source string, at time.Time, changes []Change) (Head, error)
	// Trim drops rows that were appended before a time, and all but the newest keep rows
	// (0: no such limit), but never the newest one. It writes nothing if there is
	// nothing to drop.
	Trim(ctx context.Context, source string, before time.Time, keep int) (Head, error)
}

// ScanStateStore stores the scan state of each source beside its change log: a blob of up
// to some megabytes, and the lease of the scanner. A store with a limit on the size of
// items stores the blob in several, under its version, and refers to it in the head.
type ScanStateStore interface {
	// LoadScanState returns the scan state of a source in one consistent read.
	LoadScanState(ctx context.Context, source string) (ScanState, error)
	// Acquire takes the lease if it is free, has expired at now or belongs to owner, and
	// increments the fencing token. Otherwise it returns [replication.LeasedError].
	Acquire(ctx context.Context, source, owner string, now time.Time, ttl time.Duration) (ScanState, error)
	// Lease returns the current lease, zero for an unknown source, in one small read.
	Lease(ctx context.Context, source string) (replication.Lease, error)
	// Renew extends the lease to ttl after now. It returns [replication.ErrFenced] if the token isn't
	// current or the lease expired before now.
	Renew(ctx context.Context, source string, fence int64, now time.Time, ttl time.Duration) error
	// Release releases the lease if the token is current; otherwise it does nothing.
	Release(ctx context.Context, source string, fence int64) error
	// Commit writes an update in one atomic write. It writes nothing and returns
	// [replication.ErrFenced] if the token isn't current, the lease expired before now,
	// or the version isn't that of the update, and ErrNoChangeLog for changes without a
	// change log.
	Commit(ctx context.Context, source string, fence int64, now time.Time, u ScanUpdate) (Head, error)
}

// ScanStore is what a scanner needs.
type ScanStore interface {
	Store
	ScanStateStore
	LastScanStore
}

// ScanState is what is stored of a source, without its rows. Acquire returns it
// without Blob.
type ScanState struct {
	Head       Head
	Lease      replication.Lease
	Generation int64  // of the snapshot in the blob
	Version    int64  // of the blob: how often it was written; 0 if there is none
	Blob       []byte // the scanner's own encoding of what it read
}

// ScanUpdate is what a Commit writes atomically.
type ScanUpdate struct {
	// Begin is the epoch of a new change log, "" for none. Its first row is a [Begin] row
	// with the id [FirstID]. The rows of the previous change log are dropped.
	Begin string
	// Changes are appended as rows, after the first row of a new change log; at most
	// [MaxAppend].
	Changes []Change
	// Version is the one that LoadScanState returned.
	Version int64
	// Blob replaces the blob and increments its version; nil changes neither.
	Blob []byte
	// SameSnapshot reports that the snapshot in Blob is the one before: its generation
	// is kept. Otherwise Blob increments it, too.
	SameSnapshot bool
}
