package scan

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
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
type doubts map[object.Ref]bool

func (d doubts) sorted() []object.Ref {
	return slices.SortedFunc(maps.Keys(d), object.Compare)
}

// others finds the objects of which others than the scanner noted rows.
type others struct {
	store  journal.Store
	source string
	after  int64          // rows up to here were looked at
	own    map[string]int // rows of the scanner behind that, by path
}

// othersSince begins behind the rows that a memory takes into account. The rows
// that came with it are the scanner's own. When some of them were dropped since,
// nobody can say which, and those that are left pass for rows of others.
func othersSince(store journal.Store, source string, head journal.Head, m *memory) *others {
	o := &others{store: store, source: source, after: m.Through, own: map[string]int{}}
	if head.Oldest <= m.Through+1 {
		for _, path := range m.Tail {
			o.own[path]++
		}
	}
	return o
}

// pageRows is how many rows are read at once.
const pageRows = 1000

// next returns the objects of rows up to an id that were not looked at yet. Rows of
// listings are left out: who reads by them says of each object what was seen.
func (o *others) next(ctx context.Context, upto int64) (doubts, error) {
	found := doubts{}
	own := int64(0)
	for _, n := range o.own {
		own += int64(n)
	}
	for upto-o.after > own { // else there are none but the scanner's own
		page, err := o.store.Rows(ctx, o.source, o.after, pageRows)
		if err != nil {
			return nil, fmt.Errorf("read the journal of %s: %w", o.source, err)
		}
		for _, row := range page.Rows {
			if row.ID > upto {
				o.after = upto
				break
			}
			o.after = row.ID
			if o.own[row.Path] > 0 {
				o.own[row.Path]--
				own--
				continue
			}
			var ref object.Ref
			if ref.UnmarshalText([]byte(row.Path)) == nil && !ref.IsListing() {
				found[ref] = true
			}
		}
		if len(page.Rows) < pageRows {
			break
		}
	}
	o.after, o.own = max(o.after, upto), nil
	return found, nil
}

// doubt begins a scan with the objects that are in doubt.
func (p *pass) doubt(ctx context.Context) error {
	p.doubts = doubts{}
	if p.begin {
		return nil // readers compare everything anyway
	}
	maps.Copy(p.doubts, p.before.Doubts)
	head := p.known.Head
	now := calm{head.Epoch, p.known.Generation, head.Newest}
	if now != p.calm {
		found, err := othersSince(p.Store, p.Source, head, p.before).next(ctx, head.Newest)
		if err != nil {
			return err
		}
		maps.Copy(p.doubts, found)
	}
	maps.DeleteFunc(p.doubts, func(ref object.Ref, _ bool) bool { return !p.includes(ref.Kind) })
	if maps.Equal(p.doubts, p.before.Doubts) {
		p.calm = now
	}
	return nil
}

// calm is a state of a journal whose rows put nothing in doubt but what the memory
// says. Scans that find it again needn't read them.
type calm struct {
	epoch              string
	generation, newest int64
}

// account says in the memory which rows it takes into account: all up to now, and
// those that are written together with it. Own are the rows of this scan that are
// in the journal by now; what others noted during the scan is in doubt.
func (p *pass) account(ctx context.Context, own map[string]int, tail []journal.Entry) error {
	newest := p.report.Head.Newest
	if !p.begin {
		o := &others{store: p.Store, source: p.Source, after: p.known.Head.Newest, own: own}
		found, err := o.next(ctx, newest)
		if err != nil {
			return err
		}
		maps.Copy(p.doubts, found)
	}
	p.now.Through, p.now.Doubts, p.now.Tail = newest, p.doubts, nil
	for _, e := range tail {
		p.now.Tail = append(p.now.Tail, e.Path)
	}
	return nil
}
