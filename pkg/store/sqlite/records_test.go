package sqlite_test

import (
	"testing"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/journal/journaltest"
	"chefsync/pkg/health"
	"chefsync/pkg/health/healthtest"
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

func TestJournals(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) func() journal.ScanStore {
		open := newDB(t)
		return func() journal.ScanStore { return store.New(open()).Journals() }
	})
}

func TestHealth(t *testing.T) {
	healthtest.Run(t, func(t *testing.T) func() health.Store {
		open := newDB(t)
		return func() health.Store { return store.New(open()).Health() }
	})
}
