// Package store keeps what must outlive a pass: the records of pairs with their
// ledgers and runs, the change logs of sources with what their scans know, and what
// was last seen of servers and processes.
//
// The records are defined here, once. A backend implements only [KV]: it gets,
// queries and writes items, and writes several of them in one conditional
// transaction. Package sqlite keeps the items in a file, package dynamo in a table;
// package kvtest has the suite that both pass.
//
// # Items
//
// An item is named by a partition and a sort key. Its data is JSON. One record is
// one item:
//
//	partition           sort              record
//	PAIRS               REPLICA/ORG       a pair: what is desired, its progress, its lease
//	PAIR#REPLICA/ORG    OBJECT#KIND/NAME  an entry of the ledger
//	PAIR#REPLICA/ORG    RUN#ID            a run
//	SOURCE#NAME         CHANGE#ID         a change of a source
//	SOURCE#NAME         HEAD              the bounds of its change log, the lease of its scanner
//	SOURCE#NAME         MEMORY, PART#N    its scan state, in parts
//	SCANS               NAME              how its newest scan went
//	HEALTH              SERVER#NAME       what was last seen of a server
//	HEALTH              PROCESS#ROLE/ID   what was last seen of a process
//	NOTIFY              STATE             what operators were told
//	STORE               FORMAT            which version of the program laid the items out
//
// # Writing
//
// Every write of a record that others may write depends on the version of the item
// as it was read. A write that finds another version reads again and decides again.
// A store remembers the newest item of each pair that it has read or written, so a
// write seldom has to read first; a stale one costs one read more and nothing else.
//
// A commit of a pass that changes more records than a transaction takes is written
// in several: entries of the ledger first, the progress last, and each transaction
// checks that the lease is still the same. An entry says what was written to the
// replica, which is true whether or not the progress followed: a pass that dies in
// between leaves its intended writes in the progress, and the next one compares
// these objects again.
package store
