package replication

import "slices"

// Continue compares an answer of a feed with the position that was reached. Rows
// must be the feed's rows with an id greater than pos.Seq - overlap.
//
// Fresh are the changes that were not handled yet: those above the position, and
// those below it that became visible late (an id is given before its transaction
// commits, so rows can appear out of order). Next is the position once they are
// handled. ErrPositionLost means that the feed isn't the one that was read
// before, or no longer has the rows that follow the position: the row at the
// position must be in the answer, under the same path.
//
// A row that becomes visible more than overlap ids late isn't seen; only a full
// compare finds what it named.
func Continue(pos Position, rows Rows, overlap int64) (fresh []Change, next Position, err error) {
	next = pos
	if pos.Seq > 0 && !slices.ContainsFunc(rows.Changes, func(c Change) bool { return c.ID == pos.Seq && c.Path == pos.Mark }) {
		return nil, pos, ErrPositionLost
	}
	seen := make(map[int64]bool, len(pos.Seen))
	for _, id := range pos.Seen {
		seen[id] = true
	}
	next.Seen = nil
	for _, c := range rows.Changes {
		if pos.Seq > 0 && c.ID <= pos.Seq-overlap {
			continue // a feed that answers more than it was asked for
		}
		if c.ID > next.Seq {
			next.Seq, next.Mark = c.ID, c.Path
		}
		if !seen[c.ID] {
			fresh = append(fresh, c)
			seen[c.ID] = true
		}
	}
	for id := range seen {
		if id > next.Seq-overlap {
			next.Seen = append(next.Seen, id)
		}
	}
	slices.Sort(next.Seen)
	return fresh, next, nil
}
