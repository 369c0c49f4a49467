package scan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// A scanner sees a change only if the object is otherwise than at the scan before.
// A reader may look in between, because a push or another row sent it there, or
// because it compares everything: it then holds what no scan saw, and when the
// object goes back to what it was, no scan has a reason to say so. Doubts are for
// that. An object is in doubt when somebody else noted a row of it since the last
// scan, be it a receiver of pushes or a reader that saw it otherwise than the
// scanner. The next scan looks at it, frozen or not, and notes it again. That row
// comes after what the scanner now knows, so a reader that reads the object after
// it either sees the same, or says so again.

// doubts are objects in doubt.
type doubts map[replication.Ref]bool

// othersSince returns the objects of which rows up to an id (0: all) were noted
// since a scan of which the memory is, but for the rows that the scan itself noted
// last. Rows of listings are left out: who reads by them says of each object what
// was seen.
func othersSince(ctx context.Context, store journal.Store, source string, head journal.Head, m *memory) (doubts, error) {
	if head.Newest == m.Through+int64(len(m.Tail)) && m.Through > 0 {
		return nil, nil
	}
	own := map[string]int{}
	for _, path := range m.Tail {
		own[path]++
	}
	return rowsBetween(ctx, store, source, m.Through, head.Newest, own)
}

// rowsBetween returns the objects of which there are more rows in (after, upto]
// than own says.
func rowsBetween(ctx context.Context, store journal.Store, source string, after, upto int64, own map[string]int) (doubts, error) {
	found := doubts{}
	for after < upto {
		page, err := store.Rows(ctx, source, after, pageRows)
		if err != nil {
			return nil, fmt.Errorf("read the journal of %s: %w", source, err)
		}
		for _, row := range page.Rows {
			after = row.ID
			if own[row.Path]--; own[row.Path] >= 0 || row.ID > upto {
				continue
			}
			var ref replication.Ref
			if ref.UnmarshalText([]byte(row.Path)) == nil && !ref.IsListing() {
				found[ref] = true
			}
		}
		if len(page.Rows) < pageRows {
			break
		}
	}
	return found, nil
}

// pageRows is how many rows are read at once.
const pageRows = 1000

func (d doubts) sorted() []replication.Ref {
	return slices.SortedFunc(maps.Keys(d), replication.CompareRefs)
}

// doubt begins a scan with the objects that are in doubt.
func (p *pass) doubt(ctx context.Context) error {
	p.doubts = doubts{}
	if p.begin {
		return nil // readers compare everything anyway
	}
	maps.Copy(p.doubts, p.before.Doubts)
	now := calm{p.known.Head.Epoch, p.known.Generation, p.known.Head.Newest}
	if now != p.calm {
		others, err := othersSince(ctx, p.Store, p.Source, p.known.Head, p.before)
		if err != nil {
			return err
		}
		maps.Copy(p.doubts, others)
	}
	maps.DeleteFunc(p.doubts, func(ref replication.Ref, _ bool) bool { return !p.includes(ref.Kind) })
	if len(p.doubts) == 0 {
		p.calm = now
	}
	return nil
}

// calm is a state of a journal in which nothing was in doubt.
type calm struct {
	epoch              string
	generation, newest int64
}

// account says in the memory which rows it takes into account: all up to now, and
// those that are written together with it. Own are the rows of this scan that are
// in the journal by now; what others noted during the scan is in doubt.
func (p *pass) account(ctx context.Context, own map[string]int, tail []journal.Entry) error {
	before, now, mine := p.known.Head.Newest, p.report.Head.Newest, int64(0)
	for _, n := range own {
		mine += int64(n)
	}
	if !p.begin && now-before > mine {
		others, err := rowsBetween(ctx, p.Store, p.Source, before, now, own)
		if err != nil {
			return err
		}
		maps.Copy(p.doubts, others)
	}
	p.now.Through, p.now.Doubts, p.now.Tail = now, p.doubts, nil
	for _, e := range tail {
		p.now.Tail = append(p.now.Tail, e.Path)
	}
	return nil
}

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
	return knownScan{f, m}, nil
}

// knownScan is what a scanner knew.
type knownScan struct {
	feed
	memory *memory
}

// Doubt implements replication.Scan.
func (k knownScan) Doubt(ctx context.Context, s replication.Sightings) error {
	differ := doubts{}
	for ref, sight := range s.Sights {
		if !k.memory.agrees(ref, sight) {
			differ[ref] = true
		}
	}
	if s.Absent != nil {
		for ref := range k.memory.Objects {
			if _, read := s.Sights[ref]; !read && s.Absent(ref) {
				differ[ref] = true
			}
		}
	}
	if len(differ) == 0 {
		return nil
	}
	head, err := k.store.Head(ctx, k.source)
	if err != nil {
		return err
	}
	noted, err := othersSince(ctx, k.store, k.source, head, k.memory)
	if err != nil {
		return err
	}
	var rows []journal.Entry
	for _, ref := range differ.sorted() {
		bag := replication.Ref{Kind: replication.DataBag, Name: ref.Name} // its row is one of its items too
		if noted[ref] || ref.Kind == replication.DataBagItem && (noted[bag] || differ[bag]) {
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

// agrees tells whether what was seen of an object is what the memory holds. Of
// what was never listed, or never read, the next scan tells by itself.
func (m *memory) agrees(ref replication.Ref, sight string) bool {
	known, there := m.Objects[ref]
	switch {
	case !m.listed(replication.Scope{Kind: ref.Kind, Name: ref.Name}):
		return true
	case !there || sight == "":
		return !there && sight == ""
	}
	return known.Print == "" || known.Print == namePrint || known.Print == sight
}
