package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"chefsync/pkg/chef"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

const (
	// searchRows is the number of objects that one search returns. A server builds the
	// answer in memory (docs/chef-server-api.md §6.4).
	searchRows = 250
	// searchTerms is the number of objects that one query names, and searchLength bounds
	// the bytes of it: nginx refuses a request line of more than 8 KB.
	searchTerms  = 100
	searchLength = 6 << 10
	// fewObjects is the number of objects of a collection of unknown size below which a
	// GET each is cheaper: it needs no index.
	fewObjects = 10
	// mostOfMany limits the size of a collection that is read completely, as a multiple
	// of the requested objects.
	mostOfMany = 4
	// searchPause is the time without searches after one failed or returned wrong rows.
	searchPause = 10 * time.Minute
	// searchesAtOnce limits the concurrent searches of one call. The client limits all
	// requests.
	searchesAtOnce = 8
	// checkEvery is the time between two checks of rows, and rowChecks the maximum number
	// of rows of a kind that one check compares with a GET.
	checkEvery = time.Hour
	rowChecks  = 3
)

// searchState records whether a source may search.
type searchState struct {
	mu      sync.Mutex
	until   time.Time // no search before
	checked map[object.Kind]time.Time
	now     func() time.Time
}

func newSearchState() *searchState {
	return &searchState{checked: map[object.Kind]time.Time{}, now: time.Now}
}

func (s *searchState) isPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().Before(s.until)
}

// beginPause pauses search, and reports whether it was not paused before.
func (s *searchState) beginPause() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	began := !now.Before(s.until)
	s.until = now.Add(searchPause)
	return began
}

// checkDue reports whether the rows of a kind are due to be checked, and records the check.
func (s *searchState) checkDue(k object.Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	due := now.Sub(s.checked[k]).Abs() >= checkEvery
	if due {
		s.checked[k] = now
	}
	return due
}

// bulkRead is one call of GetBulk.
type bulkRead struct {
	*Source
	options replication.BulkOptions
	mu      sync.Mutex // guards all below
	found   map[object.Ref]object.Object
	room    int // for bodies
}

// GetBulk implements replication.Reader by search: a row has the current content from
// the database, but the index may lack objects (docs/chef-server-api.md §6.2). So a
// missing row means nothing, and errors only make the result smaller.
func (s *Source) GetBulk(ctx context.Context, refs []object.Ref, o replication.BulkOptions) map[object.Ref]object.Object {
	b := &bulkRead{Source: s, options: o, found: map[object.Ref]object.Object{}, room: o.BodyBytes}
	for _, ref := range refs {
		if o.Listed && !ref.Kind.HasContent() {
			obj := contentless(ref)
			b.found[ref] = obj
			b.room -= len(obj.Body)
		}
	}
	searches := searchesFor(refs, o.Listed)
	if len(searches) == 0 || s.search.isPaused() {
		return b.found
	}
	b.readCollection(ctx, searches[0]) // so that a server without search gets only one request
	var wg sync.WaitGroup
	slots := make(chan struct{}, searchesAtOnce)
	for _, collection := range searches[1:] {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			b.readCollection(ctx, collection)
		})
	}
	wg.Wait()
	b.checkRows(ctx)
	return b.found
}

// search is the search of one collection: roles, environments, or the items of one data
// bag.
type search struct {
	scope  object.Scope
	index  string
	field  string // that contains the name of an object
	wanted map[object.Ref]bool
}

// searchesFor returns the searches for the objects that can be searched for.
func searchesFor(refs []object.Ref, listed bool) []*search {
	byScope := map[object.Scope]*search{}
	for _, ref := range refs {
		scope := object.Scope{Kind: ref.Kind}
		if ref.Kind.HasTwoNames() {
			scope.Name = ref.Name
		}
		s := byScope[scope]
		if s == nil {
			index, field := ref.SearchIndex()
			if index == "" || !validRef(ref) {
				continue
			}
			s = &search{scope, index, field, map[object.Ref]bool{}}
			byScope[scope] = s
		}
		s.wanted[ref] = true
	}
	least := fewObjects
	if listed {
		least = 2 // for one, a GET also takes one request and needs no index
	}
	maps.DeleteFunc(byScope, func(_ object.Scope, s *search) bool { return len(s.wanted) < least })
	return slices.SortedFunc(maps.Values(byScope), func(a, b *search) int {
		return object.Compare(object.Ref(a.scope), object.Ref(b.scope))
	})
}

// readCollection reads a collection page by page, and by name what pages don't return.
func (b *bulkRead) readCollection(ctx context.Context, s *search) {
	whole := false
	if b.options.Listed {
		whole = b.readPages(ctx, s)
	}
	if !whole {
		b.readByName(ctx, s)
	}
}

// readPages reads all objects in the index, unless they are far more than the requested
// ones. It reports whether there is nothing beyond the last page that it read.
func (b *bulkRead) readPages(ctx context.Context, s *search) (whole bool) {
	seen := 0
	for start := 0; ; start += searchRows {
		if start+searchRows > chef.SearchWindow {
			return false
		}
		page, again := b.readPage(ctx, s, "*:*", start)
		if page == nil {
			return start == 0 || !again
		}
		if page.Total > mostOfMany*len(s.wanted) {
			return false
		}
		seen += len(page.Rows)
		if len(page.Rows) == 0 || start+searchRows >= page.Total || seen >= page.Total {
			return page.Total < chef.SearchWindow
		}
	}
}

// readByName reads the objects that are still missing by queries with their names.
func (b *bulkRead) readByName(ctx context.Context, s *search) {
	var names []string
	b.mu.Lock()
	for ref := range s.wanted {
		_, found := b.found[ref]
		name := ref.Name
		if ref.Kind.HasTwoNames() {
			name = ref.Sub
		}
		if !found && chef.PlainTerm(name) {
			names = append(names, name)
		}
	}
	b.mu.Unlock()
	slices.Sort(names)
	for chunk := range chunkNames(names, s.field) {
		if len(chunk) < 2 {
			return
		}
		if page, _ := b.readPage(ctx, s, chef.SearchNames(s.field, chunk), 0); page == nil {
			return
		}
	}
}

// chunkNames cuts names into those of one query each.
func chunkNames(names []string, field string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for len(names) > 0 {
			n, size := 0, 0
			for n < min(len(names), searchTerms) {
				if size += len(url.QueryEscape(" OR " + field + ":" + names[n])); n > 0 && size > searchLength {
					break
				}
				n++
			}
			if !yield(names[:n]) {
				return
			}
			names = names[n:]
		}
	}
}

// readPage reads one page and adds the requested objects in it to the result. If page is
// nil, again reports whether another query may succeed.
func (b *bulkRead) readPage(ctx context.Context, s *search, query string, start int) (page *chef.SearchPage, again bool) {
	if ctx.Err() != nil || b.search.isPaused() {
		return nil, false
	}
	page, err := b.org.Search(ctx, s.index, query, start, searchRows)
	if err == nil {
		for _, row := range page.Rows {
			if obj, ok := decodeRow(s.scope, row); ok && s.wanted[obj.Ref] {
				b.addFound(obj)
			}
		}
		return page, true
	}
	switch kind := chef.KindOf(err); {
	case ctx.Err() != nil:
		return nil, false
	case kind == chef.KindAbsent, kind == chef.KindInvalid, kind == chef.KindTooLarge, start > 0:
		return nil, true // others may do
	}
	b.pauseSearch(ctx, err.Error())
	return nil, false
}

func (b *bulkRead) addFound(obj object.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(obj.Body) > b.room {
		obj.Body = nil
	}
	b.room -= len(obj.Body)
	obj.Body = bytes.Clone(obj.Body) // it is a part of the whole page
	b.found[obj.Ref] = obj
}

func (s *Source) pauseSearch(ctx context.Context, why string) {
	if s.search.beginPause() {
		s.log.WarnContext(ctx, "search can't be used; objects are read one by one", "server", s.org.Client().Name(),
			"org", s.org.Name(), "pause", searchPause, "reason", why)
	}
}

// decodeRow decodes a row. It returns false for any unexpected form; the object is then
// read by a GET.
func decodeRow(scope object.Scope, row []byte) (object.Object, bool) {
	// A map, since encoding/json matches the fields of a struct in any case.
	var members map[string]json.RawMessage
	none := object.Object{}
	if json.Unmarshal(row, &members) != nil {
		return none, false
	}
	ref, body := object.Ref{Kind: scope.Kind, Name: stringOf(members["name"])}, row
	if scope.Kind.Parent() != "" {
		body = members["raw_data"]
		var item map[string]json.RawMessage
		isItem := stringOf(members["json_class"]) == "Chef::DataBagItem" && stringOf(members["data_bag"]) == scope.Name
		if !isItem || json.Unmarshal(body, &item) != nil {
			return none, false
		}
		ref.Name, ref.Sub = scope.Name, stringOf(item["id"])
	}
	if !validRef(ref) {
		return none, false
	}
	obj, err := decodeObject(ref, body)
	return obj, err == nil
}

// checkRows compares a row of each kind with a GET, every checkEvery. If two rows differ,
// rows don't come from the database, and all of the kind are discarded. If only one
// differs, the object has changed in between.
func (b *bulkRead) checkRows(ctx context.Context) {
	byKind := map[object.Kind][]object.Ref{}
	for ref := range b.found { // in random order
		if ref.Kind.HasContent() && len(byKind[ref.Kind]) < rowChecks {
			byKind[ref.Kind] = append(byKind[ref.Kind], ref)
		}
	}
	for kind, refs := range byKind {
		if b.search.checkDue(kind) && !b.rowsAreRight(ctx, refs) {
			b.pauseSearch(ctx, "rows of kind "+string(kind)+" differ from the objects")
			maps.DeleteFunc(b.found, func(ref object.Ref, _ object.Object) bool { return ref.Kind == kind })
		}
	}
}

// rowsAreRight reports whether rows equal their objects. It reads objects until one
// equals its row.
func (b *bulkRead) rowsAreRight(ctx context.Context, refs []object.Ref) bool {
	differ := 0
	for _, ref := range refs {
		obj, err := b.Get(ctx, ref)
		if err != nil {
			continue
		}
		same := b.found[ref].Fingerprint == obj.Fingerprint
		b.addFound(obj)
		if same {
			return true
		}
		differ++
	}
	return differ == 0 || differ == 1 && len(refs) > 1
}
