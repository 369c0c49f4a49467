// Package scan finds what changed in an organization of a primary that serves no
// change feed, and notes it in the organization's journal (package journal).
//
// A scan reads little and believes only what is sound (docs/chef-server-api.md §6):
// the names in the lists are the truth; the bodies of roles, environments and
// data bag items come in bulk from search, and each listed name that search
// didn't return is read alone; cookbook versions are compared by fingerprint,
// new and unfrozen ones in every scan, frozen ones in turn, so that each is
// read once within a configured time; of policies, policy groups and cookbook
// artifacts the lists tell all. What was found is compared with the
// scanner's memory: object → fingerprint.
//
// A name that is gone from its list is noted as deleted when the server also
// answers 404 for the object, or when it is missing from two successful scans in
// a row. A list that can't be read says nothing about its kind; the other kinds
// go on.
//
// A scanner holds the journal's lease from before its first request to the last
// write, and renews it meanwhile, so scans of an organization never overlap: whoever
// comes during one leaves again. The lease is the scanner's alone; rows are noted by
// others without it.
//
// Rows and memory are written in one atomic step. Rows beyond the size of one
// step are written before it; a scanner killed in between repeats them. So rows
// may come twice, and never get lost.
//
// What changes and changes back between two scans leaves no trace in them, yet a
// reader may have looked in between. So the memory is also a snapshot
// ([replication.Snapshot]) with a generation, which a reader compares with its
// ledger: what it read in between differs.
//
// The first scan fills the memory and begins the journal, without rows: whoever
// takes a position in the journal compares everything after it was taken.
//
// A scan that is interrupted, the first one included, keeps what it saw: by the end of
// its time or of its process, or by the loss of its lease. Only what a process that was
// killed saw is seen again, when its lease has ended. The
// next one reads first what no scan has read yet, and notes it: it may have changed
// since the journal began.
package scan
