// Package canonical decides when two objects of Chef Servers are equal. It
// turns the JSON of a server's answer into one canonical form for each kind of
// object, and the canonical form into a short fingerprint.
//
// Two bodies have the same canonical form when a Chef client couldn't tell
// them apart: key order, white space, the spelling of strings and numbers, file
// URLs, the order of a cookbook's files, the manifest format, and defaults that
// one server writes out and another leaves out do not matter. Everything else
// does.
//
// A canonical form is itself JSON: compact, keys sorted by their bytes, no
// HTML escapes, UTF-8 as it is. It serves comparison and display. It must
// never be written to a server, since it isn't what the primary holds.
//
// The package uses the standard library only and keeps no state.
package canonical
