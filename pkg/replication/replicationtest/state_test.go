package replicationtest_test

import (
	"testing"

	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
	"chefsync/pkg/store/storetest"
)

// TestState runs the tests of all implementations.
func TestState(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() replication.State {
		s := replicationtest.NewState()
		return func() replication.State { return s }
	})
}
