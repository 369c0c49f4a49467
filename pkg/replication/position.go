package replication

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
)

// markedRows is how many of the newest rows a position remembers by content.
const markedRows = 8

// Continue compares an answer of a feed with the position that was reached. Rows
// must be the feed's rows with an id greater than pos.Seq - overlap.
//
// Fresh are the changes that were not handled yet: those above the position, and
// those below it that became visible late (an id is given before its transaction
// commits, so rows can appear out of order). Next is the position once they are
// handled. ErrPositionLost means that the feed isn't the one that was read
// before, or no longer has the rows that follow the position. A feed that knows
// the bounds of its rows tells by them; of another, the row at the position must
// be in the answer, and the rows that the position remembers must be as they were.
//
// Two things can't be seen in a feed alone: a row that becomes visible more than
// overlap ids late, and a feed that begins again with the very rows it had. A full
// comparison finds what they named.
func Continue(pos Position, rows Rows, overlap int64) (fresh []Change, next Position, err error) {
	if pos.Seq > 0 && !sameFeed(pos, rows) || rows.Epoch != pos.Epoch {
		return nil, pos, ErrPositionLost
	}
	seen := make(map[int64]bool, len(pos.Seen))
	for _, id := range pos.Seen {
		seen[id] = true
	}
	marks := maps.Clone(pos.Marks)
	if marks == nil {
		marks = map[int64]string{}
	}
	next = pos
	for _, c := range rows.Changes {
		if seen[c.ID] || pos.Seq > 0 && c.ID <= pos.Seq-overlap {
			continue // handled, or more than was asked for
		}
		next.Seq = max(next.Seq, c.ID)
		fresh = append(fresh, c)
		seen[c.ID] = true
		marks[c.ID] = rowMark(c)
	}
	next.Seq = max(next.Seq, rows.Newest) // the rows up to there may have expired
	next.Seen = nil
	for id := range seen {
		if id > next.Seq-overlap {
			next.Seen = append(next.Seen, id)
		}
	}
	slices.Sort(next.Seen)
	next.Marks = newestMarks(marks)
	return fresh, next, nil
}

func sameFeed(pos Position, rows Rows) bool {
	there := false
	for _, c := range rows.Changes {
		if m, marked := pos.Marks[c.ID]; marked && m != rowMark(c) {
			return false
		}
		there = there || c.ID == pos.Seq
	}
	if rows.Newest > 0 {
		return rows.Oldest <= pos.Seq+1 && pos.Seq <= rows.Newest
	}
	return there
}

// rowMark is a short hash of what a row says.
func rowMark(c Change) string {
	sum := sha256.Sum256([]byte(c.Action + " " + c.Path))
	return hex.EncodeToString(sum[:4])
}

// newestMarks keeps the marks of the largest ids.
func newestMarks(marks map[int64]string) map[int64]string {
	ids := slices.Sorted(maps.Keys(marks))
	for _, id := range ids[:max(0, len(ids)-markedRows)] {
		delete(marks, id)
	}
	if len(marks) == 0 {
		return nil
	}
	return marks
}
