package main

import (
	"strings"
	"testing"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// TestAPairIsNotCalledWellWhenNobodyScans, and what to try fits where it runs.
func TestAPairIsNotCalledWellWhenNobodyScans(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	const late = 10 * time.Minute
	for _, c := range []struct {
		ended   time.Duration // ago
		onStack bool
		note    string
		hint    string
	}{
		{late, false, "", ""},
		{late + time.Second, false, "last scanned for changes", "chef-sync-ctl run or serve-changes"},
		{late, true, "", ""},
		{late + time.Second, true, "last scanned for changes", "chef-sync-ctl doctor"},
	} {
		row := statusRow{Status: replication.Synced}
		row.scanned(journal.LastScan{Ended: now.Add(-c.ended), Good: now.Add(-c.ended)}, late, now)
		if c.onStack {
			row.onStack()
		}
		if (row.Note == "") != (c.note == "") || !strings.Contains(row.Note, c.note) || !strings.Contains(row.Hint, c.hint) {
			t.Errorf("%+v: note %q, hint %q", c, row.Note, row.Hint)
		}
	}
}
