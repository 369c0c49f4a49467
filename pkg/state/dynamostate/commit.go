package dynamostate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"chefsync/pkg/replication"
)

// Commit implements [replication.State]. An entry that an update both drops and
// sets is set. A commit whose answer was lost is looked for in the table; if it
// isn't there, nothing was written, and if it arrives late all the same, the
// next commit is done after it.
func (s *State) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	k, err := name(id)
	if err != nil {
		return err
	}
	c, err := s.encode(k, fence, now, u)
	if err != nil {
		return fmt.Errorf("commit state of %s: %w", k, err)
	}
	for attempt := range attempts {
		if err = s.commitOnce(ctx, c); !errors.Is(err, errMoved) || s.sleep(ctx, backoff(attempt)) != nil {
			break
		}
	}
	return s.explain(ctx, "commit state of "+k, err)
}

// commit is an update as it will be written.
type commit struct {
	name     string
	fence    int64
	now      time.Time
	progress packedProgress
	delta    wireDelta
	packed   []byte // delta, packed; nil when it is empty
	run      item
}

func (s *State) encode(k string, fence int64, now time.Time, u replication.Update) (c *commit, err error) {
	c = &commit{name: k, fence: fence, now: now}
	if c.progress, err = packProgress(u.Progress, s.sizes); err != nil {
		return nil, fmt.Errorf("progress: %w", err)
	}
	if c.delta, err = wireUpdate(u); err != nil {
		return nil, err
	}
	if !c.delta.empty() {
		if c.packed, err = pack(c.delta); err != nil {
			return nil, err
		}
	}
	if u.Run == nil {
		return c, nil
	}
	if c.run, err = s.runItem(k, now, *u.Run); err != nil {
		return nil, fmt.Errorf("run %q: %w", u.Run.ID, err)
	}
	return c, nil
}

func (s *State) runItem(k string, now time.Time, r replication.Run) (item, error) {
	if r.ID == "" || len(r.ID) > maxKey {
		return nil, errors.New("a run needs an id, of at most 900 bytes")
	}
	if r.Error != nil {
		clipped := clip(*r.Error)
		r.Error = &clipped
	}
	packed, err := pack(r)
	if err != nil {
		return nil, err
	}
	if len(packed) > s.sizes.detail {
		return nil, tooLarge("the run record", len(packed))
	}
	it := keyOf(pairPK(k), runSK+r.ID)
	it[attrSchema], it[attrRecord], it[ttlName] = num(schema()), bin(packed), num(now.Add(s.runAge).Unix())
	return it, nil
}

// commitOnce writes the update after what the hot item says is there. It
// returns errMoved when that has changed meanwhile, without loss of the lease.
func (s *State) commitOnce(ctx context.Context, c *commit) error {
	h, err := s.readHead(ctx, c.name)
	if err != nil {
		return err
	}
	if !h.grants(c) {
		return replication.ErrFenced
	}
	w := c.write(h)
	after := h.log
	var f *fold
	switch size := int64(len(c.packed)); {
	case c.packed == nil:
	case len(c.packed) > s.sizes.delta, after.bytes+size > s.sizes.logBytes, after.count+1 > s.sizes.logCount:
		if f, err = s.fold(ctx, c, h); err != nil {
			return err
		}
		w.puts = append(w.puts, f.base)
		w.forget(f.noted)
		after = head{gen: h.log.gen + 1}
	default:
		after.count, after.bytes = after.count+1, after.bytes+size
		it := keyOf(pairPK(c.name), deltaSK(after.gen, after.count))
		it[attrRecord] = bin(c.packed)
		w.puts = append(w.puts, it)
	}
	w.move(after, h.log)
	if err := s.write(ctx, c, w); err != nil {
		return err
	}
	if f != nil {
		s.deleteAll(ctx, pairPK(c.name), f.leftover)
	}
	return nil
}

// grants tells whether the lease that a commit needs is there.
func (h hot) grants(c *commit) bool {
	return h.lease.Fence == c.fence && h.lease.HeldAt(c.now)
}

// write is a commit in terms of items.
type write struct {
	change
	name []byte // of the commit
	puts []item
}

// write begins with what every commit writes. The name of the last commit is
// part of the condition, so that commits happen one after the other, even when
// one is still under way that its sender has given up.
func (c *commit) write(h hot) *write {
	w := &write{name: token(8)}
	w.set, w.condition = "SET p = :p, v = :v, t = :t, h = :h", ifHeld
	w.values = item{
		":p": bin(c.progress.hot), ":h": bin(c.progress.hash), ":t": bin(w.name), ":f": num(c.fence), ":now": num(micros(c.now)), ":v": num(schema()),
	}
	w.after(h)
	if c.run != nil {
		w.puts = append(w.puts, c.run)
	}
	if c.progress.detail != nil {
		w.puts = append(w.puts, detailItem(c.name, c.progress))
	}
	return w
}

// after makes a change depend on the last commit that was read.
func (c *change) after(h hot) {
	if h.commit == nil {
		c.condition += " AND attribute_not_exists(t)"
		return
	}
	c.condition += " AND t = :last"
	c.values[":last"] = bin(h.commit)
}

// expectNote makes a change depend on the note of pending blobs.
func (c *change) expectNote(noted []byte) {
	if noted == nil {
		c.condition += " AND (attribute_not_exists(w) OR w = :none)"
		c.values[":none"] = bin(none())
		return
	}
	c.condition += " AND w = :was_w"
	c.values[":was_w"] = bin(noted)
}

// move sets the head of the log where it changed. A field that isn't there is 0.
func (w *write) move(to, from head) {
	for _, f := range []struct {
		attr     string
		to, from int64
	}{{attrGen, to.gen, from.gen}, {attrCount, to.count, from.count}, {attrBytes, to.bytes, from.bytes}} {
		if f.to != f.from {
			w.set += ", " + f.attr + " = :" + f.attr
			w.values[":"+f.attr] = num(f.to)
		}
	}
}

// forget drops the note of pending blobs, if it is still this one: the new base
// refers to them or lists them as garbage.
func (w *write) forget(noted []byte) {
	if noted != nil {
		w.set += ", w = :none"
		w.condition += " AND w = :w"
		w.values[":w"], w.values[":none"] = bin(noted), bin(none())
	}
}

// write sends a commit and finds out whether it happened.
func (s *State) write(ctx context.Context, c *commit, w *write) error {
	var err error
	if len(w.puts) == 0 {
		_, err = s.update(ctx, c.name, w.change)
	} else {
		err = s.transact(ctx, c.name, w.change, w.puts)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	h, readErr := s.readHead(ctx, c.name)
	switch _, no := refused(err); {
	case readErr != nil && !errors.Is(readErr, replication.ErrSchema):
		return err // nobody knows
	case bytes.Equal(h.commit, w.name):
		return nil // the answer was lost
	case !no:
		return err
	case readErr != nil:
		return readErr
	case !h.grants(c):
		return replication.ErrFenced
	}
	return errMoved
}

// lostOrMoved says why a write under the lease was refused: the lease is lost, or
// the record has changed.
func (s *State) lostOrMoved(ctx context.Context, c *commit, err error) error {
	h, err := s.whyNot(ctx, c.name, err)
	switch {
	case err != nil:
		return err
	case !h.grants(c):
		return replication.ErrFenced
	}
	return errMoved
}
