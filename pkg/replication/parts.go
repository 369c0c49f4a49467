package replication

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// Checking is a verification that a schedule started and that isn't finished. One
// that doesn't fit the time of its process is done in parts: each goes on behind
// the last object that the one before compared.
type Checking struct {
	Started time.Time `json:"started"` // of the first part
	// At is when the newest part began, zero when it has ended. While it may still
	// be at work no other is started.
	At    time.Time    `json:"at,omitzero"`
	After string       `json:"after,omitempty"` // the last object compared, in the order of application
	Equal map[Kind]int `json:"equal,omitempty"`
	// Differ counts differences that were left, Unreadable what could not be read.
	Differ     int   `json:"differ,omitempty"`
	Unreadable int   `json:"unreadable,omitempty"`
	Drift      Drift `json:"drift,omitzero"`
}

// checkingFor is how long a part is believed to be at work after it began: longer
// than any function runs.
const checkingFor = 20 * time.Minute

// atWork tells whether a part may be at work.
func (c *Checking) atWork(now time.Time) bool {
	return c != nil && !c.At.IsZero() && age(c.At, now) < checkingFor
}

// claim says in the record that a scheduled verification is at work, and takes up
// what its earlier parts found. *LeasedError if another process is at work.
func (v *verification) claim(ctx context.Context) error {
	now := v.report.At
	got, err := v.acquire(ctx, now)
	if err != nil {
		return err
	}
	defer v.release(ctx, got.Lease.Fence)
	c := got.Progress.Checking
	if c.atWork(now) {
		return &LeasedError{Pair: v.Pair.ID, Lease: Lease{Owner: "another verification", Expires: c.At.Add(checkingFor)}}
	}
	next := Checking{Started: now}
	if c != nil && c.After != "" {
		next, v.report.Earlier = *c, c
	}
	next.At = now
	got.Progress.Checking = &next
	if err := v.State.Commit(ctx, v.Pair.ID, got.Lease.Fence, v.Now(), Update{Progress: got.Progress}); err != nil {
		return err
	}
	v.began = got
	v.began.Lease = Lease{Fence: got.Lease.Fence}
	return nil
}

// started is when the first part began.
func (v *verification) started() time.Time {
	if c := v.report.Earlier; c != nil {
		return c.Started
	}
	return v.report.At
}

// remaining are the objects that no earlier part compared.
func (v *verification) remaining() []Ref {
	refs := slices.SortedFunc(maps.Keys(v.source.refs), CompareRefs)
	if v.report.Earlier == nil {
		return refs
	}
	after, err := ParseRef(v.report.Earlier.After)
	if err != nil {
		v.report.Earlier = nil // it can't be gone on with
		return refs
	}
	return slices.DeleteFunc(refs, func(r Ref) bool { return CompareRefs(r, after) <= 0 })
}

// cut tells whether an error ends this part of a verification, which the next part
// then goes on with.
func (v *verification) cut(err error) bool {
	return errors.Is(err, errDeadline) && v.options.Trigger == TriggerSchedule && v.after != ""
}

// sum adds what the earlier parts found to what this one did.
func (v *verification) sum(d Drift) Drift {
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
	c := Checking{Started: v.started(), After: v.after, Equal: v.equalOf, Drift: d,
		Differ: len(v.report.Differences), Unreadable: len(v.report.Unreadable)}
	if e := v.report.Earlier; e != nil {
		c.Differ += e.Differ
		c.Unreadable += e.Unreadable
	}
	return &c
}
