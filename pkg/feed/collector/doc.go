// Package collector receives the messages that a Chef Server posts to a data
// collector after each change (docs/chef-server-api.md §14), and records the changes in
// the change log of the organization, so that they reach the replicas within seconds.
//
// Only the names in a message are read: of the organization and the object. The
// object's content, data bag values included, is skipped by the decoder, except for the
// name of an environment, which may have been renamed. Messages are hints and may get
// lost; the scanner finds what they missed.
package collector
