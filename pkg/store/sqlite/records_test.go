package sqlite_test

import (
	"testing"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/journal/journaltest"
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

func TestJournals(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) func() journal.ScanStore {
		open := newState(t)
		return func() journal.ScanStore { return open().Journals() }
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
