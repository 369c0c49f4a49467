package scan

import (
	"context"
	"errors"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Feed returns the change feed of a journal that a scanner writes: the rows of
// [journal.Feed], and the snapshot of the newest scan.
func Feed(store journal.ScanStore, source string) replication.Feed {
	return feed{journal.Feed(store, source), store, source}
}

type feed struct {
	replication.Feed
	store  journal.Memory
	source string
}

// ReadSnapshot implements replication.Feed: one read of the scanner's memory. If the
// memory is damaged it returns no snapshot: the next scan begins a new journal.
func (f feed) ReadSnapshot(ctx context.Context) (replication.Snapshot, error) {
	known, err := f.store.Recall(ctx, f.source)
	if err != nil || known.Blob == nil {
		return replication.Snapshot{}, err
	}
	m, err := decodeMemory(known.Blob)
	if errors.Is(err, errMemory) {
		return replication.Snapshot{}, nil
	}
	if err != nil {
		return replication.Snapshot{}, err
	}
	s := m.toSnapshot()
	s.Epoch, s.Generation = known.Head.Epoch, known.Generation
	return s, nil
}

// toSnapshot returns the objects of the memory with their fingerprints.
func (m *memory) toSnapshot() replication.Snapshot {
	s := replication.Snapshot{Objects: make(map[object.Ref]string, len(m.Objects)), Unlisted: map[object.Scope]bool{}}
	for _, kind := range object.Kinds() {
		if kind != object.DataBagItem && !m.Listed[kind] {
			s.Unlisted[object.Scope{Kind: kind}] = true
		}
	}
	for ref, k := range m.Objects {
		s.Objects[ref] = k.Fingerprint
		if k.Fingerprint == nameOnly {
			s.Objects[ref] = ""
		}
		if ref.Kind == object.DataBag && !k.Listed {
			s.Unlisted[object.Scope{Kind: object.DataBagItem, Name: ref.Name}] = true
		}
	}
	return s
}
