// Package serve serves a journal as updated_since, the change feed that Chef
// Servers had once (docs/chef-server-api.md §2), so that any client of it works
// again: GET /organizations/ORG/updated_since?seq=N answers the rows with an id
// greater than N as [{"action":…,"id":…,"path":…}].
//
// Requests are signed as for a Chef Server, and checked against the public keys
// that the primary itself gives out for its users and clients, or against
// configured ones. Statuses, texts and headers are those of a Chef Server
// (docs/chef-server-api.md §1.3), so that a client can't tell the difference.
//
// What can't be right is refused before anybody is asked. Names whose key isn't
// known yet are looked up on the primary five at once, and then one a second: a
// request beyond that is answered 503 with Retry-After ([Primary]). Configured keys
// need no look-ups.
//
// # What a client that fell behind gets
//
// Rows are kept for a time. A client that asks for a position older than the
// oldest row gets 200 with the rows that are kept, the newest 20,000 at most. The
// published interface knows 200, 401, 403 and 404 only. A 404 would say that
// there is no feed at all, and a client that takes it so keeps its old position
// and never comes back; a new status would be an error that no client
// understands; and asking for somewhat older rows than one needs is no mistake,
// since careful clients read an overlap again. A client that remembers the newest
// row it has seen notices that the row is missing from the answer; the headers
// X-Chef-Sync-Oldest, -Newest and -Epoch say it plainly. A client that does
// neither must be resynchronized by its operator after it was away for longer
// than rows are kept. A journal that was made anew begins with a row
// {"action":"begin","path":"/"} and ids above all that were ever given out, so
// such a client at least goes on with it.
//
// # What is taken back
//
// A row says that an object changed between two scans, not to what. A client that
// reads an object behind a scan, when it changed once more, and is sure of it keeps
// what it read if the object goes back before the next scan, for that one finds
// nothing new. Pairs tell the scanner what they read (package scan); the published
// interface has no way to. Pushes, and a resynchronization now and then, help.
//
// # Large answers
//
// An answer ends at about 4 MB, with whole rows and without a gap: the client has
// the rest with its next poll. X-Chef-Sync-Newest tells that there is more.
package serve
