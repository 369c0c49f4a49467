package replication

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"chefsync/pkg/object"
)

// ScannedFeed is a LateFeed whose rows are found by somebody who looks at the primary
// now and then. What changes, and changes back before the next look, gives no row.
// A pass that read the object in between would keep for good what it read; so it
// says what it saw, and what the scanner knows otherwise gets a row.
type ScannedFeed interface {
	LateFeed
	// Scan returns what the scanner knows by now that finds the rows of an epoch, or
	// nil if none does, or none any more. Epoch isn't empty: a feed that a scanner
	// fills has epochs.
	Scan(ctx context.Context, epoch string) (Scan, error)
}

// Scan is what a scanner knew at one moment.
type Scan interface {
	// Doubt compares it with what a pass saw. Each object that differs is noted,
	// unless it is already, so that the scanner looks at it once more and the
	// readers of the feed do too.
	// It may be called again and again, but not concurrently.
	Doubt(ctx context.Context, s Sightings) error
}

// Sightings are what a pass saw of the primary.
type Sightings struct {
	// Sights are the objects that were read: object → Sight, "" for one that
	// isn't there.
	Sights map[object.Ref]string
	// Absent tells of an object that wasn't read whether it was seen not to be
	// there. Nil: nothing is known of such objects.
	Absent func(object.Ref) bool
}

// Sight is what a look at an object tells apart from other content: the
// fingerprint, or for a policy in a policy group the revision, which its listing
// shows too.
func Sight(obj object.Object) string {
	var revision struct {
		ID string `json:"revision_id"`
	}
	if obj.Ref.Kind == object.PolicyGroup && json.Unmarshal(obj.Body, &revision) == nil && revision.ID != "" {
		return revision.ID
	}
	return obj.Fingerprint
}

// sights collects what a pass reads from the primary, until it is told to the
// scanner whose feed the pass follows.
type sights struct {
	mu   sync.Mutex // guards read while workers read
	read map[object.Ref]string
	// listed are the lists that rows of listings and bags made the pass read.
	listed map[object.Scope]map[object.Ref]bool
	feed   ScannedFeed
	scan   Scan
	told   bool // scan was asked for
}

// observer begins to collect for a pass. It is nil if nobody wants to know.
func (e *Engine) observer() *sights {
	if feed, ok := e.Feed.(ScannedFeed); ok {
		return &sights{feed: feed, read: map[object.Ref]string{}, listed: map[object.Scope]map[object.Ref]bool{}}
	}
	return nil
}

func (s *sights) note(ref object.Ref, sight string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read[ref] = sight
}

// list remembers what a list of the primary names.
func (s *sights) list(scope object.Scope, refs []object.Ref) {
	if s == nil {
		return
	}
	names := make(map[object.Ref]bool, len(refs))
	for _, r := range refs {
		names[r] = true
	}
	s.listed[scope] = names
}

// unlistedNow tells of an object whether a list that this pass read doesn't name it.
// Nobody else would say so of one that was deleted before, on both sides, and that
// the scanner doesn't know to be gone.
func (p *pass) unlistedNow() func(object.Ref) bool {
	if p.sights == nil || len(p.sights.listed) == 0 {
		return nil
	}
	return func(r object.Ref) bool {
		if !p.Pair.Manages(r) || r.Kind == object.DataBagItem && p.unlisted[object.Ref{Kind: object.DataBag, Name: r.Name}] {
			return false
		}
		for _, scope := range []object.Scope{{Kind: r.Kind}, {Kind: r.Kind, Name: r.Name}} {
			if names, read := p.sights.listed[scope]; read && !names[r] {
				return true
			}
		}
		return false
	}
}

// get reads an object from the primary, and remembers the sight.
func (p *pass) get(ctx context.Context, ref object.Ref) (object.Object, error) {
	obj, err := p.Source.Get(ctx, ref)
	switch {
	case IsAbsent(err):
		p.sights.note(ref, "")
	case err == nil:
		p.sights.note(ref, Sight(obj))
	}
	return obj, err
}

// tell says what was read since the last time, between the windows. It comes before
// the record of what was done about it: a pass that dies in between reads, and
// tells, again. Without a position in a scanner's feed there is nobody to tell.
func (p *pass) tell(ctx context.Context, absent func(object.Ref) bool) error {
	s := p.sights
	if s == nil || len(s.read) == 0 && absent == nil {
		return nil
	}
	pos := p.progress.Position
	if w := p.progress.Work; w != nil && w.Upto != nil {
		pos = w.Upto
	}
	if pos != nil && pos.Epoch != "" {
		if err := s.tell(ctx, pos.Epoch, absent); err != nil {
			return err
		}
	}
	clear(s.read)
	return nil
}

// tell asks what the scanner knows once, after the position of the pass was taken:
// all that it learns later has rows behind that.
func (s *sights) tell(ctx context.Context, epoch string, absent func(object.Ref) bool) (err error) {
	if !s.told {
		if s.scan, err = s.feed.Scan(ctx, epoch); err != nil {
			return fmt.Errorf("ask what the scanner knows: %w", err)
		}
		s.told = true
	}
	if s.scan == nil {
		return nil
	}
	if err := s.scan.Doubt(ctx, Sightings{Sights: s.read, Absent: absent}); err != nil {
		return fmt.Errorf("tell the scanner what was seen: %w", err)
	}
	return nil
}
