// Package contract states what we believe about Chef Servers, as tests: each
// belief is a named subtest of [Run]. The suite runs against the in-memory
// server of package cheftest, which keeps the fake honest, and against real
// servers, which keeps the beliefs honest.
//
// Where a real server is known to differ, the difference is listed with its
// reason; a listed belief must fail there, or the list is out of date.
package contract
