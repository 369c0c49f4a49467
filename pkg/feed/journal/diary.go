package journal

import (
	"context"
	"time"

	"chefsync/pkg/replication"
)

// LastScan is how the newest scan of a source went, for people: rows don't tell
// whether anybody still looks. The zero LastScan is of a source never scanned.
type LastScan struct {
	Ended   time.Time         `json:"ended"`
	Good    time.Time         `json:"good,omitzero"` // end of the newest scan without Error
	Listed  int               `json:"listed"`        // objects on the primary
	Changes int               `json:"changes"`       // rows noted
	Partial int               `json:"partial"`       // lists and objects that could not be read
	Error   string            `json:"error,omitempty"`
	Class   replication.Class `json:"class,omitempty"` // of Error
	Hint    string            `json:"hint,omitempty"`
	// Failures counts the scans in a row that ended with an Error.
	Failures int `json:"failures,omitempty"`
}

// Diary keeps the LastScan of each source. It needs no lease, and stands in
// nobody's way.
type Diary interface {
	// NoteScan replaces the record of a source. The last writer wins.
	NoteScan(ctx context.Context, source string, s LastScan) error
	// LastScan returns the record of a source, zero if there is none.
	LastScan(ctx context.Context, source string) (LastScan, error)
}
