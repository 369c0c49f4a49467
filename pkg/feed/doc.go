// Package feed reads the change feed of a primary: GET /updated_since, which
// names the objects that changed since a number (docs/chef-server-api.md §2).
//
// Only the outline of that interface was ever published, and hardly any server
// implements it. So rows are hints: a path names an object if it is understood, a whole
// kind if only its collection is, and everything otherwise; and what isn't certainly a
// feed is reported as replication.ErrNoFeed, never as an empty list of changes.
package feed
