package dynamo_test

import (
	"testing"

	"chefsync/pkg/cloud/dynamotest"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/changelog/changelogtest"
	"chefsync/pkg/health"
	"chefsync/pkg/health/healthtest"
	"chefsync/pkg/notify"
	"chefsync/pkg/notify/notifytest"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/dynamo"
	"chefsync/pkg/store/storetest"
)

func TestRecords(t *testing.T) {
	c := dynamotest.Start(t)
	storetest.Run(t, func(t *testing.T) func() replication.State {
		table := createTable(t, c)
		return func() replication.State { return store.New(dynamo.Open(c, table)) }
	})
}

func TestChangeLogs(t *testing.T) {
	c := dynamotest.Start(t)
	changelogtest.Run(t, func(t *testing.T) func() changelog.ScanStore {
		table := createTable(t, c)
		return func() changelog.ScanStore { return store.New(dynamo.Open(c, table)).ChangeLogs() }
	})
}

func TestHealth(t *testing.T) {
	c := dynamotest.Start(t)
	healthtest.Run(t, func(t *testing.T) func() health.Store {
		table := createTable(t, c)
		return func() health.Store { return store.New(dynamo.Open(c, table)).Health() }
	})
}

func TestNotified(t *testing.T) {
	c := dynamotest.Start(t)
	notifytest.Run(t, func(t *testing.T) func() notify.Store {
		table := createTable(t, c)
		return func() notify.Store { return store.New(dynamo.Open(c, table)).Notified() }
	})
}
