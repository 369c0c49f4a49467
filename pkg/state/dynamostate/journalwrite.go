package dynamostate

import (
	"bytes"
	"context"
	"errors"
	"time"

	"chefsync/pkg/feed/journal"
)

// contention is how often a write of a journal is built anew because another was
// faster: for about ten seconds in all. Each time at least one writer gets
// through.
const contention = 32

// journalWrite is a conditional write of a journal's head, with rows beside it
// unless last is 0.
type journalWrite struct {
	change
	source string
	name   []byte // of the write
	last   int64  // id of the newest row
	rows   item
	key    string // of the blob with the scanner's memory; "" if it stays
}

// newJournalWrite begins with what every write of a head writes.
func newJournalWrite(source string) *journalWrite {
	w := &journalWrite{source: source, name: token(8)}
	w.set, w.condition, w.values = "SET v = :v", ifKnown, item{":v": num(journalSchema)}
	return w
}

// expect makes a write depend on a number as it was read.
func (w *journalWrite) expect(attr string, n int64) {
	if n == 0 {
		w.condition += " AND attribute_not_exists(" + attr + ")"
		return
	}
	w.condition += " AND " + attr + " = :was_" + attr
	w.values[":was_"+attr] = num(n)
}

func (w *journalWrite) put(attr string, n int64) {
	w.set += ", " + attr + " = :" + attr
	w.values[":"+attr] = num(n)
}

// add gives entries the next ids. The next id only ever grows, so a write that
// depends on it is done at most once, however often it is sent.
func (w *journalWrite) add(h *journalHead, at time.Time, entries []journal.Entry) (err error) {
	if len(entries) == 0 {
		return nil
	}
	if w.rows, err = rowsItem(w.source, h.next, at, entries, w.name); err != nil {
		return err
	}
	h.next += int64(len(entries))
	w.last = h.next - 1
	w.put(attrNext, h.next)
	return nil
}

// contend tries a write until nobody is in the way.
func (j Journals) contend(ctx context.Context, try func() error) error {
	var err error
	for attempt := range contention {
		if err = try(); !errors.Is(err, errMoved) || j.s.sleep(ctx, backoff(min(attempt, 4))) != nil {
			return err
		}
	}
	return err
}

// write sends a write and finds out whether it happened. It returns errMoved when
// it didn't and never will.
func (j Journals) write(ctx context.Context, w *journalWrite) error {
	var err error
	if w.rows == nil {
		_, err = j.s.updateItem(ctx, journalKey(w.source), w.change)
	} else {
		err = j.s.transactItems(ctx, journalKey(w.source), w.change, []item{w.rows})
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	done, lookErr := j.happened(ctx, w)
	_, no := refused(err)
	switch {
	case lookErr != nil:
		return err // nobody knows
	case done:
		return nil // the answer was lost
	case no:
		return errMoved
	}
	return err
}

// happened looks for what a write has left: its rows, under an id that no other
// write was given, else its blob.
func (j Journals) happened(ctx context.Context, w *journalWrite) (bool, error) {
	if w.rows == nil {
		h, err := j.read(ctx, w.source)
		return err == nil && h.memory.Blob != nil && h.memory.Blob.Key == w.key, err
	}
	it, err := j.s.get(ctx, keyOf(journalPK(w.source), rowsSK(w.last)))
	r := reader{it: it}
	return err == nil && bytes.Equal(r.bin(attrCommit), w.name), errors.Join(err, r.err)
}

// Append implements [journal.Store]. An Append whose answer was lost is looked for
// in the table, and one that others were faster than gets other ids, so it is
// done once. Only if the table can't be asked it fails without anybody knowing;
// appended once more, the rows may then be there twice.
func (j Journals) Append(ctx context.Context, source string, at time.Time, entries []journal.Entry) (head journal.Head, err error) {
	if len(entries) == 0 {
		return j.Head(ctx, source)
	}
	if err := errors.Join(checkSource(source), journal.CheckEntries(entries)); err != nil {
		return head, err
	}
	err = j.contend(ctx, func() error {
		h, err := j.read(ctx, source)
		if err != nil {
			return err
		}
		if h.epoch == "" {
			return journal.ErrNoJournal
		}
		w := newJournalWrite(source)
		w.expect(attrNext, h.next)
		if err := w.add(&h, at, entries); err != nil {
			return err
		}
		head = h.head()
		return j.write(ctx, w)
	})
	if err != nil {
		return journal.Head{}, j.explain(ctx, "write the journal of "+source, source, err)
	}
	return head, nil
}
