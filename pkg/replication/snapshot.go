package replication

import (
	"context"
	"fmt"
	"slices"

	"chefsync/pkg/object"
)

// Snapshot is what a source organization held as of its newest scan. The zero
// Snapshot is of a feed that no scanner fills.
type Snapshot struct {
	Epoch      string // that of the feed's rows
	Generation int64  // grows whenever anything in the snapshot changed; 0: there is none
	// Objects are the objects with their fingerprints, "" where that isn't known yet
	// or can't change.
	Objects map[object.Ref]string
	// Unlisted are the scopes whose objects may be missing from Objects.
	Unlisted map[object.Scope]bool
}

// Diff returns the objects of a pair that the snapshot shows otherwise than the ledger,
// which says what replication last put on the replica, in the order of application. An
// object that changed and changed back between two scans is among them if the pair read
// it in between. A held bag that is on the primary again is among them with its items. Left
// out is what has a record of its own and is looked at when that is due: unsynced objects,
// failed listings with all they hold, held deletions, and entries of the ledger that can't
// be trusted. With PruneNone, what is gone from the primary is left out too.
func (s Snapshot) Diff(entries Entries, pair Pair) []object.Ref {
	l := newLedger(pair, entries)
	return s.diffLedger(&l)
}

func (s Snapshot) diffLedger(l *ledger) []object.Ref {
	var refs []object.Ref
	for r, fingerprint := range s.Objects {
		e := l.entryOf(r)
		known := fingerprint != "" && e.Fingerprint != ""
		differs := known && e.Fingerprint != fingerprint || !e.isReplicated() && !l.hasRecord(r, false) || e.isHeld()
		if differs && l.pair.Manages(r) {
			refs = append(refs, r)
		}
	}
	if l.pair.pruneRule() != PruneNone {
		for r, e := range l.replicatedObjects() {
			_, there := s.Objects[r]
			_, bagThere := s.Objects[r.Parent()]
			waits := l.hasRecord(r, true) && !(bagThere && l.isHeldWithBag(r))
			if !there && !e.Dirty && !s.isUnlisted(r) && !waits && l.pair.Manages(r) {
				refs = append(refs, r)
			}
		}
	}
	slices.SortFunc(refs, object.Compare)
	return refs
}

// isUnlisted reports whether the snapshot can't tell that an object isn't there.
func (s Snapshot) isUnlisted(r object.Ref) bool {
	return s.Unlisted[object.Scope{Kind: r.Kind}] || s.Unlisted[r.ListScope()] ||
		r.Kind.Parent() != "" && s.Unlisted[object.Scope{Kind: r.Kind.Parent()}]
}

// SnapshotMark says how the ledger of a pair compares with the snapshot of its source.
// The zero SnapshotMark says nothing.
type SnapshotMark struct {
	// Generation is that of the snapshot that was compared, and Scans how many scans
	// had begun by then.
	Generation int64 `json:"generation"`
	Scans      int64 `json:"scans"`
	// Differs says that the two may differ. They are compared again after the next
	// scan, though it may change nothing: that is how an object is found that the
	// pair read in between and that has changed back since.
	Differs bool `json:"differs,omitempty"`
	// Fruitless counts the times in a row that objects were looked at because the two
	// differ, and were found to be as the ledger has them: the scanner hasn't seen them
	// yet, or never will.
	Fruitless int `json:"fruitless,omitempty"`
}

// The first patientLooks fruitless looks wait for one scan each, and those after them
// twice as long each time, up to 1<<maxPatience scans.
const (
	patientLooks = 4
	maxPatience  = 6
)

// Due reports whether a ledger is to be compared with the snapshot of a generation,
// after n scans have begun.
func (m SnapshotMark) Due(generation, scans int64) bool {
	patience := min(max(m.Fruitless-patientLooks, 0), maxPatience)
	switch {
	case generation == 0:
		return false
	case generation != m.Generation && patience == 0:
		return true
	}
	return m.Differs && (scans >= m.Scans+1<<patience || scans < m.Scans)
}

// snapshotMark returns the mark of a ledger that was written to since it was compared, or never
// was.
func (r Rows) snapshotMark() SnapshotMark {
	return SnapshotMark{Generation: r.Generation, Scans: r.Scans, Differs: true}
}

// diffSnapshot compares the snapshot with the ledger if that is due. An idle poll
// reads neither.
func (e *Engine) diffSnapshot(ctx context.Context, rows Rows, t *dueWork) error {
	t.rows, t.rows.Changes = rows, nil
	mark := t.next.Snapshot
	if !mark.Due(rows.Generation, rows.Scans) {
		return nil
	}
	s, err := e.Feed.ReadSnapshot(ctx)
	if err != nil {
		return fmt.Errorf("read the snapshot of the primary: %w", err)
	}
	if s.Generation == 0 || s.Epoch != rows.Epoch {
		return nil // the change log begins again, and then everything is compared
	}
	l, err := e.readLedger(ctx)
	if err != nil {
		return err
	}
	t.snapshot, t.stale = &s, map[object.Ref]string{}
	for _, r := range s.diffLedger(&l) {
		t.stale[r] = l.entries[r].Fingerprint
	}
	t.next.Snapshot = SnapshotMark{Generation: rows.Generation, Scans: rows.Scans, Differs: len(t.stale) > 0, Fruitless: mark.Fruitless}
	if len(t.stale) == 0 {
		t.next.Snapshot.Fruitless = 0
	}
	return nil
}

// markSnapshot says in the next position how the ledger compares with the snapshot at
// the end of a pass.
func (p *pass) markSnapshot() {
	p.rec.snapshotMarked = true
	next := p.due.next
	if next == nil || p.due.rows.Generation == 0 {
		return
	}
	mark := &next.Snapshot
	if p.due.snapshot == nil {
		if p.ledger.written && !mark.Differs {
			*mark = p.due.rows.snapshotMark()
		}
		return
	}
	left := p.due.snapshot.diffLedger(p.ledger)
	mark.Differs = len(left) > 0
	fruitless := mark.Differs && len(p.due.stale) > 0
	for r, before := range p.due.stale {
		fruitless = fruitless && p.ledger.entries[r].Fingerprint == before
	}
	mark.Fruitless++
	if !fruitless {
		mark.Fruitless = 0
	}
}
