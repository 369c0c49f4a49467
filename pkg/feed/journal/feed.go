package journal

import (
	"context"
	"errors"
	"fmt"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Name is the journal's word as a feed, in configuration and status.
const Name = "journal"

// pageRows is how many rows are read at once.
const pageRows = 1000

// Feed makes a change feed of a journal. Its Read returns
// replication.ErrNoFeed, wrapped, before the journal has begun, and
// replication.ErrPositionLost for an id that the journal hasn't given out. That
// rows behind a position are gone shows in Rows.Oldest, and that the journal
// was made anew in Rows.Epoch: replication.Continue looks at both. It has no
// Snapshot, which is the scanner's.
func Feed(store Store, source string) replication.Feed { return feed{store, source} }

type feed struct {
	store  Store
	source string
}

// Name is the feed's word in configuration and status.
func (f feed) Name() string { return Name }

// Note implements replication.Feed.
func (f feed) Note() string { return "" }

// ReadSnapshot implements replication.Feed.
func (f feed) ReadSnapshot(context.Context) (replication.Snapshot, error) {
	return replication.Snapshot{}, nil
}

// Begun implements replication.Feed: one small read.
func (f feed) Begun(ctx context.Context) (bool, error) {
	head, err := f.store.Head(ctx, f.source)
	return head.Epoch != "", err
}

// Read implements replication.Feed.
func (f feed) Read(ctx context.Context, after int64) (replication.Rows, error) {
	for range 5 {
		rows, err := f.read(ctx, after)
		if !errors.Is(err, errMoved) {
			return rows, err
		}
	}
	return replication.Rows{}, fmt.Errorf("read the journal of %s: %w", f.source, errMoved)
}

// errMoved: rows were dropped, or the journal replaced, between two pages.
var errMoved = errors.New("the journal changed while it was read")

func (f feed) read(ctx context.Context, after int64) (replication.Rows, error) {
	var rows replication.Rows
	if after < 0 {
		head, err := f.store.Head(ctx, f.source)
		if err != nil {
			return rows, fmt.Errorf("read the journal of %s: %w", f.source, err)
		}
		after = max(0, head.Newest+after)
	}
	for from := after; ; {
		page, err := f.store.Rows(ctx, f.source, from, pageRows)
		head := page.Head
		switch {
		case err != nil:
			return rows, fmt.Errorf("read the journal of %s: %w", f.source, err)
		case head.Epoch == "":
			return rows, fmt.Errorf("%w: %w", replication.ErrNoFeed, ErrNoJournal)
		case after > head.Newest:
			return rows, fmt.Errorf("%w: the journal of %s ends at %d, before %d", replication.ErrPositionLost, f.source, head.Newest, after)
		case rows.Epoch == "":
			rows = replication.Rows{Epoch: head.Epoch, Oldest: head.Oldest, Newest: head.Newest, Generation: page.Generation, Scans: page.Scans}
		case rows.Epoch != head.Epoch || len(page.Rows) > 0 && page.Rows[0].ID != from+1:
			return rows, errMoved
		}
		for _, r := range page.Rows {
			rows.Changes = append(rows.Changes, replication.Change{ID: r.ID, Action: r.Action, Path: r.Path, Scope: scope(r.Path)})
			from = r.ID
		}
		rows.Newest = max(rows.Newest, from)
		if len(page.Rows) < pageRows {
			return rows, nil
		}
	}
}

// scope is what a row's path means: the object or listing it names, or
// everything.
func scope(path string) object.Scope {
	var ref object.Ref
	if err := ref.UnmarshalText([]byte(path)); err != nil {
		return object.Scope{}
	}
	return object.ScopeOf(ref)
}

// After returns the rows after an id, at most limit, for a reader that keeps its
// own place. It fails with replication.ErrPositionLost, wrapped, when rows behind
// that id were dropped or the id was never given out, and with
// replication.ErrNoFeed before the journal has begun. Epoch is the one the reader
// knows; "" for any.
func After(ctx context.Context, store Store, source, epoch string, after int64, limit int) (Page, error) {
	page, err := store.Rows(ctx, source, after, limit)
	head := page.Head
	switch {
	case err != nil:
		return Page{}, fmt.Errorf("read the journal of %s: %w", source, err)
	case head.Epoch == "":
		return Page{}, fmt.Errorf("%w: %w", replication.ErrNoFeed, ErrNoJournal)
	case epoch != "" && epoch != head.Epoch:
		return Page{}, fmt.Errorf("%w: the journal of %s was made anew", replication.ErrPositionLost, source)
	case after > head.Newest || after+1 < head.Oldest:
		return Page{}, fmt.Errorf("%w: the journal of %s holds %d to %d", replication.ErrPositionLost, source, head.Oldest, head.Newest)
	}
	return page, nil
}
