package kvtest_test

import (
	"testing"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/changelog/changelogtest"
	"chefsync/pkg/health"
	"chefsync/pkg/health/healthtest"
	"chefsync/pkg/notify"
	"chefsync/pkg/notify/notifytest"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/kvtest"
	"chefsync/pkg/store/storetest"
)

func TestRecordsInMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() replication.State {
		m := &kvtest.Memory{}
		return func() replication.State { return store.New(m) }
	})
}

func TestChangeLogsInMemory(t *testing.T) {
	changelogtest.Run(t, func(*testing.T) func() changelog.ScanStore {
		m := &kvtest.Memory{}
		return func() changelog.ScanStore { return store.New(m).ChangeLogs() }
	})
}

func TestHealthInMemory(t *testing.T) {
	healthtest.Run(t, func(*testing.T) func() health.Store {
		m := &kvtest.Memory{}
		return func() health.Store { return store.New(m).Health() }
	})
}

func TestNotifiedInMemory(t *testing.T) {
	notifytest.Run(t, func(*testing.T) func() notify.Store {
		m := &kvtest.Memory{}
		return func() notify.Store { return store.New(m).Notified() }
	})
}
