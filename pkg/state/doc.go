// Package state keeps what must outlive a pass: the records of the pairs, their
// inventories, unsynced objects and runs, and the log lines of one machine.
//
// [SQLite] is the embedded implementation of [replication.State]: one file, for
// the daemon and the command line on one machine at once. Package statetest has
// the suite that every implementation passes.
//
// The log lives in a file of its own beside the state (see [LogPath]). SQLite
// has one writer at a time and every commit of state waits for the disk; a busy
// log in the same file would stand in its way. Apart, a full, damaged or deleted
// log can't harm the state, and the log may skip the wait for the disk.
package state
