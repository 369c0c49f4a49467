package journal

import (
	"context"
	"time"

	"chefsync/pkg/replication"
)

// Store keeps journals. Every implementation passes the suite of package
// journaltest. A source is any non-empty word that names an organization of a
// primary; replication.Pair.Space is one. All methods may be called at once, by
// any number of processes.
//
// The shape is made for one conditional write per call: a head item with the
// epoch, the oldest and the next id, and the rows under their ids beside it.
type Store interface {
	// Head returns the head of a journal, zero if there is none.
	Head(ctx context.Context, source string) (Head, error)
	// Rows returns rows with an id greater than after, in order and without
	// gaps, at most limit, together with the head, the generation of the scanner's
	// memory and the number of scans. Without a journal the page has no head.
	Rows(ctx context.Context, source string, after int64, limit int) (Page, error)
	// Append gives the entries the next ids, in order, and stores them, all or
	// none, in one atomic write. It needs no lease. ErrNoJournal before the
	// journal has begun, ErrEntry for what [CheckEntries] refuses. No entries is
	// no write.
	Append(ctx context.Context, source string, at time.Time, entries []Entry) (Head, error)
	// Trim drops rows noted before a time, and the oldest beyond the newest keep
	// (0: no such limit), but never the newest one. It writes nothing when there
	// is nothing to drop.
	Trim(ctx context.Context, source string, before time.Time, keep int) (Head, error)
}

// Memory keeps what a scanner must remember beside the journal: a blob that may
// be megabytes, and the lease of the scanner at work. A store of items keeps the
// blob elsewhere, under its generation, and names it in the head.
type Memory interface {
	// Recall returns what is known of a source: one consistent read.
	Recall(ctx context.Context, source string) (Recollection, error)
	// Acquire takes the lease if it is free, expired at now or already the
	// owner's, and adds one to the fencing token. *LeasedError otherwise.
	Acquire(ctx context.Context, source, owner string, now time.Time, ttl time.Duration) (Recollection, error)
	// Lease returns the lease as it stands, zero for a source never seen: one small
	// read.
	Lease(ctx context.Context, source string) (replication.Lease, error)
	// Renew makes the lease end ttl after now. ErrFenced if the token isn't current
	// or the lease ended before now.
	Renew(ctx context.Context, source string, fence int64, now time.Time, ttl time.Duration) error
	// Release frees the lease if the token is current; else it does nothing.
	Release(ctx context.Context, source string, fence int64) error
	// Commit writes a step in one atomic write under the lease. ErrFenced if the
	// token isn't current, the lease ended before now, or the generation isn't
	// the step's: nothing written. ErrNoJournal for entries without a journal.
	Commit(ctx context.Context, source string, fence int64, now time.Time, s Step) (Head, error)
}

// ScanStore is all that a scanner needs.
type ScanStore interface {
	Store
	Memory
	Diary
}

// Recollection is what a store knows of a source besides the rows. Acquire
// leaves Blob out.
type Recollection struct {
	Head       Head
	Lease      replication.Lease
	Generation int64 // of the blob; 0 when there is none
	Blob       []byte
}

// Step is what a Commit writes, all or nothing.
type Step struct {
	// Begin makes a new journal of this epoch, whose first row is a [Begin] row
	// with [FirstID]. Rows of a journal before it are dropped.
	Begin string
	// Entries become rows, after the first one of a new journal. At most
	// [MaxAppend].
	Entries []Entry
	// Generation is the one that the scanner recalled.
	Generation int64
	// Blob replaces the blob, and adds one to the generation; nil leaves both.
	Blob []byte
}
