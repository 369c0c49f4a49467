package scan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Feed makes a change feed of a journal that scans fill: [journal.Feed], for
// readers that say what they saw. Now is the clock of what they note.
func Feed(store journal.ScanStore, source string, now func() time.Time) replication.ScannedFeed {
	return feed{journal.Feed(store, source), store, source, now}
}

type feed struct {
	replication.LateFeed
	store  journal.ScanStore
	source string
	now    func() time.Time
}

// Scan implements replication.ScannedFeed: one read of the scanner's memory. Of a
// memory that is damaged nothing is known; the next scan begins the journal anew.
func (f feed) Scan(ctx context.Context, epoch string) (replication.Scan, error) {
	known, err := f.store.Recall(ctx, f.source)
	if err != nil || known.Blob == nil || known.Head.Epoch != epoch {
		return nil, err
	}
	m, err := decodeMemory(known.Blob)
	if errors.Is(err, errMemory) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := &knownScan{feed: f, memory: m, noted: doubts{}}
	if known.Lease.HeldAt(f.now()) {
		// A scanner may have written some of its rows and not yet the memory that
		// they belong to: they look like those of others and are not.
		k.others = &others{store: f.store, source: f.source, after: known.Head.Newest}
		return k, nil
	}
	k.others = othersSince(f.store, f.source, known.Head, m)
	maps.Copy(k.noted, m.Doubts)
	return k, nil
}

// knownScan is what a scanner knew when a reader asked.
type knownScan struct {
	feed
	memory *memory
	others *others
	// noted are the objects that need no row: a scan to come, or one that ends
	// after the reader asked, has a row for each.
	noted doubts
}

// Doubt implements replication.Scan.
func (k *knownScan) Doubt(ctx context.Context, s replication.Sightings) error {
	differ := k.memory.differ(s)
	if len(differ) == 0 {
		return nil
	}
	head, err := k.store.Head(ctx, k.source)
	if err != nil {
		return err
	}
	found, err := k.others.next(ctx, head.Newest)
	if err != nil {
		return err
	}
	maps.Copy(k.noted, found)
	var rows []journal.Entry
	for _, ref := range differ.sorted() {
		bag := object.Ref{Kind: object.DataBag, Name: ref.Name} // its row is one of its items too
		if k.noted[ref] || ref.Kind == object.DataBagItem && (k.noted[bag] || differ[bag]) {
			continue
		}
		rows = append(rows, journal.Entry{Action: journal.Update, Path: ref.Path()})
	}
	for some := range slices.Chunk(rows, journal.MaxAppend) {
		if _, err := k.store.Append(ctx, k.source, k.now(), some); err != nil && !errors.Is(err, journal.ErrNoJournal) {
			return fmt.Errorf("note what was seen in the journal of %s: %w", k.source, err)
		}
	}
	return nil
}

// differ returns the objects that were seen otherwise than the memory has them.
func (m *memory) differ(s replication.Sightings) doubts {
	differ := doubts{}
	for ref, sight := range s.Sights {
		if !m.agrees(ref, sight) {
			differ[ref] = true
		}
	}
	if s.Absent == nil {
		return differ
	}
	for ref := range m.Objects {
		if _, read := s.Sights[ref]; !read && s.Absent(ref) {
			differ[ref] = true
		}
	}
	return differ
}

// agrees tells whether what was seen of an object is what the memory holds. Of
// what was never listed, or never read, the next scan tells by itself.
func (m *memory) agrees(ref object.Ref, sight string) bool {
	known, there := m.Objects[ref]
	switch {
	case !m.listed(object.Scope{Kind: ref.Kind, Name: ref.Name}):
		return true
	case !there || sight == "":
		return !there && sight == ""
	}
	return known.Print == "" || known.Print == namePrint || known.Print == sight
}
