package transfer

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// sameRecords reports whether the records of two pairs are equal, as far as every state
// keeps them: the text of the last error may be truncated. Whether a pair is stopped, why and
// since when, belongs to each state.
func sameRecords(a, b Pair) bool {
	left, leftErr := comparableJSON(a)
	right, rightErr := comparableJSON(b)
	return leftErr == nil && rightErr == nil && bytes.Equal(left, right)
}

// comparableJSON returns the JSON by which records are compared.
func comparableJSON(p Pair) ([]byte, error) {
	p.Desired.Stopped, p.Desired.Reason, p.Desired.Since, p.Progress.LastError = false, "", time.Time{}, nil
	if len(p.Inventory) == 0 {
		p.Inventory = nil
	}
	p.Unsynced = slices.SortedFunc(slices.Values(p.Unsynced), func(a, b replication.Unsynced) int { return object.Compare(a.Ref, b.Ref) })
	return json.Marshal(p)
}
