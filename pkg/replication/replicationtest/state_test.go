package replicationtest_test

import (
	"testing"

	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
	"chefsync/pkg/stage/stagetest"
	"chefsync/pkg/state/statetest"
)

// The stand-ins keep to the contracts of what they stand for.
func TestStateKeepsToItsContract(t *testing.T) {
	statetest.Run(t, func(*testing.T) func() replication.State {
		s := replicationtest.NewState()
		return func() replication.State { return s }
	})
}

func TestStageKeepsToItsContract(t *testing.T) {
	stagetest.Run(t, func(*testing.T) replication.Stage { return &replicationtest.Stage{} })
}
