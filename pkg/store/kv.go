package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"
)

// KV keeps items. Implementations are safe for concurrent use, by any number of
// processes. Reads are consistent: they show every write that has returned before.
//
// Errors other than [ErrConflict] and that of an ended context are of type
// *fault.Error with a class and a hint; the caller adds the operation.
type KV interface {
	// Get returns an item. One that is absent has the Version "".
	Get(ctx context.Context, key Key) (Item, error)
	// Query returns the items that match, sorted by their sort keys in bytes.
	Query(ctx context.Context, q Query) ([]Item, error)
	// Transact does up to [MaxWrites] writes, all or none, of which no two may name
	// one item, and returns the version that it gave to the items that it put. It
	// returns ErrConflict, and writes nothing, when a condition isn't met. After any
	// other error it isn't known whether the writes were done, or will be.
	Transact(ctx context.Context, writes ...Write) (version string, err error)
}

// Limits of a KV.
const (
	MaxWrites = 100       // of one transaction
	MaxData   = 300_000   // bytes of data that every implementation takes
	MaxKey    = 1000      // bytes of a sort key
	maxTotal  = 3_000_000 // bytes of data of one transaction
)

// ErrConflict means that an item isn't at the version that a write depends on.
var ErrConflict = errors.New("somebody else wrote the record")

// Key names an item.
type Key struct{ Partition, Sort string }

// Item is a record as it is stored.
type Item struct {
	Key
	// Version changes with each write of the item and never comes back. It is ""
	// for an item that is absent.
	Version string
	Data    []byte // JSON
	// Expires is when the item may be removed; zero is never. One that has expired
	// may still be returned.
	Expires time.Time
}

// Query selects items of a partition with sort keys from From to To, both included.
type Query struct {
	Partition string
	From, To  string
	Reverse   bool // the largest sort key first
	Limit     int  // the maximum number; 0 is no limit
}

// Prefix returns the query for all items of a partition whose sort keys begin with
// a prefix.
func Prefix(partition, prefix string) Query {
	return Query{Partition: partition, From: prefix, To: prefix + "\U0010FFFF"}
}

// Write is one write of a transaction.
type Write struct {
	Op   Op
	Item Item // of a delete or a check only the key and the version count
	// Conditional makes the transaction depend on the stored item being at
	// Item.Version, or absent if that is "". A check always does.
	Conditional bool
}

// Op says what a write does.
type Op int

// The operations.
const (
	OpPut    Op = iota // create or replace
	OpDelete           // an absent item is no error
	OpCheck            // write nothing
)

// Put returns the write that replaces an item, whatever is there.
func Put(it Item) Write { return Write{Op: OpPut, Item: it} }

// Replace returns the write that replaces an item at the version that it has.
func Replace(it Item) Write { return Write{Op: OpPut, Item: it, Conditional: true} }

// Delete returns the write that removes an item, whatever is there.
func Delete(k Key) Write { return Write{Op: OpDelete, Item: Item{Key: k}} }

// Check returns the condition that an item is at the version that it has.
func Check(it Item) Write {
	return Write{Op: OpCheck, Item: Item{Key: it.Key, Version: it.Version}, Conditional: true}
}

// NewVersion returns a version for the items of a transaction.
func NewVersion() string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawStdEncoding.EncodeToString(b[:])
}
