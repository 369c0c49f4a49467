package scan

import (
	"context"
	"errors"
	"maps"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// NewFeed returns the change feed of a change log that a scanner writes: the rows of
// [changelog.Feed], and the snapshot of the newest scan.
func NewFeed(store changelog.ScanStore, source string) replication.Feed {
	return feed{changelog.Feed{Store: store, Source: source}, store}
}

type feed struct {
	changelog.Feed
	states changelog.ScanStateStore
}

// Name implements replication.Feed.
func (f feed) Name() string { return changelog.Name }

// Reason implements replication.Feed.
func (f feed) Reason() string { return "" }

// ReadSnapshot implements replication.Feed: one read of the scan state. If the
// state is damaged it returns no snapshot: the next scan begins a new change log.
func (f feed) ReadSnapshot(ctx context.Context) (replication.Snapshot, error) {
	known, err := f.states.LoadScanState(ctx, f.Source)
	if err != nil || known.Blob == nil {
		return replication.Snapshot{}, err
	}
	m, err := decodeState(known.Blob)
	if errors.Is(err, errDamagedState) {
		return replication.Snapshot{}, nil
	}
	if err != nil {
		return replication.Snapshot{}, err
	}
	s := m.toSnapshot()
	s.Epoch, s.Generation = known.Head.Epoch, known.Generation
	return s, nil
}

// toSnapshot returns the objects of the state with their fingerprints.
func (m *state) toSnapshot() replication.Snapshot {
	s := replication.Snapshot{Objects: make(map[object.Ref]string, len(m.Objects)), Unlisted: map[object.Scope]bool{}}
	for _, kind := range object.Kinds() {
		if kind.Parent() == "" && !m.Listed[kind] {
			s.Unlisted[object.Scope{Kind: kind}] = true
		}
	}
	for ref, k := range m.Objects {
		s.Objects[ref] = k.Fingerprint
		if k.Fingerprint == nameOnly {
			s.Objects[ref] = ""
		}
		if child := ref.Kind.Child(); child != "" && !k.Listed {
			s.Unlisted[object.Scope{Kind: child, Name: ref.Name}] = true
		}
	}
	return s
}

// sameSnapshot reports whether the snapshots of two states are equal. States also differ
// in what only the scanner needs, such as how far the rotation has come.
func (m *state) sameSnapshot(other *state) bool {
	a, b := m.toSnapshot(), other.toSnapshot()
	return maps.Equal(a.Objects, b.Objects) && maps.Equal(a.Unlisted, b.Unlisted)
}
