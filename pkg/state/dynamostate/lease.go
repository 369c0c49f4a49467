package dynamostate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chefsync/pkg/replication"
)

// Conditions of writes.
const (
	// ifKnown: no newer version wrote the record.
	ifKnown = "(attribute_not_exists(v) OR v <= :v)"
	// ifHeld: the token is the last one given out and its lease has not ended.
	ifHeld = "f = :f AND x > :now AND " + ifKnown
	// ifFree: nobody holds the lease.
	ifFree = "(attribute_not_exists(x) OR x <= :now) AND " + ifKnown
	// ifMine: nobody else holds the lease.
	ifMine = "(attribute_not_exists(x) OR x <= :now OR o = :o) AND " + ifKnown
)

func schema() int64 { return replication.SchemaVersion }

// Acquire implements [replication.State].
func (s *State) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time, ttl time.Duration) (replication.PairState, error) {
	k, err := name(id)
	if err != nil {
		return replication.PairState{}, err
	}
	if owner == "" || ttl <= 0 {
		return replication.PairState{}, fmt.Errorf("lease of %s: an owner and a duration are needed", k)
	}
	st, err := s.acquire(ctx, id, k, owner, now, ttl)
	if err != nil {
		return replication.PairState{}, s.explain(ctx, "take lease of "+k, err)
	}
	return st, nil
}

func (s *State) acquire(ctx context.Context, id replication.PairID, k, owner string, now time.Time, ttl time.Duration) (st replication.PairState, err error) {
	take := change{
		set:       "SET o = :o, x = :x, v = :v ADD f :one",
		condition: ifMine,
		values:    item{":o": str(owner), ":x": num(micros(now.Add(ttl))), ":now": num(micros(now)), ":one": num(1), ":v": num(schema())},
	}
	for range attempts {
		it, err := s.update(ctx, k, take)
		if err == nil {
			return s.taken(ctx, id, k, it)
		}
		h, err := s.whyNot(ctx, k, err)
		if err != nil {
			return st, err
		}
		if h.lease.HeldAt(now) && h.lease.Owner != owner {
			return st, &replication.LeasedError{Pair: id, Lease: h.lease}
		}
	}
	return st, errMoved
}

// taken is the record after its lease was taken. A record that can't be read is
// given back, so that whoever can read it needn't wait.
func (s *State) taken(ctx context.Context, id replication.PairID, k string, it item) (replication.PairState, error) {
	st, err := s.whole(ctx, id, it)
	if err != nil {
		r := reader{it: it}
		_ = s.release(ctx, k, r.num(attrFence)) // else the lease ends by itself
	}
	return st, err
}

// whyNot reads the item that refused a write. Any other error comes back, as
// does the news that a newer version wrote the item.
func (s *State) whyNot(ctx context.Context, k string, err error) (hot, error) {
	old, yes := refused(err)
	if !yes {
		return hot{}, err
	}
	if len(old) == 0 { // not every server gives it, and none for an absent item
		if old, err = s.get(ctx, hotKey(k)); err != nil {
			return hot{}, err
		}
	}
	return readHot(old)
}

// Renew implements [replication.State]. A lease that has expired can't be
// renewed, even if nobody took it: a poll may have written a Note meanwhile,
// which the holder doesn't know.
func (s *State) Renew(ctx context.Context, id replication.PairID, fence int64, now time.Time, ttl time.Duration) (replication.PairState, error) {
	k, err := name(id)
	if err != nil {
		return replication.PairState{}, err
	}
	st, err := s.renew(ctx, id, k, fence, now, ttl)
	if err != nil {
		return replication.PairState{}, s.explain(ctx, "renew lease of "+k, err)
	}
	return st, nil
}

func (s *State) renew(ctx context.Context, id replication.PairID, k string, fence int64, now time.Time, ttl time.Duration) (st replication.PairState, err error) {
	it, err := s.update(ctx, k, change{
		set:       "SET x = :x",
		condition: ifHeld,
		values:    item{":x": num(micros(now.Add(ttl))), ":f": num(fence), ":now": num(micros(now)), ":v": num(schema())},
	})
	if err != nil {
		if _, err = s.whyNot(ctx, k, err); err == nil {
			err = replication.ErrFenced
		}
		return st, err
	}
	st, err = s.whole(ctx, id, it)
	if errors.Is(err, errMoved) { // a commit of this very holder came in between
		st, err = s.pair(ctx, id, k)
	}
	return st, err
}

// Release implements [replication.State].
func (s *State) Release(ctx context.Context, id replication.PairID, fence int64) error {
	k, err := name(id)
	if err != nil {
		return err
	}
	return s.explain(ctx, "release lease of "+k, s.release(ctx, k, fence))
}

func (s *State) release(ctx context.Context, k string, fence int64) error {
	_, err := s.update(ctx, k, change{
		set:       "SET o = :nobody, x = :never",
		condition: "f = :f AND " + ifKnown,
		values:    item{":nobody": str(""), ":never": num(0), ":f": num(fence), ":v": num(schema())},
	})
	if _, no := refused(err); no {
		return nil
	}
	return err
}
