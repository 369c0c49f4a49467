// Package serve serves a change log as updated_since, the change feed that Chef
// Servers had once (docs/chef-server-api.md §2), so that any client of it works
// again: GET /organizations/ORG/updated_since?seq=N answers the rows with an id
// greater than N as [{"action":…,"id":…,"path":…}].
//
// Requests are signed as for a Chef Server, and checked against the public keys
// that the primary itself gives out for its users and clients, or against
// configured ones. Statuses, texts and headers are those of a Chef Server
// (docs/chef-server-api.md §1.3), so that a client can't tell the difference.
//
// Requests that can't be valid are refused before the primary is asked. Names whose
// key isn't known yet are looked up on the primary five at once, and then one a second:
// a request beyond that is answered 503 with Retry-After ([Primary]). Configured keys
// need no look-ups.
//
// # Clients that fell behind
//
// Rows are kept for a time. A client that asks for a position older than the
// oldest row gets 200 with the rows that are kept, the newest 20,000 at most. The
// published interface has 200, 401, 403 and 404 only. A 404 would mean that there is
// no feed at all, and a client that takes it so keeps its old position and never
// recovers; a new status would be an error that no client understands; and asking for
// somewhat older rows than needed is no mistake, since careful clients read an overlap
// again. A client that remembers the newest row it has seen notices that the row is
// missing from the answer; the headers X-Chef-Sync-Oldest, -Newest and -Epoch say it
// explicitly. A client that does neither must be resynchronized by its operator after
// it was away for longer than rows are kept. A change log that was created again begins
// with a row {"action":"begin","path":"/"} and ids above all earlier ones, so such a
// client at least continues with it.
//
// # Changes that are reverted between two scans
//
// A row says that an object changed between two scans, not to what. A client that
// reads an object after a scan, when it changed once more, keeps what it read if the
// change is reverted before the next scan, for that scan finds nothing new. Pairs
// notice it (package scan); clients of the published interface can't. Pushes, and a
// regular resynchronization, help.
//
// # Large answers
//
// An answer ends at about 4 MB or 20,000 rows, with whole rows and without a gap: the
// client gets the rest with its next poll. X-Chef-Sync-Newest is the id of the newest row.
package serve
