package replication

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
)

// ScannedFeed is a LateFeed whose rows are found by somebody who looks at the primary
// now and then. What changes, and changes back before the next look, gives no row.
// A pass that read the object in between would keep for good what it read; so it
// says what it saw, and what the scanner knows otherwise gets a row.
type ScannedFeed interface {
	LateFeed
	// Scan returns what the scanner knows by now, or nil if the rows of the last
	// Read don't come from a scanner.
	Scan(ctx context.Context) (Scan, error)
}

// Scan is what a scanner knew at one moment.
type Scan interface {
	// Doubt compares it with what a pass saw. Each object that differs is noted,
	// unless it is already, so that the scanner looks at it once more and the
	// readers of the feed do too.
	Doubt(ctx context.Context, s Sightings) error
}

// Sightings are what a pass saw of the primary.
type Sightings struct {
	// Sights are the objects that were read: object → Sight, "" for one that
	// isn't there.
	Sights map[Ref]string
	// Absent tells of an object that wasn't read whether it was seen not to be
	// there. Nil: nothing is known of such objects.
	Absent func(Ref) bool
}

// Sight is what a look at an object tells apart from other content: the
// fingerprint, or for a policy in a policy group the revision, which its listing
// shows too.
func Sight(obj Object) string {
	var revision struct {
		ID string `json:"revision_id"`
	}
	if obj.Ref.Kind == PolicyGroup && json.Unmarshal(obj.Body, &revision) == nil && revision.ID != "" {
		return revision.ID
	}
	return obj.Fingerprint
}

// sights collects what a pass reads from the primary, until it is told to the
// scanner whose feed it follows.
type sights struct {
	mu   sync.Mutex
	read map[Ref]string
	feed ScannedFeed // nil: nobody wants to know
	scan Scan
	told bool // scan was asked for
}

// observer begins to collect for a pass, if somebody wants to know.
func (e *Engine) observer() *sights {
	feed, _ := e.Feed.(ScannedFeed)
	return &sights{feed: feed}
}

func (s *sights) note(ref Ref, sight string) {
	if s == nil || s.feed == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read == nil {
		s.read = map[Ref]string{}
	}
	s.read[ref] = sight
}

// get reads an object from the primary, and remembers the sight.
func (p *pass) get(ctx context.Context, ref Ref) (Object, error) {
	obj, err := p.Source.Get(ctx, ref)
	switch {
	case IsAbsent(err):
		p.sights.note(ref, "")
	case err == nil:
		p.sights.note(ref, Sight(obj))
	}
	return obj, err
}

// tell says what was read since the last time. It comes before the record that
// the work is done: a pass that dies in between reads, and tells, again. What the
// scanner knows is asked for once, after the position was taken; all that it
// learns later has rows behind that.
func (p *pass) tell(ctx context.Context, absent func(Ref) bool) error {
	s := p.sights
	follows := p.progress.Position != nil || p.progress.Work != nil && p.progress.Work.Upto != nil
	if s == nil || s.feed == nil || !follows {
		return nil
	}
	s.mu.Lock()
	read := maps.Clone(s.read)
	s.mu.Unlock()
	if len(read) == 0 && absent == nil {
		return nil
	}
	if !s.told {
		var err error
		if s.scan, err = s.feed.Scan(ctx); err != nil {
			return fmt.Errorf("ask what the scanner knows: %w", err)
		}
		s.told = true
	}
	if s.scan != nil {
		if err := s.scan.Doubt(ctx, Sightings{Sights: read, Absent: absent}); err != nil {
			return fmt.Errorf("tell the scanner what was seen: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.read)
	return nil
}
