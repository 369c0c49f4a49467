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

// recordChange records a change. The lock must be held.
func (o *Org) recordChange(action, path string) {
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

// Feed returns all recorded rows, hidden ones included.
func (o *Org) Feed() []FeedRow {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	return slices.Clone(o.feed.rows)
}

// AddRow records a row without a change.
func (o *Org) AddRow(action, path string) { o.s.withLock(func() { o.recordChange(action, path) }) }

// RepeatRows appends all rows again, with their old ids.
func (o *Org) RepeatRows() {
	o.s.withLock(func() { o.feed.rows = append(o.feed.rows, slices.Clone(o.feed.rows)...) })
}

// SkipIDs leaves a gap of n ids that never fills.
func (o *Org) SkipIDs(n int64) { o.s.withLock(func() { o.feed.next += n }) }

// HoldBack hides the next n rows until ReleaseRows, while later rows are visible: ids
// become visible out of order.
func (o *Org) HoldBack(n int) { o.s.withLock(func() { o.feed.hold = n }) }

// ReleaseRows makes all hidden rows visible.
func (o *Org) ReleaseRows() { o.s.withLock(func() { o.feed.hold, o.feed.held = 0, nil }) }

// ResetFeed deletes all rows and starts again at id 1, like a primary that was rebuilt.
func (o *Org) ResetFeed() { o.s.withLock(func() { o.feed = feedLog{} }) }

// TrimFeed deletes all rows but the newest n; ids continue.
func (o *Org) TrimFeed(n int) {
	o.s.withLock(func() { o.feed.rows = slices.Clone(o.feed.rows[max(0, len(o.feed.rows)-n):]) })
}

// updatedSince answers the rows after seq, in the order in which they were
// recorded, to actors that may list roles: the permission that the product required
// isn't known.
func (s *Server) updatedSince(q *request) *answer {
	seq := int64(0)
	if text := q.r.URL.Query().Get("seq"); text != "" {
		var err error
		if seq, err = strconv.ParseInt(text, 10, 64); err != nil || seq < 0 {
			return invalid("invalid 'seq' value: '%s'", text)
		}
	}
	if a := q.checkPermission("read", "containers/roles"); a != nil {
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
