// Package scan finds what changed in an organization of a primary that serves no
// change feed, and records it in the organization's change log (package changelog).
//
// A scan reads as little as it safely can (docs/chef-server-api.md §6): the names in
// the lists are authoritative; the bodies of roles, environments and data bag items
// come in bulk from search, and each listed object that search didn't return is read
// with a request of its own; cookbook versions are compared by fingerprint, new and
// unfrozen ones in every scan, frozen ones by rotation, so that each is read once
// within a configured time; for policies, policy groups and cookbook artifacts the
// lists are enough. The result is compared with the scan state, a map of objects to
// fingerprints.
//
// A name that is gone from its list is recorded as deleted if the server also
// answers 404 for the object, or if it is missing from two successful scans in a
// row. A list that can't be read changes nothing for its kind; the scan continues
// with the other kinds.
//
// A scanner holds the change log's lease from before its first request to its last
// write, and renews it, so scans of an organization never overlap: a scan that is
// started during another one returns at once. Only scanners take the lease; other
// writers append rows without it.
//
// Rows and scan state are written in one atomic write. Rows beyond the size of one
// write are written before it; a scanner that is killed in between repeats them. So rows
// may be duplicated, but are never lost.
//
// A change that is reverted between two scans leaves no row, but a reader may have
// read the object in between. Therefore the scan state is also a snapshot
// ([replication.Snapshot]) with a generation, which a reader compares with its
// ledger.
//
// The first scan fills the scan state and begins the change log, without rows: a reader
// compares everything after it has taken a position in the change log.
//
// A scan, also the first one, that is interrupted by its deadline, by the end of its
// process or by the loss of its lease keeps what it read. Only if the process is
// killed is its work repeated, when the lease has expired. The next scan first reads
// the objects that no scan has read yet and adds a row for each: they may have
// changed since the change log began.
package scan
