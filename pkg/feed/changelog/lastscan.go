package changelog

import (
	"context"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// LastScan is the result of the newest scan of a source, for status and alarms: rows
// don't show whether scans still run. It is zero for a source that was never scanned.
type LastScan struct {
	Ended time.Time `json:"ended"`
	// Good is when the newest scan without Error began: scans have read all changes on
	// the primary before it, except those of the kinds in Unread.
	Good    time.Time   `json:"good,omitzero"`
	Listed  int         `json:"listed"`  // objects on the primary
	Changes int         `json:"changes"` // rows written
	Partial int         `json:"partial"` // lists and objects that could not be read
	Error   string      `json:"error,omitempty"`
	Class   fault.Class `json:"class,omitempty"` // of Error
	Hint    string      `json:"hint,omitempty"`
	// Failures is the number of consecutive scans that ended with an Error, FailingSince
	// when the first of them ended.
	Failures     int       `json:"failures,omitempty"`
	FailingSince time.Time `json:"failing_since,omitzero"`
	// Unread are the kinds that the newest scan could not read completely, by kind.
	Unread []Unread `json:"unread,omitempty"`
	// Epoch and Newest are those of the change log's head as of the newest scan that
	// read it, and Generation that of the snapshot.
	Epoch      string `json:"epoch,omitempty"`
	Newest     int64  `json:"newest,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}

// AppliedBy reports whether a pair has applied everything that the newest scan left in
// the change log and the snapshot.
func (s LastScan) AppliedBy(p replication.Progress) bool {
	at := p.Position
	return s.Epoch != "" && at != nil && at.Epoch == s.Epoch && at.Seq >= s.Newest && !at.Snapshot.Due(s.Generation, at.Snapshot.Scans)
}

// Unread is a kind that scans can't read completely.
type Unread struct {
	Kind    object.Kind `json:"kind"`
	Since   time.Time   `json:"since,omitzero"`   // start of the newest scan that read all of it; zero: none did
	Failing time.Time   `json:"failing,omitzero"` // start of the first scan that didn't
	Error   string      `json:"error"`
	Class   fault.Class `json:"class,omitempty"`
	Hint    string      `json:"hint,omitempty"`
}

// ReadUpTo returns the time until which scans have read all changes on the primary, zero
// if some objects were never read.
func (s LastScan) ReadUpTo() time.Time {
	oldest := s.Good
	for _, u := range s.Unread {
		if u.Since.Before(oldest) {
			oldest = u.Since
		}
	}
	return oldest
}

// BehindSince returns ReadUpTo or, if that is zero, when the first scan failed. It is zero
// if no scan is known.
func (s LastScan) BehindSince() time.Time {
	if at := s.ReadUpTo(); !at.IsZero() {
		return at
	}
	at := s.FailingSince
	for _, u := range s.Unread {
		if !u.Failing.IsZero() && (at.IsZero() || u.Failing.Before(at)) {
			at = u.Failing
		}
	}
	return at
}

// LastScanStore stores the LastScan of each source, without a lease.
type LastScanStore interface {
	// RecordScan replaces the record of a source. The last write wins.
	RecordScan(ctx context.Context, source string, s LastScan) error
	// LastScan returns the record of a source, zero if there is none.
	LastScan(ctx context.Context, source string) (LastScan, error)
	// LastScans returns the records of all sources, by source, with few requests. With an
	// error the result may lack some of them.
	LastScans(ctx context.Context) (map[string]LastScan, error)
}
