package main

import (
	"fmt"
	"time"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// scanLate is how many scans may be missed before that is said.
const scanLate = 5

// seeScans is what to try when nobody scans.
const seeScans = "see that chef-sync-ctl run or serve-changes is at work"

// scanned adds what the newest scan says of a pair that reads the journal: the
// pair knows no more than the scans do, so it isn't synced to a later time than
// the last good one. Late is how long ago a scan must be for that to be said.
func (r *statusRow) scanned(last journal.LastScan, late time.Duration, now time.Time) {
	if last.Ended.IsZero() {
		return // not since the diary is kept
	}
	r.LastScan = &last
	if r.LagSeconds != nil && last.Failures > 0 && !last.Good.IsZero() && last.Good.Before(r.LastSuccess) {
		r.LagSeconds = ptr(int64(now.Sub(last.Good) / time.Second))
	}
	if r.Note != "" || r.Status != replication.Synced {
		return // there is worse to say
	}
	switch {
	case last.Failures > 0:
		r.Status = replication.Retrying
		if c := last.Class; c == replication.Denied || c == replication.Foreign || c == replication.Local {
			r.Status = replication.Blocked
		}
		r.Note, r.Hint = "the primary can't be scanned for changes: "+last.Error, last.Hint
		if !last.Good.IsZero() {
			r.Note = fmt.Sprintf("the primary can't be scanned for changes since %s: %s", ui.Stamp(last.Good), last.Error)
		}
	case now.Sub(last.Ended) > late:
		r.Note, r.Hint = "the primary was last scanned for changes "+ui.Age(last.Ended, now), seeScans
	case last.Partial > 0:
		r.Note, r.Hint = fmt.Sprintf("the last scan could not read all of the primary: %d lists or objects", last.Partial), "chef-sync-ctl manager-log"
	}
}
