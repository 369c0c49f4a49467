package kvtest_test

import (
	"testing"

	"chefsync/pkg/replication"
	"chefsync/pkg/state/statetest"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
)

func TestRecordsInMemory(t *testing.T) {
	statetest.Run(t, func(*testing.T) func() replication.State {
		m := &kvtest.Memory{}
		return func() replication.State { return store.New(m) }
	})
}
