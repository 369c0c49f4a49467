// Package collector receives the messages that a Chef Server posts to a data
// collector after each change (docs/chef-server-api.md §14), and notes what changed
// in the organization's journal. It is how a change reaches the replicas within
// seconds.
//
// Of a message only the names are read: which organization, which object. The
// object's content, data bag values included, passes through a decoder that
// keeps none of it. Messages are hints and may get lost; the scanner finds what
// they missed.
package collector
