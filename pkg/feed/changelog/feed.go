package changelog

import (
	"context"
	"errors"
	"fmt"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Name is the name of the change log as a feed, in configuration and status.
const Name = "journal"

// pageRows is the number of rows in a page.
const pageRows = 1000

// NewFeed returns the change feed of a change log. Its Read returns an error that wraps
// replication.ErrNoFeed before the change log has begun, and one that wraps
// replication.ErrPositionLost for an id that the change log hasn't assigned.
// replication.Continue finds out from Rows.Oldest whether rows after a position were
// dropped, and from Rows.Epoch whether the change log is a new one. The feed has no
// snapshot; that of package scan has.
func NewFeed(store Store, source string) replication.Feed { return changeLogFeed{store, source} }

type changeLogFeed struct {
	store  Store
	source string
}

// Name implements replication.Feed.
func (f changeLogFeed) Name() string { return Name }

// Reason implements replication.Feed.
func (f changeLogFeed) Reason() string { return "" }

// ReadSnapshot implements replication.Feed.
func (f changeLogFeed) ReadSnapshot(context.Context) (replication.Snapshot, error) {
	return replication.Snapshot{}, nil
}

// Begun implements replication.Feed: one small read.
func (f changeLogFeed) Begun(ctx context.Context) (bool, error) {
	head, err := f.store.Head(ctx, f.source)
	return head.Epoch != "", err
}

// Read implements replication.Feed.
func (f changeLogFeed) Read(ctx context.Context, after int64) (replication.Rows, error) {
	for range 5 {
		rows, err := f.readPages(ctx, after)
		if !errors.Is(err, errChanged) {
			return rows, err
		}
	}
	return replication.Rows{}, fmt.Errorf("read the change log of %s: %w", f.source, errChanged)
}

// errChanged means that rows were dropped, or the change log replaced, between two pages.
var errChanged = errors.New("the change log changed while it was read")

func (f changeLogFeed) readPages(ctx context.Context, after int64) (replication.Rows, error) {
	var rows replication.Rows
	if after < 0 {
		head, err := f.store.Head(ctx, f.source)
		if err != nil {
			return rows, fmt.Errorf("read the change log of %s: %w", f.source, err)
		}
		after = max(0, head.Newest+after)
	}
	for from := after; ; {
		page, err := f.store.Rows(ctx, f.source, from, pageRows)
		head := page.Head
		switch {
		case err != nil:
			return rows, fmt.Errorf("read the change log of %s: %w", f.source, err)
		case head.Epoch == "":
			return rows, fmt.Errorf("%w: %w", replication.ErrNoFeed, ErrNoChangeLog)
		case after > head.Newest:
			return rows, fmt.Errorf("%w: the change log of %s ends at %d, before %d", replication.ErrPositionLost, f.source, head.Newest, after)
		case rows.Epoch == "":
			rows = replication.Rows{Epoch: head.Epoch, Oldest: head.Oldest, Newest: head.Newest, Generation: page.Generation, Scans: page.Scans}
		case rows.Epoch != head.Epoch || len(page.Rows) > 0 && page.Rows[0].ID != from+1:
			return rows, errChanged
		}
		for _, r := range page.Rows {
			rows.Changes = append(rows.Changes, replication.Change{ID: r.ID, Action: r.Action, Path: r.Path, Scope: scopeOf(r.Path)})
			from = r.ID
		}
		rows.Newest = max(rows.Newest, from)
		if len(page.Rows) < pageRows {
			return rows, nil
		}
	}
}

// scopeOf returns the scope of a row's path: an object, a list, or everything.
func scopeOf(path string) object.Scope {
	var ref object.Ref
	if err := ref.UnmarshalText([]byte(path)); err != nil {
		return object.Scope{}
	}
	return object.ScopeOf(ref)
}

// RowsAfter returns at most limit rows after an id, for readers that keep a position of their
// own. Epoch is the one that the reader knows, "" for any. The error wraps
// replication.ErrPositionLost if rows after the id were dropped or the id was never
// assigned, and replication.ErrNoFeed before the change log has begun.
func RowsAfter(ctx context.Context, store Store, source, epoch string, after int64, limit int) (Page, error) {
	page, err := store.Rows(ctx, source, after, limit)
	head := page.Head
	switch {
	case err != nil:
		return Page{}, fmt.Errorf("read the change log of %s: %w", source, err)
	case head.Epoch == "":
		return Page{}, fmt.Errorf("%w: %w", replication.ErrNoFeed, ErrNoChangeLog)
	case epoch != "" && epoch != head.Epoch:
		return Page{}, fmt.Errorf("%w: the change log of %s is a new one", replication.ErrPositionLost, source)
	case after > head.Newest || after+1 < head.Oldest:
		return Page{}, fmt.Errorf("%w: the change log of %s holds %d to %d", replication.ErrPositionLost, source, head.Oldest, head.Newest)
	}
	return page, nil
}
