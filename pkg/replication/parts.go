package replication

import (
	"errors"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/object"
)

// Checking is a verification that a schedule started and that isn't finished. One
// that doesn't fit the time of its process is done in parts: each goes on behind
// the last object that the one before compared.
type Checking struct {
	Started time.Time `json:"started"` // of the first part
	// At is the last heartbeat of the part under way, zero when none is, and Owner
	// its process. While that may still be running no other part is started.
	At    time.Time `json:"at,omitzero"`
	Owner string    `json:"owner,omitempty"`
	// FailedAt is when the newest part failed, zero when it did not.
	FailedAt time.Time           `json:"failed_at,omitzero"`
	After    string              `json:"after,omitempty"` // the last object compared, in the order of application
	Equal    map[object.Kind]int `json:"equal,omitempty"`
	// Differ counts differences that were left, Unreadable what could not be read.
	Differ     int   `json:"differ,omitempty"`
	Unreadable int   `json:"unreadable,omitempty"`
	Drift      Drift `json:"drift,omitzero"`
}

// verifyRetry is the time after which a part that failed is tried again.
const verifyRetry = 10 * time.Minute

// startedAt is when the first part began.
func (v *verification) startedAt() time.Time {
	if c := v.report.Earlier; c != nil {
		return c.Started
	}
	return v.report.At
}

// remainingRefs are the objects that no earlier part compared.
func (v *verification) remainingRefs() []object.Ref {
	refs := slices.SortedFunc(maps.Keys(v.source.refs), object.Compare)
	if v.report.Earlier == nil {
		return refs
	}
	after, err := object.ParseRef(v.report.Earlier.After)
	if err != nil {
		v.report.Earlier = nil // it can't be gone on with
		return refs
	}
	return slices.DeleteFunc(refs, func(r object.Ref) bool { return object.Compare(r, after) <= 0 })
}

// endsPart reports whether an error ends this part of a verification, which the next part
// then goes on with.
func (v *verification) endsPart(err error) bool {
	ended := errors.Is(err, errDeadline) || errors.Is(err, errDrained)
	return ended && v.options.Trigger == TriggerSchedule && v.after != ""
}

// addEarlier adds what the earlier parts found to what this one did.
func (v *verification) addEarlier(d Drift) Drift {
	if c := v.report.Earlier; c != nil {
		d.Changed += c.Drift.Changed
		d.Missing += c.Drift.Missing
		d.Extra += c.Drift.Extra
		d.Repaired += c.Drift.Repaired
	}
	return d
}

// partDone is the record for the part that comes next.
func (v *verification) partDone(d Drift) *Checking {
	c := Checking{Started: v.startedAt(), After: v.after, Equal: v.equalOf, Drift: d,
		Differ: len(v.report.Differences), Unreadable: len(v.report.Unreadable)}
	if e := v.report.Earlier; e != nil {
		c.Differ += e.Differ
		c.Unreadable += e.Unreadable
	}
	return &c
}
