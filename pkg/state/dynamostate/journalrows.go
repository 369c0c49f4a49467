package dynamostate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"chefsync/pkg/feed/journal"
)

// wireRows are rows that were written together. Their ids end at the one in the
// sort key.
type wireRows struct {
	At   int64       `json:"at"`   // microseconds since 1970
	Rows [][2]string `json:"rows"` // action and path
}

// rowsItem is the item of rows, of which first is the oldest. Its name tells who
// wrote it. The item has no time to live: see the package documentation.
func rowsItem(source string, first int64, at time.Time, entries []journal.Entry, name []byte) (item, error) {
	w := wireRows{At: micros(at)}
	for _, e := range entries {
		w.Rows = append(w.Rows, [2]string{e.Action, e.Path})
	}
	packed, err := pack(w)
	if err != nil {
		return nil, err
	}
	it := keyOf(journalPK(source), rowsSK(first+int64(len(entries))-1))
	it[attrSchema], it[attrCommit], it[attrRecord] = num(journalSchema), bin(name), bin(packed)
	return it, nil
}

// readRows reads an item of rows.
func readRows(it item) ([]journal.Row, error) {
	r := reader{it: it}
	if err := checkVersion(r.num(attrSchema), journalSchema); err != nil {
		return nil, err
	}
	last, err := lastID(r.str(keySK))
	if err := errors.Join(r.err, err); err != nil {
		return nil, err
	}
	rows, err := unpackRows(last, r.bin(attrRecord))
	return rows, errors.Join(err, r.err)
}

// lastID is the id in the sort key of rows.
func lastID(sk string) (int64, error) {
	digits, ok := strings.CutPrefix(sk, rowSK)
	last, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || rowsSK(last) != sk {
		return 0, damaged(fmt.Errorf("%q is not the key of rows", sk))
	}
	return last, nil
}

func unpackRows(last int64, packed []byte) ([]journal.Row, error) {
	w, err := unpack[wireRows](packed)
	if err != nil {
		return nil, err
	}
	if n := len(w.Rows); n == 0 || int64(n) > last {
		return nil, damaged(fmt.Errorf("%d rows end at the id %d", n, last))
	}
	rows := make([]journal.Row, len(w.Rows))
	for i, r := range w.Rows {
		rows[i] = journal.Row{ID: last - int64(len(rows)-1-i), Action: r[0], Path: r[1], Time: fromMicros(w.At)}
	}
	return rows, nil
}

// Rows implements [journal.Store]: one Query when the journal ends within limit,
// and one Query for each MB and a GetItem when it doesn't.
//
// A query is not of one moment: it may show the head of one write and the rows
// of another. Rows never change, so those that the head counts are what was
// there at its moment; where one is missing, both are read again.
func (j Journals) Rows(ctx context.Context, source string, after int64, limit int) (page journal.Page, err error) {
	if err := checkSource(source); err != nil {
		return page, err
	}
	from := max(after, 0)
	err = j.s.settle(ctx, func() error {
		h, rows, err := j.scan(ctx, source, from, limit)
		if err != nil {
			return err
		}
		page, err = assemble(h.head(), rows, after, limit)
		page.Generation, page.Scans = h.generation, h.lease.Fence
		from = max(from, h.oldest-1) // what lies before is left over
		return err
	})
	if err != nil {
		return journal.Page{}, j.explain(ctx, "read the journal of "+source, source, err)
	}
	return page, nil
}

// scan reads rows behind an id, limit of them or more, or as many as there are,
// and the head, with or after them.
func (j Journals) scan(ctx context.Context, source string, after int64, limit int) (h journalHead, rows []journal.Row, err error) {
	if limit > 0 && after < math.MaxInt64 {
		for it, err := range j.s.between(ctx, journalPK(source), rowsSK(after+1), headSK, min(limit, 1000)+1) {
			if err != nil {
				return h, nil, err
			}
			if r := (reader{it: it}); r.str(keySK) == headSK {
				h, err = readJournalHead(it)
				return h, rows, err
			}
			more, err := readRows(it)
			if err != nil {
				return h, nil, err
			}
			if rows = append(rows, behind(more, after)...); len(rows) >= limit {
				break
			}
		}
	}
	h, err = j.read(ctx, source)
	return h, rows, err
}

func behind(rows []journal.Row, after int64) []journal.Row {
	for len(rows) > 0 && rows[0].ID <= after {
		rows = rows[1:]
	}
	return rows
}

// assemble picks the rows that a head counts. It returns errMoved if one of them
// isn't there.
func assemble(head journal.Head, rows []journal.Row, after int64, limit int) (journal.Page, error) {
	page := journal.Page{Head: head}
	if head.Epoch == "" {
		return page, nil
	}
	next := head.Oldest
	if after >= next {
		if after >= head.Newest {
			return page, nil
		}
		next = after + 1
	}
	for _, r := range behind(rows, next-1) {
		if len(page.Rows) >= limit || r.ID > head.Newest {
			break
		}
		if r.ID != next {
			return page, missing(next)
		}
		page.Rows = append(page.Rows, r)
		next++
	}
	if len(page.Rows) < limit && next <= head.Newest {
		return page, missing(next)
	}
	return page, nil
}

func missing(id int64) error { return fmt.Errorf("%w: row %d isn't there", errMoved, id) }
