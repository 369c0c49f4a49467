package sqlite_test

import (
	"testing"

	"chefsync/pkg/replication"
	"chefsync/pkg/state/statetest"
	"chefsync/pkg/store"
)

func TestRecords(t *testing.T) {
	statetest.Run(t, func(t *testing.T) func() replication.State {
		open := newDB(t)
		return func() replication.State { return store.New(open()) }
	})
}
