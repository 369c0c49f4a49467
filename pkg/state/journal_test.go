package state_test

import (
	"path/filepath"
	"testing"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/feed/journal/journaltest"
)

func TestSQLiteKeepsJournals(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) func() journal.ScanStore {
		path := filepath.Join(t.TempDir(), "state.db")
		return func() journal.ScanStore { return open(t, path).Journals() }
	})
}
