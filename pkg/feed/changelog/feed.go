package changelog

import (
	"context"
	"fmt"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Name is the name of the change log as a feed, in configuration and status.
const Name = "journal"

// Feed reads the change log of a source. Package scan adds the snapshot to it.
type Feed struct {
	Store  Store
	Source string
}

// Begun reports whether the change log has begun, by one small read.
func (f Feed) Begun(ctx context.Context) (bool, error) {
	head, err := f.Store.Head(ctx, f.Source)
	return head.Epoch != "", err
}

// Read returns the rows with an id greater than after, or the newest ones if that is
// negative. The error wraps replication.ErrNoFeed before the change log has begun, and
// replication.ErrPositionLost for an id that the change log hasn't assigned.
// replication.Continue finds out from Rows.Oldest whether rows after a position were
// dropped, and from Rows.Epoch whether the change log is a new one.
func (f Feed) Read(ctx context.Context, after int64) (replication.Rows, error) {
	if after < 0 {
		head, err := f.Store.Head(ctx, f.Source)
		if err != nil {
			return replication.Rows{}, fmt.Errorf("read the change log of %s: %w", f.Source, err)
		}
		after = max(0, head.Newest+after)
	}
	page, err := f.Store.Rows(ctx, f.Source, after, 0)
	head := page.Head
	switch {
	case err != nil:
		return replication.Rows{}, fmt.Errorf("read the change log of %s: %w", f.Source, err)
	case head.Epoch == "":
		return replication.Rows{}, fmt.Errorf("%w: %w", replication.ErrNoFeed, ErrNoChangeLog)
	case after > head.Newest:
		return replication.Rows{}, fmt.Errorf("%w: the change log of %s ends at %d, before %d", replication.ErrPositionLost, f.Source, head.Newest, after)
	}
	rows := replication.Rows{Epoch: head.Epoch, Oldest: head.Oldest, Newest: head.Newest, Generation: page.Generation, Scans: page.Scans}
	for _, r := range page.Rows {
		rows.Changes = append(rows.Changes, replication.Change{ID: r.ID, Action: r.Action, Path: r.Path, Scope: scopeOf(r.Path)})
	}
	return rows, nil
}

// scopeOf returns the scope of a row's path: an object, a list, or everything.
func scopeOf(path string) object.Scope {
	var ref object.Ref
	if err := ref.UnmarshalText([]byte(path)); err != nil {
		return object.Scope{}
	}
	return object.ScopeOf(ref)
}
