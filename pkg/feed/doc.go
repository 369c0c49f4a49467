// Package feed reads the change feed of a primary: GET /updated_since, which
// names the objects that changed since a number (docs/chef-server-api.md §2).
//
// Only the outline of that interface was ever published, and hardly a server
// serves it. So rows are hints: a path that is understood names an object, a
// half-understood one a whole kind, an unknown one everything; and whatever
// isn't a feed without doubt is reported as replication.ErrNoFeed, never as an
// empty list of changes.
package feed
