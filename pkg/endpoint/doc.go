// Package endpoint makes one organization of a Chef Server the source or the
// target of replication. It joins the client (package chef), the equality of
// objects (package canonical) and the interfaces of the engine (package
// replication), and knows the ways in which Chef Servers must be written to:
// two calls for an upsert, sandboxes for content, cookbook writes that are not
// transactional (docs/chef-server-api.md §3, §4).
package endpoint
