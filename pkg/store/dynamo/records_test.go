package dynamo_test

import (
	"testing"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/replication"
	"chefsync/pkg/state/statetest"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
)

func TestRecords(t *testing.T) {
	c := dynamotest.Start(t)
	statetest.Run(t, func(t *testing.T) func() replication.State {
		table := createTable(t, c)
		return func() replication.State { return store.New(dynamo.Open(c, table)) }
	})
}
