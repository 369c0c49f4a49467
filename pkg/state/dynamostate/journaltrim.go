package dynamostate

import (
	"context"
	"time"

	"chefsync/pkg/feed/journal"
)

// Trim implements [journal.Store]. First the head says that rows are gone, then
// they are removed, as far as that can be done: the next Trim finds what is left
// over, as they are the first items it reads.
func (j Journals) Trim(ctx context.Context, source string, before time.Time, keep int) (head journal.Head, err error) {
	if err := checkSource(source); err != nil {
		return head, err
	}
	err = j.contend(ctx, func() error {
		h, err := j.trim(ctx, source, before, keep)
		head = h.head()
		return err
	})
	if err != nil {
		return journal.Head{}, j.explain(ctx, "trim the journal of "+source, source, err)
	}
	return head, nil
}

func (j Journals) trim(ctx context.Context, source string, before time.Time, keep int) (journalHead, error) {
	h, err := j.read(ctx, source)
	if err != nil || h.epoch == "" {
		return h, err
	}
	oldest, dead, err := j.expired(ctx, source, h, before, keep)
	if err != nil {
		return h, err
	}
	if oldest > h.oldest {
		w := newJournalWrite(source)
		w.condition += " AND e = :e"
		w.values[":e"] = str(h.epoch)
		w.expect(attrOldest, h.oldest)
		w.put(attrOldest, oldest)
		it, err := j.s.updateItem(ctx, journalKey(source), w.change)
		if _, no := refused(err); no { // another Trim, or this one's answer was lost
			return h, errMoved
		}
		if err != nil {
			return h, err
		}
		if h, err = readJournalHead(it); err != nil {
			return h, err
		}
	}
	j.s.deleteAll(ctx, journalPK(source), dead)
	return h, nil
}

// expired finds the id of the oldest row that stays, and the keys of items all
// of whose rows go.
func (j Journals) expired(ctx context.Context, source string, h journalHead, before time.Time, keep int) (oldest int64, dead []string, err error) {
	floor := h.oldest
	if keep > 0 {
		floor = max(floor, h.next-int64(keep))
	}
	newest := h.next - 1
	for it, err := range j.s.between(ctx, journalPK(source), rowsSK(0), rowsSK(newest), 100) {
		if err != nil {
			return 0, nil, err
		}
		rows, err := readRows(it)
		if err != nil {
			return 0, nil, err
		}
		last := rows[len(rows)-1].ID
		if last >= floor && !rows[0].Time.Before(before) {
			return max(floor, rows[0].ID), dead, nil
		}
		if last < newest {
			dead = append(dead, rowsSK(last))
		}
	}
	return newest, dead, nil
}

// dropBelow removes rows that a new journal has left behind. What it can't remove
// the next Trim will.
func (j Journals) dropBelow(ctx context.Context, source string, id int64) {
	var dead []string
	for it, err := range j.s.between(ctx, journalPK(source), rowsSK(0), rowsSK(id-1), 1000) {
		if err != nil {
			break
		}
		r := reader{it: it}
		dead = append(dead, r.str(keySK))
	}
	j.s.deleteAll(ctx, journalPK(source), dead)
}
