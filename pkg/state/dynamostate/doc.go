// Package dynamostate keeps the state of replication in one DynamoDB table, with
// large parts as blobs in an object store (design.md §6, §7).
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
package dynamostate
