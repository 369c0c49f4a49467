// Package stage holds the content of cookbook files between the primary and the
// replicas, so that each file is read from the primary once, however many
// replicas need it and however often a pass is interrupted.
//
// [Dir] is the embedded implementation of [replication.Stage]: a folder for any
// number of processes on one machine. Package stagetest has the suite that every
// implementation passes. A stage is a cache: what it loses is read again.
package stage
