package sqlite_test

import (
	"testing"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/feed/changelog/changelogtest"
	"chefsync/pkg/health"
	"chefsync/pkg/health/healthtest"
	"chefsync/pkg/notify"
	"chefsync/pkg/notify/notifytest"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/storetest"
)

func TestRecords(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() replication.State {
		open := newState(t)
		return func() replication.State { return open() }
	})
}

func TestChangeLogs(t *testing.T) {
	changelogtest.Run(t, func(t *testing.T) func() changelog.ScanStore {
		open := newState(t)
		return func() changelog.ScanStore { return open().ChangeLogs() }
	})
}

func TestHealth(t *testing.T) {
	healthtest.Run(t, func(t *testing.T) func() health.Store {
		open := newState(t)
		return func() health.Store { return open().Health() }
	})
}

func TestNotified(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) func() notify.Store {
		open := newState(t)
		return func() notify.Store { return open().Notified() }
	})
}
