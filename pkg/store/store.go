package store

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"chefsync/pkg/replication"
)

// Store keeps the records of pairs in a [KV]. It is safe for concurrent use, by any
// number of processes.
//
// What operations cost when all goes well, in requests to the KV:
//
//   - Pair: one Get. Pairs, Inventory, Unsynced, Runs: one Query.
//   - Acquire, Renew, Release, Note, Direct: one Transact of one write. In a process
//     that hasn't read or written the pair before, and whenever another process wrote
//     it meanwhile, one Get more.
//   - Commit: one Transact for each 99 entries of the ledger, the last with the progress
//     and the run; and before, one Get of the entries of which the update changes only
//     the fingerprint or only the failure.
//
// A refused write costs one Get, which finds the reason.
type Store struct {
	kv KV

	mu    sync.Mutex
	pairs map[replication.PairID]Item // the newest of each pair that was read or written
}

var _ replication.State = (*Store)(nil)

// New returns the records in a KV.
func New(kv KV) *Store { return &Store{kv: kv, pairs: map[replication.PairID]Item{}} }

// attempts is how often a write is decided again because another was faster: for about
// ten seconds in all. Each time at least one writer gets through.
const attempts = 32

// pause waits before an attempt, half of it at random.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return ctx.Err()
	}
	d := 5 * time.Millisecond << min(attempt, 6)
	timer := time.NewTimer(d/2 + mathrand.N(d/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// remembered returns the newest item of a pair that this process knows.
func (s *Store) remembered(id replication.PairID) (Item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.pairs[id]
	return it, ok
}

func (s *Store) remember(id replication.PairID, it Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pairs[id] = it
}

// forget drops an item that may be another one by now.
func (s *Store) forget(id replication.PairID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pairs, id)
}

// get reads one item.
func (s *Store) get(ctx context.Context, k Key) (Item, error) {
	items, err := s.kv.Get(ctx, k)
	if err != nil {
		return Item{}, err
	}
	return items[0], nil
}

// update changes the record of a pair, with more writes in the same transaction. Change
// may be called several times, each time with the record as it is then. What it refuses
// is refused only on a record that was just read.
func (s *Store) update(ctx context.Context, id replication.PairID, change func(*pairRecord) error, more ...Write) (replication.PairState, error) {
	var r pairRecord
	err := s.decide(ctx, id, func(it Item) error {
		var err error
		if r, err = decodePair(it); err != nil {
			return err
		}
		if err = change(&r); err != nil {
			return err
		}
		r.Schema = replication.SchemaVersion
		if it.Data, err = r.encode(); err != nil {
			return err
		}
		if it.Version, err = s.kv.Transact(ctx, append([]Write{Replace(it)}, more...)...); err == nil {
			s.remember(id, it)
		}
		return err
	})
	if err != nil {
		return replication.PairState{}, err
	}
	return r.state(id), nil
}

// decide calls write with the item of a pair until no other writer was faster.
func (s *Store) decide(ctx context.Context, id replication.PairID, write func(Item) error) (err error) {
	key, err := pairKey(id)
	if err != nil {
		return err
	}
	conflicts := 0
	for conflicts < attempts {
		it, known := s.remembered(id)
		if !known {
			if it, err = s.get(ctx, key); err != nil {
				return err
			}
		}
		if err = write(it); err == nil {
			return nil
		}
		s.forget(id)
		switch {
		case errors.Is(err, ErrConflict):
			conflicts++
			if stop := pause(ctx, conflicts-1); stop != nil {
				return stop
			}
		case !known || ctx.Err() != nil || unknownResult(err):
			return err
		}
	}
	return err
}

// unknownResult reports whether an error leaves open whether a write was done: it came
// from the KV. What a change refuses is none.
func unknownResult(err error) bool {
	var e *replication.Error
	return errors.As(err, &e)
}
