package store

import (
	"context"
	"slices"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

// Acquire implements [changelog.ScanStateStore].
func (j ChangeLogs) Acquire(ctx context.Context, source, owner string, now time.Time,
	ttl time.Duration) (known changelog.ScanState, err error) {
	h, err := j.updateSource(ctx, source, func(h *sourceRecord) ([]Write, error) {
		return nil, takeLease(&h.Lease, "the change log of "+source, owner, now, ttl)
	})
	if err != nil {
		return known, explainError("take the scanner's lease of "+source, err)
	}
	return h.scanState(), nil
}

// Lease implements [changelog.ScanStateStore].
func (j ChangeLogs) Lease(ctx context.Context, source string) (replication.Lease, error) {
	h, err := j.readSource(ctx, source)
	return h.Lease, explainError("read the scanner's lease of "+source, err)
}

// Renew implements [changelog.ScanStateStore].
func (j ChangeLogs) Renew(ctx context.Context, source string, fence int64, now time.Time, ttl time.Duration) error {
	_, err := j.updateSource(ctx, source, func(h *sourceRecord) ([]Write, error) {
		return nil, renewLease(&h.Lease, fence, now, ttl)
	})
	return explainError("renew the scanner's lease of "+source, err)
}

// Release implements [changelog.ScanStateStore].
func (j ChangeLogs) Release(ctx context.Context, source string, fence int64) error {
	_, err := j.updateSource(ctx, source, func(h *sourceRecord) ([]Write, error) { return nil, releaseLease(&h.Lease, fence) })
	return explainError("release the scanner's lease of "+source, err)
}

// Commit implements [changelog.ScanStateStore].
func (j ChangeLogs) Commit(ctx context.Context, source string, fence int64, now time.Time, step changelog.ScanUpdate) (changelog.Head, error) {
	h, err := j.commitStep(ctx, source, fence, now, step)
	if err != nil {
		return changelog.Head{}, explainError("write the change log of "+source, err)
	}
	return h.logHead(), nil
}

func (j ChangeLogs) commitStep(ctx context.Context, source string, fence int64, now time.Time,
	step changelog.ScanUpdate) (h sourceRecord, err error) {
	if err := changelog.CheckChanges(step.Changes); err != nil {
		return h, err
	}
	if step.Begin == "" && len(step.Changes) == 0 && step.Blob == nil {
		if h, err = j.readSource(ctx, source); err == nil {
			err = h.checkStep(fence, now, step)
		}
		return h, err
	}
	var state []Write
	var old []Item
	if step.Blob != nil {
		if state, old, err = j.writeParts(ctx, source, fence, now, step); err != nil {
			return h, err
		}
	}
	h, err = j.updateSource(ctx, source, func(h *sourceRecord) ([]Write, error) {
		if err := h.checkStep(fence, now, step); err != nil {
			return nil, err
		}
		entries := step.Changes
		if step.Begin != "" {
			first := changelog.FirstID(now, h.Next)
			h.Epoch, h.Oldest, h.Next = step.Begin, first, first
			entries = slices.Concat([]changelog.Change{{Action: changelog.Begin, Path: changelog.Root}}, entries)
		}
		if step.Blob != nil {
			h.Version, h.StateHash = h.Version+1, contentHash(step.Blob)
			if !step.SameSnapshot {
				h.Generation++
			}
		}
		rows, err := h.appendChanges(source, now, entries)
		return append(rows, state...), err
	})
	if err != nil {
		return h, err
	}
	if step.Blob != nil {
		j.s.scanStates.storeCopy(source, step.Blob)
	}
	_ = j.s.deleteAll(ctx, old) // no list names what is left
	return h, nil
}

// checkStep returns an error if a step may not be written.
func (h sourceRecord) checkStep(fence int64, now time.Time, step changelog.ScanUpdate) error {
	if err := checkLease(h.Lease, fence, now); err != nil || h.Version != step.Version {
		return replication.ErrFenced
	}
	if step.Begin == "" && h.Epoch == "" && len(step.Changes) > 0 {
		return changelog.ErrNoChangeLog
	}
	return nil
}
