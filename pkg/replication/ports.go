package replication

import (
	"context"
	"io"
	"time"

	"chefsync/pkg/object"
)

// Change is a hint that objects may have changed on the primary.
type Change struct {
	ID     int64        // grows with time; gaps and late rows are possible
	Action string       // create, update, delete or anything; never trusted
	Path   string       // as the feed wrote it
	Scope  object.Scope // what Path means; everything that Path may mean
}

// Rows is an answer of a feed.
type Rows struct {
	// Epoch names the sequence that the ids belong to. Ids of different epochs
	// can't be compared. Empty when the feed can't tell. A feed that has epochs
	// shows its rows in order: none appears after one of a larger id.
	Epoch string
	// Changes have ids greater than the one asked for, sorted by id, each id once.
	Changes []Change
	// Oldest and Newest bound the rows that the feed keeps, for a feed that knows
	// them and whose ids have no gaps. Newest is 0 for a feed that doesn't; Oldest
	// is Newest+1 when no row is left.
	Oldest, Newest int64
	// Generation is that of the snapshot beside the rows, 0 without one, and Scans how
	// many scans have begun.
	Generation, Scans int64
}

// Feed says what changed on the primary.
type Feed interface {
	// Name returns the name of the feed in configuration and status, and Reason why it is
	// the one in use. A feed that chooses between others returns those of the last Read.
	Name() string
	Reason() string
	// Read returns the rows with an id greater than after; 0 means all. Below 0 it
	// may return all, and must return as many of the newest. It returns ErrNoFeed
	// or ErrPositionLost, wrapped, where they apply.
	Read(ctx context.Context, after int64) (Rows, error)
	// Begun reports whether Read has rows by now that it didn't have before, of a feed
	// that may begin after its pairs did. It is asked in every poll of a pair that has
	// no position yet, so it must be cheap and send nothing to the primary.
	Begun(ctx context.Context) (bool, error)
	// ReadSnapshot returns what the newest scan saw, of a feed that a scanner fills.
	ReadSnapshot(ctx context.Context) (Snapshot, error)
}

// Reader reads an organization of a Chef Server. All methods return *Error.
// Implementations may be called concurrently.
type Reader interface {
	// Identity names the server and organization, so that a position isn't
	// used against another one: the base URL and, where the server has one, the
	// GUID of the organization.
	Identity(ctx context.Context) (string, error)
	// List names the objects of a scope: Cookbook, CookbookArtifact, Policy and
	// PolicyGroup (one or all names), Role, Environment (without _default), DataBag
	// (all bags, no items), DataBagItem with a Name (the items of one bag). A name
	// that isn't there gives an empty list; anything that wasn't a listing of the
	// Chef Server itself gives an error, never an empty list: of class Unserved for
	// a kind that the server doesn't know.
	List(ctx context.Context, scope object.Scope) ([]object.Ref, error)
	// Get reads one object. The error has class Absent when the server itself
	// said so.
	Get(ctx context.Context, ref object.Ref) (object.Object, error)
	// GetBulk returns those of the objects that take fewer requests than one each. Any
	// that are missing from the result must be read by Get: nothing follows from it.
	GetBulk(ctx context.Context, refs []object.Ref, o BulkOptions) map[object.Ref]object.Object
}

// BulkOptions say what a GetBulk is for.
type BulkOptions struct {
	// Listed: the objects were listed a moment ago, and are all or nearly all of their
	// collections, such as all roles or the items of one bag. Data bags, which are
	// nothing but their names, need no request then.
	Listed bool
	// BodyBytes bounds the bodies that are returned in all. Objects beyond it have a
	// fingerprint only.
	BodyBytes int
}

// Source is the primary's organization. It is only ever read.
type Source interface {
	Reader
	// Open streams the content of one file of obj, a cookbook version that Get
	// returned. Size is -1 when unknown. The bytes aren't verified. When the
	// file's URL has expired, Open reads the object again by itself; if the
	// object doesn't hold the checksum any more, the error has class Absent.
	Open(ctx context.Context, obj object.Object, file object.File) (content io.ReadCloser, size int64, err error)
}

// Content opens the verified content of a file, by its checksum. Size is the
// exact length in bytes.
type Content interface {
	Open(ctx context.Context, file object.File) (content io.ReadCloser, size int64, err error)
}

// Target is the replica's organization.
type Target interface {
	Reader
	// Expect is the fingerprint that the replica will show once it holds obj,
	// and what of obj (paths of files) it can't hold at all.
	Expect(ctx context.Context, obj object.Object) (fingerprint string, dropped []string, err error)
	// Lane names what must not be written at the same time as ref: objects with
	// one lane are written one after the other, in order.
	Lane(ref object.Ref) string
	// Upload sends content that the replica lacks ahead of the Puts of several objects,
	// with fewer requests than these would need. What it can't send is left to Put.
	Upload(ctx context.Context, objs []object.Object, contentOf func(object.Object) Content)
	// Put creates or replaces an object. With create, the object is assumed to
	// be absent, which saves a request; both beliefs may be wrong. Files that
	// the replica lacks are read from content. An error of class Degraded means
	// that all went well except what Expect calls dropped.
	Put(ctx context.Context, obj object.Object, create bool, content Content) error
	// Delete removes an object. An object that isn't there is success. A data
	// bag is deleted with whatever it holds; a policy revision that a policy group
	// uses is not: the error has class Rejected.
	Delete(ctx context.Context, ref object.Ref) error
	// Open streams the content of one file as the replica stores it, of an object
	// that Get returned, as Source.Open does. ErrContentLost, wrapped, says that the
	// file is gone from the server's store.
	Open(ctx context.Context, obj object.Object, file object.File) (content io.ReadCloser, size int64, err error)
	// Reupload sends the content of a file that is there but damaged or lost. It
	// returns false, and sends nothing, where the server doesn't take it: it assumes
	// to have the content as long as an object names it.
	Reupload(ctx context.Context, file object.File, content Content) (taken bool, err error)
}

// Stage holds the content of cookbook files between the primary and the
// replicas. Implementations may be used by several processes at once.
type Stage interface {
	// Open streams staged content, or returns ErrNotStaged. The reader's last
	// Read reports ErrContentMismatch instead of io.EOF when the stored bytes
	// don't have the checksum.
	Open(ctx context.Context, key StageKey) (content io.ReadCloser, size int64, err error)
	// Put stores content after checking that its MD5 is the checksum, else
	// ErrContentMismatch and nothing stored. Size is a hint, -1 when unknown; a
	// known size that differs is a mismatch. Racing writers of one key are safe.
	// ErrStageFull if there is no room for it: a stage that could make some meanwhile
	// has done so. What is staged may be dropped at any time; who reads it by then
	// reads it to its end.
	Put(ctx context.Context, key StageKey, content io.Reader, size int64) error
	// Remove drops one key; absent is success.
	Remove(ctx context.Context, key StageKey) error
}

// State keeps what must outlive a pass. Every implementation passes the suite
// in package storetest. Times are given by the caller; they are stored with at
// least millisecond precision, in UTC.
type State interface {
	// Pair returns the record of a pair: one small read. A pair never seen has
	// a zero record with its ID. ErrSchema if a newer version wrote it.
	Pair(ctx context.Context, id PairID) (PairState, error)
	// Pairs returns all records, sorted by ID.
	Pairs(ctx context.Context) ([]PairState, error)

	// Acquire takes the lease if it is free, expired at now, or already the
	// owner's, and adds one to the fencing token. It returns the record as it
	// is with the lease taken, or *LeasedError.
	Acquire(ctx context.Context, id PairID, owner string, now time.Time, ttl time.Duration) (PairState, error)
	// Renew moves the expiry to now+ttl and returns the record, so that a
	// stop asked for meanwhile is seen. ErrFenced if the token isn't current or
	// the lease has expired at now, whether or not somebody took it since.
	Renew(ctx context.Context, id PairID, fence int64, now time.Time, ttl time.Duration) (PairState, error)
	// Release frees the lease if the token is current; else it does nothing.
	Release(ctx context.Context, id PairID, fence int64) error

	// Commit writes an update in one atomic step under the lease. ErrFenced if
	// the token isn't current or the lease expired before now: nothing written.
	Commit(ctx context.Context, id PairID, fence int64, now time.Time, u Update) error
	// SaveProgress replaces the Progress of a pair outside a lease, for a poll that
	// found no work: one conditional write. ErrFenced if the token isn't the one
	// that was read or if a lease is held at now: nothing written.
	SaveProgress(ctx context.Context, id PairID, fence int64, now time.Time, p Progress) error
	// ChangeDesired changes what the operator wants, without a lease.
	ChangeDesired(ctx context.Context, id PairID, d DesiredChange) error

	// Entries returns what is recorded of the objects of a pair.
	Entries(ctx context.Context, id PairID) (Entries, error)
	// Runs returns the newest run records first, at most limit.
	Runs(ctx context.Context, id PairID, limit int) ([]Run, error)
	// Backups returns the backups of a run and of those after it, the oldest part first.
	// Those that are older than BackupAge may be missing.
	Backups(ctx context.Context, id PairID, run string) ([]BackupPart, error)
}

// Update is what a Commit writes, all or nothing.
type Update struct {
	Progress Progress     // replaces the pair's progress
	Entries  Entries      // replace those of the same objects; the zero Entry removes one
	Run      *Run         // run record to set, by its ID; nil leaves it
	Backups  []BackupPart // to add
}

// The most objects that a change of the desired state may name.
const (
	MaxRetryOnly     = 20
	MaxResyncObjects = 20
)

// DesiredChange is what the operator asks for. Nil fields stay as they are.
type DesiredChange struct {
	Stop         *bool
	Reason       *string
	Moved        *string // where the pair was moved to; "" takes that back
	AllowDeletes *int    // for one pass, with At
	// AcceptPrimary accepts that the primary is another organization than before.
	AcceptPrimary   bool
	Resync          *time.Time // ask for a full comparison
	Prune           bool       // with Resync: delete whatever the primary doesn't have
	ResyncObjectsAt *time.Time // ask for a comparison of ResyncObjects, at most MaxResyncObjects
	ResyncObjects   []object.Ref
	Retry           *time.Time   // ask to try unsynced objects again at once
	RetryOnly       []object.Ref // with Retry: these, at most MaxRetryOnly; none means all
	At              time.Time    // when the operator said it
}
