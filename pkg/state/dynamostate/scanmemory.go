package dynamostate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// wireMemory points to the blob with a scanner's memory.
type wireMemory struct {
	Blob *blobRef `json:"blob,omitempty"`
	// Garbage are keys of blobs that nothing refers to any more.
	Garbage []string `json:"garbage,omitempty"`
}

// JournalPrefix is what the keys of all blobs of a source begin with. No
// [PairPrefix] begins like it.
func JournalPrefix(source string) string { return "journal=/" + safe(source) + "/" }

// Recall implements [journal.Memory].
func (j Journals) Recall(ctx context.Context, source string) (known journal.Recollection, err error) {
	if err := checkSource(source); err != nil {
		return known, err
	}
	err = j.s.settle(ctx, func() error {
		h, err := j.read(ctx, source)
		if err != nil {
			return err
		}
		known = h.recollection()
		if h.memory.Blob != nil {
			known.Blob, err = j.s.fetch(ctx, *h.memory.Blob)
		}
		return err
	})
	if err != nil {
		return journal.Recollection{}, j.explain(ctx, "read the scan memory of "+source, source, err)
	}
	return known, nil
}

// Acquire implements [journal.Memory].
func (j Journals) Acquire(ctx context.Context, source, owner string, now time.Time, ttl time.Duration) (known journal.Recollection, err error) {
	if err := checkSource(source); err != nil {
		return known, err
	}
	if owner == "" || ttl <= 0 {
		return known, errors.New("lease of a scanner: an owner and a duration are needed")
	}
	h, err := j.acquire(ctx, source, owner, now, ttl)
	if err != nil {
		return known, j.explain(ctx, "take the scanner's lease of "+source, source, err)
	}
	return h.recollection(), nil
}

func (j Journals) acquire(ctx context.Context, source, owner string, now time.Time, ttl time.Duration) (h journalHead, err error) {
	take := change{
		set:       "SET o = :o, x = :x, v = :v ADD f :one",
		condition: ifMine,
		values:    item{":o": str(owner), ":x": num(micros(now.Add(ttl))), ":now": num(micros(now)), ":one": num(1), ":v": num(journalSchema)},
	}
	err = j.contend(ctx, func() error {
		it, err := j.s.updateItem(ctx, journalKey(source), take)
		if err == nil {
			if h, err = readJournalHead(it); err != nil {
				r := reader{it: it}
				_ = j.release(ctx, source, r.num(attrFence)) // else the lease ends by itself
			}
			return err
		}
		if _, no := refused(err); !no {
			return err
		}
		if h, err = j.read(ctx, source); err != nil {
			return err
		}
		if h.lease.HeldAt(now) && h.lease.Owner != owner {
			return &journal.LeasedError{Source: source, Lease: h.lease}
		}
		return errMoved
	})
	return h, err
}

// Lease implements [journal.Memory].
func (j Journals) Lease(ctx context.Context, source string) (replication.Lease, error) {
	if err := checkSource(source); err != nil {
		return replication.Lease{}, err
	}
	h, err := j.read(ctx, source)
	if err != nil {
		return replication.Lease{}, j.explain(ctx, "read the scanner's lease of "+source, source, err)
	}
	return h.lease, nil
}

// Renew implements [journal.Memory].
func (j Journals) Renew(ctx context.Context, source string, fence int64, now time.Time, ttl time.Duration) error {
	if err := checkSource(source); err != nil {
		return err
	}
	_, err := j.s.updateItem(ctx, journalKey(source), change{
		set:       "SET x = :x",
		condition: ifHeld,
		values:    item{":x": num(micros(now.Add(ttl))), ":f": num(fence), ":now": num(micros(now)), ":v": num(journalSchema)},
	})
	if _, no := refused(err); no {
		err = journal.ErrFenced
	}
	return j.explain(ctx, "renew the scanner's lease of "+source, source, err)
}

// Release implements [journal.Memory].
func (j Journals) Release(ctx context.Context, source string, fence int64) error {
	if err := checkSource(source); err != nil {
		return err
	}
	return j.explain(ctx, "release the scanner's lease of "+source, source, j.release(ctx, source, fence))
}

func (j Journals) release(ctx context.Context, source string, fence int64) error {
	_, err := j.s.updateItem(ctx, journalKey(source), change{
		set:       "SET o = :nobody, x = :never",
		condition: "f = :f AND " + ifKnown,
		values:    item{":nobody": str(""), ":never": num(0), ":f": num(fence), ":v": num(journalSchema)},
	})
	if _, no := refused(err); no {
		return nil
	}
	return err
}

// Commit implements [journal.Memory]. A commit whose answer was lost is looked for
// in the table, as for Append.
func (j Journals) Commit(ctx context.Context, source string, fence int64, now time.Time, step journal.Step) (head journal.Head, err error) {
	if err := errors.Join(checkSource(source), journal.CheckEntries(step.Entries)); err != nil {
		return head, err
	}
	c := &scanCommit{j: j, source: source, fence: fence, now: now, step: step}
	err = j.contend(ctx, func() error {
		head, err = c.try(ctx)
		return err
	})
	if err != nil {
		return journal.Head{}, j.explain(ctx, "write the journal of "+source, source, err)
	}
	if step.Begin != "" {
		j.dropBelow(ctx, source, head.Oldest)
	}
	return head, nil
}

// scanCommit is a step of a scanner on its way to the table.
type scanCommit struct {
	j      Journals
	source string
	fence  int64
	now    time.Time
	step   journal.Step

	ref   blobRef // of the blob that was put
	noted []byte  // the note that names it; nil before
}

// try writes the step after what the head says is there. It returns errMoved when
// that has changed meanwhile.
func (c *scanCommit) try(ctx context.Context) (head journal.Head, err error) {
	h, err := c.j.read(ctx, c.source)
	if err != nil {
		return head, err
	}
	begin, entries := c.step.Begin != "", c.step.Entries
	switch {
	case h.lease.Fence != c.fence || !h.lease.HeldAt(c.now) || h.generation != c.step.Generation:
		return head, journal.ErrFenced
	case !begin && h.epoch == "" && len(entries) > 0:
		return head, journal.ErrNoJournal
	case !begin && len(entries) == 0 && c.step.Blob == nil:
		return h.head(), nil
	}
	w := c.newWrite()
	if begin || len(entries) > 0 {
		w.expect(attrNext, h.next)
	}
	if begin {
		first := journal.FirstID(c.now, h.next)
		h.epoch, h.oldest, h.next = c.step.Begin, first, first
		w.set += ", e = :e"
		w.values[":e"] = str(h.epoch)
		w.put(attrOldest, first)
		entries = slices.Concat([]journal.Entry{{Action: journal.Begin, Path: journal.Root}}, entries)
	}
	if err := w.add(&h, c.now, entries); err != nil {
		return head, err
	}
	if c.step.Blob != nil {
		if err := c.remember(ctx, w, h); err != nil {
			return head, err
		}
	}
	return h.head(), c.j.write(ctx, w)
}

// newWrite is a write under the lease, at the generation of the step.
func (c *scanCommit) newWrite() *journalWrite {
	w := newJournalWrite(c.source)
	w.condition = ifHeld
	w.values[":f"], w.values[":now"] = num(c.fence), num(micros(c.now))
	w.expect(attrGen, c.step.Generation)
	return w
}

// remember puts the blob, unless an earlier try did, and makes a write refer to
// it. What the write leaves without a reference becomes garbage with it.
func (c *scanCommit) remember(ctx context.Context, w *journalWrite, h journalHead) (err error) {
	if c.noted == nil || !bytes.Equal(c.noted, h.noted) {
		if h.pending, err = c.place(ctx, h); err != nil {
			return err
		}
	}
	next := wireMemory{Blob: &c.ref}
	for _, key := range h.pending {
		if key != c.ref.Key {
			next.Garbage = append(next.Garbage, key)
		}
	}
	if old := h.memory.Blob; old != nil {
		next.Garbage = append(next.Garbage, old.Key)
	}
	packed, err := pack(next)
	if err != nil {
		return err
	}
	w.key = c.ref.Key
	w.put(attrGen, c.step.Generation+1)
	w.set += ", r = :r, w = :none"
	w.values[":r"], w.values[":none"] = bin(packed), bin(none())
	w.expectNote(c.noted)
	return nil
}

// place notes the key of the blob and writes it. Before, it removes the blobs
// that nothing refers to: garbage, and what scanners that lost their lease had
// noted, whose commits would be refused by now. The note of this scanner's own
// earlier tries stays: one of them may still be under way. It returns all keys
// that are noted.
func (c *scanCommit) place(ctx context.Context, h journalHead) (pending []string, err error) {
	stem := fmt.Sprintf("%smemory-%010d-", JournalPrefix(c.source), c.fence)
	var own []string
	remove := h.memory.Garbage
	for _, key := range h.pending {
		if strings.HasPrefix(key, stem) {
			own = append(own, key)
		} else {
			remove = append(remove, key)
		}
	}
	sum := sha256.Sum256(c.step.Blob)
	ref := blobRef{Key: stem + hex.EncodeToString(token(8)), Size: len(c.step.Blob), Sum: sum[:]}
	pending = slices.Concat([]string{ref.Key}, own, c.j.s.collect(ctx, remove))
	noted, err := pack(pending)
	if err != nil {
		return nil, err
	}
	w := c.newWrite()
	w.expectNote(h.noted)
	w.set += ", w = :w"
	w.values[":w"] = bin(noted)
	if _, err := c.j.s.updateItem(ctx, journalKey(c.source), w.change); err != nil {
		if _, no := refused(err); no { // the lease, or this very note, whose answer was lost
			return nil, errMoved
		}
		return nil, err
	}
	if err := c.j.s.blobs.Put(ctx, ref.Key, c.step.Blob, sum); err != nil {
		return nil, err
	}
	c.ref, c.noted = ref, noted
	return pending, nil
}
