// Package e2e proves replication from end to end: configuration, Chef Server
// client, endpoints, feed, engine, state and stage as the program wires them,
// between in-memory Chef Servers and, where asked for, real ones.
package e2e
