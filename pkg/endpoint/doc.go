// Package endpoint implements the source and the target of replication for an
// organization of a Chef Server, with the client of package chef. It handles how
// Chef Servers are written: different requests to create and to update, sandboxes
// for content, and cookbook writes that are not transactional
// (docs/chef-server-api.md §3, §4).
package endpoint
