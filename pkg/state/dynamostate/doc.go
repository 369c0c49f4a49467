// Package dynamostate keeps the state of replication in one DynamoDB table, with
// large parts as blobs in an object store.
//
// # Items
//
// An item is named by a partition key pk and a sort key sk, both strings.
//
//	pk                 sk             what
//	pairs              REPLICA/ORG    the record of a pair: the hot item
//	pair#REPLICA/ORG   detail         parts of its progress that would make it large
//	pair#REPLICA/ORG   log#base       inventory and unsynced objects at a generation
//	pair#REPLICA/ORG   log#G#N        what commit N changed after generation G
//	pair#REPLICA/ORG   run#ID         a run record, which expires
//	journal#SOURCE     row#ID         rows written together, ID the newest of them
//	journal#SOURCE     top            the head of a journal
//	scans              SOURCE         how the newest scan went
//
// All hot items are one partition, so that [State.Pairs] is one query and needs
// neither a scan nor an index, which would double the price of every write. A
// partition takes 1,000 writes a second, which is 60,000 polls a minute.
//
// # Inventory and unsynced objects
//
// Both are maps, and are kept as a log: a commit adds one small item with what
// it changed. When these items are many or large, the commit folds them: it
// writes the maps anew, as blobs or, while they are small, into the base item,
// and moves the pair to the next generation. The hot item says which generation
// and which N are valid; everything else under log# is left over and ignored.
// So a commit is one transaction of at most five items, however many objects it
// names, and one changed object never rewrites the whole inventory.
//
// A blob is written before the commit that refers to it and never overwritten.
// Its key is noted in the hot item first, so that a crash in between leaves no
// blob behind for ever. A blob that a fold replaced is removed by the next fold.
//
// # Journals
//
// A journal ([Journals]) is a partition. The head has the epoch, the oldest and
// the next id, the scanner's lease, and the pointer to its memory. A write of up
// to 91 rows is one item beside it, so an Append is one transaction of two items.
// It depends on the next id as it was read, which only ever grows: so ids are
// contiguous, and a transaction that is sent twice, or arrives late, is refused.
// Rows carry the name of their write, by which a writer whose answer was lost
// finds out that they are its own.
//
// The key of rows has the newest of their ids, and the head sorts behind them:
// one query from an id on reads the item that holds it, all later ones, and the
// head. That is all an empty poll costs.
//
// Rows have no time to live. DynamoDB would drop the newest row of a journal in
// which nothing happens, and with a scanner that is away, rows that the head
// still counts: a hole. Trim is the truth instead. It first moves the oldest id,
// after which nobody reads what lies before, and then removes the items. What a
// crash leaves over there is the first that the next Trim reads, and removes.
//
// The memory of a scanner is a blob. Its key is noted in the head before it is
// written, and the commit that refers to it makes all other keys garbage, which
// the next commit with a blob removes. So does the next one with what a crash
// left noted, once the lease has another fencing token.
//
// How the newest scan went has an item of its own. A scan that found nothing
// writes no other item that could hold it, and a failure in the head would be
// read by every poll, and wait for the writers of rows. These items are one
// partition, so that the manager reads those of all sources with one query.
package dynamostate
