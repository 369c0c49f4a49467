// Package replication is the core of Chef Replication: the terms of the
// domain, the planner, and the engine that carries changes from one
// organization of a primary Chef Server to one organization of a replica.
//
// The package uses the standard library and golang.org/x/sync only. It declares the
// interfaces that it needs ([Feed], [Source], [Target], [Stage], [State]) and knows
// nothing of HTTP, SQL or AWS; adapters live in their own packages.
//
// A [Pair] is one source organization and one destination organization on one
// replica. One run of the [Engine] for one pair is a pass. A pass reads hints
// of change from a feed, observes what the primary holds now, plans (a pure
// function), applies the plan to the replica and records what it did. What
// counts is the state of the primary when an object is fetched, never the row
// that named it, so repeated, reordered or missing rows do no harm.
package replication
