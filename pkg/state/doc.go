// Package state keeps what must outlive a pass: the records of the pairs, their
// inventories, unsynced objects and runs.
//
// [SQLite] is the embedded implementation of [replication.State]: one file, for
// the daemon and the command line on one machine at once. Package statetest has
// the suite that every implementation passes.
package state
