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
//   - Pair: one Get. Pairs, Entries, Runs: one Query.
//   - Acquire, Renew, Release, SaveProgress, ChangeDesired: one Transact of one write. In a process
//     that hasn't read or written the pair before, and whenever another process wrote
//     it meanwhile, one Get more.
//   - Commit: one Transact for each 99 entries of the ledger, the last with the progress
//     and the run.
//
// A refused write costs one Get, which finds the reason.
type Store struct {
	kv KV

	mu    sync.Mutex
	cache map[Key]Item // the newest of each pair and source that was read or written

	scanStates scanStateCache
}

var _ replication.State = (*Store)(nil)

// New returns the records in a KV.
func New(kv KV) *Store { return &Store{kv: kv, cache: map[Key]Item{}} }

// maxAttempts bounds how often a conflicting write is retried, for about ten seconds in
// all. In each round at least one writer succeeds.
const maxAttempts = 32

// waitForAttempt waits before a retry, with jitter. It doesn't wait for attempt 0.
func waitForAttempt(ctx context.Context, attempt int) error {
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

// cachedItem returns the newest item of a pair or source that this process has read or
// written.
func (s *Store) cachedItem(k Key) (Item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.cache[k]
	return it, ok
}

func (s *Store) cacheItem(it Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache[it.Key] = it
}

// uncacheItem drops an item that may be stale.
func (s *Store) uncacheItem(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, k)
}

// putRecord returns the write that replaces a record, whatever is there.
func putRecord[T any](k Key, record T, expires time.Time) (Write, error) {
	data, err := encodeRecord(record)
	return Put(Item{Key: k, Data: data, Expires: expires}), err
}

// saveRecord replaces a record, whatever is there.
func saveRecord[T any](ctx context.Context, kv KV, k Key, record T, expires time.Time) error {
	w, err := putRecord(k, record, expires)
	if err == nil {
		_, err = kv.Transact(ctx, w)
	}
	return err
}

// replaceItem replaces an item and caches it. More writes go into the same transaction.
func (s *Store) replaceItem(ctx context.Context, it Item, more ...Write) error {
	version, err := s.kv.Transact(ctx, append(slices.Clip(more), Replace(it))...)
	if err == nil {
		it.Version = version
		s.cacheItem(it)
	}
	return err
}

// errUnchanged ends an update that has nothing to write.
var errUnchanged = errors.New("nothing to write")

// retryConflicts calls try with the item of a pair or source, and again with a newer one
// while the KV reports conflicts. An error of try that a stale item may have caused counts
// only with an item that was just read.
func (s *Store) retryConflicts(ctx context.Context, k Key, try func(Item) error) (err error) {
	conflicts := 0
	for conflicts < maxAttempts {
		it, known := s.cachedItem(k)
		if !known {
			if it, err = s.kv.Get(ctx, k); err != nil {
				return err
			}
		}
		if err = try(it); err == nil {
			return nil
		}
		if errors.Is(err, errUnchanged) && !known {
			return nil
		}
		s.uncacheItem(k)
		var ofKV *fault.Error // the write may have been done
		switch {
		case errors.Is(err, ErrConflict):
			conflicts++
			if stop := waitForAttempt(ctx, conflicts-1); stop != nil {
				return stop
			}
		case !known || ctx.Err() != nil || errors.As(err, &ofKV):
			return err
		}
	}
	return err
}

// writeBeside does writes in a transaction that depends on an item of a pair or source being
// as check accepted it.
func (s *Store) writeBeside(ctx context.Context, k Key, writes []Write, check func(Item) error) error {
	return s.retryConflicts(ctx, k, func(it Item) error {
		if err := check(it); err != nil {
			return err
		}
		_, err := s.kv.Transact(ctx, append([]Write{Check(it)}, writes...)...)
		return err
	})
}
