package replicationtest_test

import (
	"testing"

	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
	"chefsync/pkg/store/storetest"
)

// The stand-in keeps to the contract of what it stands for.
func TestStateKeepsToItsContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() replication.State {
		s := replicationtest.NewState()
		return func() replication.State { return s }
	})
}
