package cheftest

import (
	"slices"
	"strconv"
)

// FeedRow is a row of updated_since. The feed of the real product is gone;
// only its shape and the paths of roles were ever published
// (docs/chef-server-api.md §2). The other paths are those of the API below the
// organization. Deleting a bag gives one row, for the bag.
type FeedRow struct {
	ID     int64
	Action string // create, update or delete
	Path   string // such as /roles/web or /cookbooks/nginx/1.0.0
}

type feedLog struct {
	rows []FeedRow
	next int64
	hold int
	held map[int64]bool
}

// changed records a change. Holding the lock is the caller's duty.
func (o *Org) changed(action, path string) {
	f := &o.feed
	f.next++
	f.rows = append(f.rows, FeedRow{f.next, action, path})
	if f.hold > 0 {
		f.hold--
		if f.held == nil {
			f.held = map[int64]bool{}
		}
		f.held[f.next] = true
	}
}

// Feed returns all recorded rows, those held back too.
func (o *Org) Feed() []FeedRow {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	return slices.Clone(o.feed.rows)
}

// AddRow records a row that no change made.
func (o *Org) AddRow(action, path string) { o.s.locked(func() { o.changed(action, path) }) }

// RepeatRows appends all rows once more, with their old ids: duplicates.
func (o *Org) RepeatRows() {
	o.s.locked(func() { o.feed.rows = append(o.feed.rows, slices.Clone(o.feed.rows)...) })
}

// SkipIDs leaves a gap of n ids that never fills.
func (o *Org) SkipIDs(n int64) { o.s.locked(func() { o.feed.next += n }) }

// HoldBack hides the next n rows until ReleaseRows, while later rows show: ids
// become visible out of order.
func (o *Org) HoldBack(n int) { o.s.locked(func() { o.feed.hold = n }) }

// ReleaseRows shows all rows that were held back, and holds no more.
func (o *Org) ReleaseRows() { o.s.locked(func() { o.feed.hold, o.feed.held = 0, nil }) }

// ResetFeed forgets all rows and starts again at id 1, as a primary that was
// rebuilt would.
func (o *Org) ResetFeed() { o.s.locked(func() { o.feed = feedLog{} }) }

// TrimFeed forgets all rows but the newest n; ids go on.
func (o *Org) TrimFeed(n int) {
	o.s.locked(func() { o.feed.rows = slices.Clone(o.feed.rows[max(0, len(o.feed.rows)-n):]) })
}

// updatedSince answers the rows after seq, in the order in which they were
// recorded, to anybody who may list roles: what right the product asked for
// isn't known.
func (s *Server) updatedSince(q *request) *answer {
	seq := int64(0)
	if text := q.r.URL.Query().Get("seq"); text != "" {
		var err error
		if seq, err = strconv.ParseInt(text, 10, 64); err != nil || seq < 0 {
			return invalid("invalid 'seq' value: '%s'", text)
		}
	}
	if a := q.need("read", "containers/roles"); a != nil {
		return a
	}
	rows := []any{}
	for _, r := range q.org.feed.rows {
		if r.ID > seq && !q.org.feed.held[r.ID] {
			rows = append(rows, obj("action", r.Action, "id", r.ID, "path", r.Path))
		}
	}
	return ok(rows)
}
