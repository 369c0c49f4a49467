package store

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Store keeps the records of pairs in a [KV]. It is safe for concurrent use, by any
// number of processes.
//
// What operations cost when all goes well, in requests to the KV:
//
//   - Pair: one Get. Pairs, Inventory, Unsynced, Runs: one Query.
//   - Acquire, Renew, Release, SaveProgress, ChangeDesired: one Transact of one write. In a process
//     that hasn't read or written the pair before, and whenever another process wrote
//     it meanwhile, one Get more.
//   - Commit: one Transact for each 99 entries of the ledger, the last with the progress
//     and the run; and before, one Get of the entries of which the update changes only
//     the fingerprint or only the failure.
//
// A refused write costs one Get, which finds the reason.
type Store struct {
	kv KV

	mu   sync.Mutex
	seen map[Key]Item // the newest of each pair and source that was read or written

	memories memories
}

var _ replication.State = (*Store)(nil)

// New returns the records in a KV.
func New(kv KV) *Store { return &Store{kv: kv, seen: map[Key]Item{}} }

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

// remembered returns the newest item of a pair or source that this process knows.
func (s *Store) remembered(k Key) (Item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.seen[k]
	return it, ok
}

func (s *Store) remember(it Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[it.Key] = it
}

// forget drops an item that may be another one by now.
func (s *Store) forget(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, k)
}

// get reads one item.
func (s *Store) get(ctx context.Context, k Key) (Item, error) {
	items, err := s.kv.Get(ctx, k)
	if err != nil {
		return Item{}, err
	}
	return items[0], nil
}

// write does writes of which the last replaces an item that is remembered.
func (s *Store) write(ctx context.Context, it Item, more ...Write) error {
	version, err := s.kv.Transact(ctx, append(slices.Clip(more), Replace(it))...)
	if err == nil {
		it.Version = version
		s.remember(it)
	}
	return err
}

// decide calls try with an item of a pair or a source, and again while other writers are
// faster. What try refuses is refused only on an item that was just read.
func (s *Store) decide(ctx context.Context, k Key, try func(Item) error) (err error) {
	conflicts := 0
	for conflicts < attempts {
		it, known := s.remembered(k)
		if !known {
			if it, err = s.get(ctx, k); err != nil {
				return err
			}
		}
		if err = try(it); err == nil {
			return nil
		}
		s.forget(k)
		var ofKV *fault.Error // it isn't known what was done
		switch {
		case errors.Is(err, ErrConflict):
			conflicts++
			if stop := pause(ctx, conflicts-1); stop != nil {
				return stop
			}
		case !known || ctx.Err() != nil || errors.As(err, &ofKV):
			return err
		}
	}
	return err
}
