package dynamostate

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"chefsync/pkg/replication"
)

// API is the part of [dynamodb.Client] that is used.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
}

// Blobs keeps what is too large for an item. Keys are made of the characters
// that [PairPrefix] and [JournalPrefix] give; each is written once. A blob that was put
// is there until it is deleted: nothing else may expire it.
type Blobs interface {
	// Put stores a blob, whose SHA-256 is sum. Putting the same again is success.
	Put(ctx context.Context, key string, data []byte, sum [32]byte) error
	// Get returns a blob, or replication.ErrNotStaged if it isn't there, or
	// replication.ErrContentMismatch if its SHA-256 isn't sum.
	Get(ctx context.Context, key string, sum [32]byte) ([]byte, error)
	// Delete drops a blob; absent is success.
	Delete(ctx context.Context, key string) error
}

// RunAge is how long run records are kept unless [WithRunAge] says otherwise.
const RunAge = 30 * 24 * time.Hour

// State is a [replication.State] in a DynamoDB table. It is safe for concurrent
// use, and so is the table for any number of processes.
//
// What operations cost when all goes well, in requests. Items below 1 KB, which
// the record of a pair nearly always is, cost one write unit, and two in a
// transaction.
//
//   - Pair: one GetItem, two while a pass is at work on many objects.
//   - Note, Release: one UpdateItem. Acquire, Renew: one UpdateItem, and one
//     GetItem while the progress has a detail item.
//   - Direct: one GetItem and one UpdateItem.
//   - Commit: one GetItem and one TransactWriteItems of at most four items; of
//     the progress alone one UpdateItem. A commit that folds the log, about one
//     in sixty, adds a Query, an UpdateItem, a BatchWriteItem for each 25 log
//     items, and, when the maps are large, a read, a write and a removal of each
//     blob.
//   - Inventory, Unsynced: one GetItem and one Query, and a blob when large.
//   - Runs, Pairs: one Query for each MB.
//
// A refused write costs one GetItem to find the reason where DynamoDB doesn't
// return the item.
type State struct {
	api    API
	table  string
	blobs  Blobs
	runAge time.Duration
	sizes  sizes
	sleep  func(ctx context.Context, d time.Duration) error
}

var _ replication.State = (*State)(nil)

// sizes bound what goes where. All but the counts are bytes.
type sizes struct {
	hot      int   // packed progress up to which all of it stays in the hot item
	detail   int   // most of a detail item or a run
	inline   int   // packed map up to which it stays in the base item
	delta    int   // packed log item above which a commit folds
	logBytes int64 // log items together
	logCount int64
}

// standard keeps the hot item below 1 KB, a log within the 1 MB of a page, and
// every item far below the 400 KB that DynamoDB takes.
func standard() sizes {
	return sizes{hot: 700, detail: 256 << 10, inline: 16 << 10, delta: 32 << 10, logBytes: 96 << 10, logCount: 64}
}

// Option changes a [State].
type Option func(*State)

// WithRunAge makes run records expire after d; DynamoDB removes them within days
// of it.
func WithRunAge(d time.Duration) Option { return func(s *State) { s.runAge = max(d, time.Hour) } }

// WithSleep replaces how the pauses between attempts are waited for.
func WithSleep(sleep func(ctx context.Context, d time.Duration) error) Option {
	return func(s *State) { s.sleep = sleep }
}

// Open returns the state in a table that has [Definition]. It sends nothing.
// The client's retryer takes care of throttling; conflicts of transactions and
// partial answers are retried here.
func Open(client API, table string, blobs Blobs, options ...Option) *State {
	s := &State{api: client, table: table, blobs: blobs, runAge: RunAge, sizes: standard(), sleep: pause}
	for _, o := range options {
		o(s)
	}
	return s
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
