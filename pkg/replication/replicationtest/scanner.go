package replicationtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Scanner is the feed of a primary that serves none: scans publish snapshots, with a row
// for each difference from the one before, and pushes add rows. Create it with NewScanner.
type Scanner struct {
	// Silent makes scans add no rows: what changed is in the snapshots alone.
	Silent bool
	// PreferServed makes Read return the rows that the primary serves, while it serves any.
	PreferServed bool
	// Misread is an object that scans see otherwise than Get of the primary shows it.
	Misread object.Ref
	// SnapshotReads counts the calls of ReadSnapshot.
	SnapshotReads int

	mu             sync.Mutex
	primary        *Org
	logs           int  // change logs begun
	lost           bool // what scans saw is lost: the next one begins another change log
	oldest, newest int64
	rows           []replication.Change
	scans          int64 // begun
	snapshot       replication.Snapshot
	edits          int // of the primary, that the snapshot shows; -1 if it lacks any
}

// NewScanner returns the feed of a primary that wasn't scanned yet.
func NewScanner(primary *Org) *Scanner { return &Scanner{primary: primary} }

// Scan is a scan that has read the primary, and published nothing yet.
type Scan struct {
	*Scanner
	number  int64
	objects map[object.Ref]string
	edited  int // edits of the primary that the objects show
}

// Scan reads all of the primary and publishes it.
func (s *Scanner) Scan() { s.Begin().Publish(nil, nil) }

// Begin begins a scan. One that is under way can't publish any more.
func (s *Scanner) Begin() *Scan {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primary.mu.Lock()
	defer s.primary.mu.Unlock()
	s.scans++
	scan := &Scan{s, s.scans, map[object.Ref]string{}, s.primary.edits}
	for r, obj := range s.primary.objects {
		scan.objects[r] = obj.Fingerprint
		if r.Kind.IsImmutable() { // the name is all that is compared
			scan.objects[r] = ""
		}
		if r == s.Misread {
			scan.objects[r] += ", misread"
		}
	}
	return scan
}

// Publish ends the scan. What is known stays for kinds that could not be listed, and for
// the content of those that could not be read.
func (s *Scan) Publish(unlisted, unread []object.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.number != s.scans {
		return
	}
	begins := s.logs == 0 || s.lost
	if begins {
		s.beginLog()
	}
	next := s.merge(unlisted, unread)
	if begins || !maps.Equal(next.Objects, s.snapshot.Objects) || !maps.Equal(next.Unlisted, s.snapshot.Unlisted) {
		next.Generation++
	}
	if !begins && !s.Silent {
		s.addDifferences(next.Objects)
	}
	s.snapshot, s.edits = next, -1
	if len(unlisted)+len(unread) == 0 {
		s.edits = s.edited
	}
}

// beginLog begins a change log, with a row that stands for everything, and forgets what
// scans saw.
func (s *Scanner) beginLog() {
	s.logs, s.lost, s.rows, s.oldest = s.logs+1, false, nil, s.newest+1
	s.addRow("begin", object.Ref{})
	s.snapshot = replication.Snapshot{Epoch: fmt.Sprint("log ", s.logs), Generation: s.snapshot.Generation, Unlisted: map[object.Scope]bool{}}
	for _, k := range object.Kinds() {
		if k.Parent() == "" {
			s.snapshot.Unlisted[object.Scope{Kind: k}] = true
		}
	}
}

// merge returns the snapshot with what a scan saw.
func (s *Scan) merge(unlisted, unread []object.Kind) replication.Snapshot {
	isListed := func(r object.Ref) bool {
		if bag := r.Parent(); bag != (object.Ref{}) {
			if slices.Contains(unlisted, bag.Kind) {
				return false
			}
			if _, there := s.objects[bag]; !there {
				return true // the item is gone with its bag
			}
		}
		return !slices.Contains(unlisted, r.Kind)
	}
	next := s.snapshot
	next.Objects, next.Unlisted = map[object.Ref]string{}, map[object.Scope]bool{}
	for r, fingerprint := range s.snapshot.Objects {
		if !isListed(r) {
			next.Objects[r] = fingerprint
		}
	}
	for r, fingerprint := range s.objects {
		if !isListed(r) {
			continue
		}
		if slices.Contains(unread, r.Kind) {
			fingerprint = s.snapshot.Objects[r]
		}
		next.Objects[r] = fingerprint
	}
	for scope := range s.snapshot.Unlisted {
		if !isListed(object.Ref(scope)) {
			next.Unlisted[scope] = true
		}
	}
	for bag := range next.Objects {
		items := object.Scope{Kind: bag.Kind.Child(), Name: bag.Name}
		if _, had := s.snapshot.Objects[bag]; !had && items.Kind != "" && !isListed(object.Ref(items)) {
			next.Unlisted[items] = true
		}
	}
	return next
}

// addDifferences adds a row for each object that is otherwise than in the snapshot.
func (s *Scanner) addDifferences(objects map[object.Ref]string) {
	refs := slices.AppendSeq(slices.Collect(maps.Keys(objects)), maps.Keys(s.snapshot.Objects))
	slices.SortFunc(refs, object.Compare)
	for _, r := range slices.Compact(refs) {
		before, had := s.snapshot.Objects[r]
		now, has := objects[r]
		switch {
		case !had:
			s.addRow("create", r)
		case !has:
			s.addRow("delete", r)
		case before != now:
			s.addRow("update", r)
		}
	}
}

func (s *Scanner) addRow(action string, r object.Ref) {
	s.newest++
	s.rows = append(s.rows, replication.Change{ID: s.newest, Action: action, Path: r.Path(), Scope: object.ScopeOf(r)})
}

// Push adds a row for an object or a listing, once there is a change log.
func (s *Scanner) Push(r object.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs > 0 {
		s.addRow("update", r)
	}
}

// LoseState loses what scans saw.
func (s *Scanner) LoseState() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = true
}

// Trim drops all rows but the newest.
func (s *Scanner) Trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.rows); n > 0 {
		s.rows, s.oldest = s.rows[n-1:], s.newest
	}
}

// IsCurrent reports whether the snapshot is of all that the primary holds, and of nothing
// that was changed back since it was read.
func (s *Scanner) IsCurrent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs > 0 && !s.lost && s.edits == s.primary.edits
}

// isServed reports whether the primary's own rows are to be read.
func (s *Scanner) isServed() bool { return s.PreferServed && !s.primary.NoFeed }

// Name implements replication.Feed.
func (s *Scanner) Name() string {
	if s.isServed() {
		return s.primary.Name()
	}
	return "scans"
}

// Reason implements replication.Feed.
func (s *Scanner) Reason() string { return "" }

// Begun implements replication.Feed.
func (s *Scanner) Begun(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs > 0, nil
}

// Read implements replication.Feed.
func (s *Scanner) Read(ctx context.Context, after int64) (replication.Rows, error) {
	if s.isServed() {
		return s.primary.Read(ctx, after)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if after < 0 {
		after = max(0, s.newest+after)
	}
	switch {
	case s.logs == 0:
		return replication.Rows{}, replication.ErrNoFeed
	case after > s.newest:
		return replication.Rows{}, replication.ErrPositionLost
	}
	changes := slices.DeleteFunc(slices.Clone(s.rows), func(c replication.Change) bool { return c.ID <= after })
	return replication.Rows{Epoch: s.snapshot.Epoch, Changes: changes, Oldest: s.oldest, Newest: s.newest,
		Generation: s.snapshot.Generation, Scans: s.scans}, nil
}

// ReadSnapshot implements replication.Feed.
func (s *Scanner) ReadSnapshot(context.Context) (replication.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.SnapshotReads++
	if s.lost {
		return replication.Snapshot{}, nil
	}
	return s.snapshot, nil
}
