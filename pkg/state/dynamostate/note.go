package dynamostate

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"chefsync/pkg/replication"
)

// Note implements [replication.State]. It renames the last commit, so that a
// commit of an earlier holder that is still under way is refused.
func (s *State) Note(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	k, err := name(id)
	if err != nil {
		return err
	}
	packed, err := packProgress(p, s.sizes)
	if err != nil {
		return fmt.Errorf("note state of %s: %w", k, err)
	}
	return s.explain(ctx, "note state of "+k, s.note(ctx, k, fence, now, packed))
}

func (s *State) note(ctx context.Context, k string, fence int64, now time.Time, p packedProgress) error {
	c := change{
		set:       "SET p = :p, v = :v, t = :t, h = :h",
		condition: "f = :f AND " + ifFree,
		values:    item{":p": bin(p.hot), ":h": bin(p.hash), ":t": bin(token(8)), ":f": num(fence), ":now": num(micros(now)), ":v": num(schema())},
	}
	if fence == 0 { // possibly a pair never seen
		c.condition = "(attribute_not_exists(f) OR f = :f) AND " + ifFree
	}
	if p.detail == nil {
		_, err := s.update(ctx, k, c)
		_, err = s.fenced(ctx, k, err)
		return err
	}
	// While servers fail, the detail stays the same from note to note.
	same := c
	same.set, same.condition = "SET p = :p, v = :v, t = :t", c.condition+" AND h = :h"
	_, err := s.update(ctx, k, same)
	h, why := s.fenced(ctx, k, err)
	if err == nil || why != replication.ErrFenced {
		return why
	}
	if h.lease.Fence != fence || h.lease.HeldAt(now) || bytes.Equal(h.detail, p.hash) {
		return replication.ErrFenced
	}
	_, err = s.fenced(ctx, k, s.transact(ctx, k, c, []item{detailItem(k, p)}))
	return err
}

// fenced turns a refusal into its reason: a newer version, or ErrFenced and the
// item that refused.
func (s *State) fenced(ctx context.Context, k string, err error) (hot, error) {
	if err == nil {
		return hot{}, nil
	}
	h, err := s.whyNot(ctx, k, err)
	if err == nil {
		err = replication.ErrFenced
	}
	return h, err
}

func detailItem(k string, p packedProgress) item {
	it := keyOf(pairPK(k), detailSK)
	it[attrDetail], it[attrRecord] = bin(p.hash), bin(p.detail)
	return it
}

// Direct implements [replication.State].
func (s *State) Direct(ctx context.Context, id replication.PairID, d replication.Directive) error {
	k, err := name(id)
	if err != nil {
		return err
	}
	return s.explain(ctx, "direct "+k, s.direct(ctx, k, d))
}

func (s *State) direct(ctx context.Context, k string, d replication.Directive) error {
	for range attempts {
		h, err := s.readHead(ctx, k)
		if err != nil {
			return err
		}
		c, err := s.wish(h, d)
		if err != nil {
			return err
		}
		if _, err = s.update(ctx, k, c); err == nil {
			return nil
		}
		if _, err = s.whyNot(ctx, k, err); err != nil {
			return err
		}
		// Another directive came in between, or this one's answer was lost.
		// Applied once more it changes nothing.
	}
	return errMoved
}

// maxDesired bounds a packed wish, in bytes: it is in the hot item, and read and
// written with it.
const maxDesired = 16 << 10

// wish replaces the wish that was read with one that the directive changed.
func (s *State) wish(h hot, d replication.Directive) (c change, err error) {
	desired, err := unpackDesired(h.desired)
	if err != nil {
		return c, err
	}
	packed, err := packDesired(desired.Apply(d))
	if err != nil {
		return c, err
	}
	if len(packed) > maxDesired {
		return c, tooLarge("the wish with its reason", len(packed))
	}
	c = change{
		set:       "SET d = :d, v = :v",
		condition: "attribute_not_exists(d) AND " + ifKnown,
		values:    item{":d": bin(packed), ":v": num(schema())},
	}
	if h.desired != nil {
		c.condition = "d = :old AND " + ifKnown
		c.values[":old"] = bin(h.desired)
	}
	return c, nil
}
