package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"chefsync/pkg/replication"
)

// pairsPartition holds the records of all pairs, so that one query reads them.
const pairsPartition = "PAIRS"

// pairPartition returns the partition of the other records of a pair.
func pairPartition(id replication.PairID) string { return "PAIR#" + id.String() }

func pairKey(id replication.PairID) (Key, error) {
	name := id.String()
	if back, err := replication.ParsePairID(name); err != nil || back != id || checkName("pair", name) != nil {
		return Key{}, fmt.Errorf("%q is not the name of a pair", name)
	}
	return Key{Partition: pairsPartition, Sort: name}, nil
}

// storedPair is the JSON of a pair. Desired and Progress keep the members that a newer
// version wrote.
type storedPair struct {
	Schema   int               `json:"schema"` // of this record and of all others of the pair
	Desired  json.RawMessage   `json:"desired"`
	Progress json.RawMessage   `json:"progress"`
	Lease    replication.Lease `json:"lease"`
}

// decodePair returns the state in the item of a pair.
func decodePair(it Item) (st replication.PairState, err error) {
	if st.ID, err = replication.ParsePairID(it.Sort); err != nil {
		return st, damagedError(err)
	}
	if it.Version == "" {
		return st, nil
	}
	stored, err := decodeRecord[storedPair](it.Data)
	if err != nil {
		return st, err
	}
	if err := checkSchema(stored.Schema, replication.SchemaVersion); err != nil {
		return st, err
	}
	st.Lease = stored.Lease
	if st.Desired, err = decodeRecord[replication.Desired](stored.Desired); err != nil {
		return st, err
	}
	st.Progress, err = decodeRecord[replication.Progress](stored.Progress)
	return st, err
}

func encodePair(st replication.PairState) ([]byte, error) {
	stored := storedPair{Schema: replication.SchemaVersion, Lease: st.Lease}
	st.Progress.LastError = truncateFailure(st.Progress.LastError)
	var err error
	if stored.Desired, err = encodeRecord(st.Desired); err != nil {
		return nil, err
	}
	if stored.Progress, err = encodeRecord(st.Progress); err != nil {
		return nil, fmt.Errorf("progress: %w", err)
	}
	return encodeRecord(stored)
}

// Pair implements [replication.State].
func (s *Store) Pair(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	key, err := pairKey(id)
	if err != nil {
		return replication.PairState{}, err
	}
	op := "read state of " + key.Sort
	it, err := s.kv.Get(ctx, key)
	if err != nil {
		return replication.PairState{}, explainError(op, err)
	}
	st, err := decodePair(it)
	if err != nil {
		return replication.PairState{}, explainError(op, err)
	}
	s.cacheItem(it)
	return st, nil
}

// Pairs implements [replication.State]. It fails as a whole when a newer version wrote
// one of the records.
func (s *Store) Pairs(ctx context.Context) ([]replication.PairState, error) {
	const op = "read state of all pairs"
	items, err := s.kv.Query(ctx, Prefix(pairsPartition, ""))
	if err != nil {
		return nil, explainError(op, err)
	}
	all := make([]replication.PairState, 0, len(items))
	for _, it := range items {
		st, err := decodePair(it)
		if err != nil {
			return nil, explainError(op, err)
		}
		s.cacheItem(it)
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b replication.PairState) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return all, nil
}

// updatePair changes the state of a pair, with more writes in the same transaction. It may
// call change several times, each time with the state as it is then.
func (s *Store) updatePair(ctx context.Context, id replication.PairID, change func(*replication.PairState) error,
	more ...Write) (st replication.PairState, err error) {
	key, err := pairKey(id)
	if err != nil {
		return st, err
	}
	err = s.retryConflicts(ctx, key, func(it Item) (err error) {
		if st, err = decodePair(it); err != nil {
			return err
		}
		if err = change(&st); err != nil {
			return err
		}
		if it.Data, err = encodePair(st); err != nil {
			return err
		}
		return s.replaceItem(ctx, it, more...)
	})
	if err != nil {
		return replication.PairState{}, err
	}
	return st, nil
}

// Acquire implements [replication.State].
func (s *Store) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time,
	ttl time.Duration) (replication.PairState, error) {
	st, err := s.updatePair(ctx, id, func(st *replication.PairState) error {
		return takeLease(&st.Lease, "pair "+id.String(), owner, now, ttl)
	})
	return st, explainError("take lease of "+id.String(), err)
}

// Renew implements [replication.State]. A lease that has expired can't be renewed, even
// if nobody took it: a poll may have saved its progress meanwhile, which the holder doesn't
// know.
func (s *Store) Renew(ctx context.Context, id replication.PairID, fence int64, now time.Time,
	ttl time.Duration) (replication.PairState, error) {
	st, err := s.updatePair(ctx, id, func(st *replication.PairState) error { return renewLease(&st.Lease, fence, now, ttl) })
	return st, explainError("renew lease of "+id.String(), err)
}

// Release implements [replication.State].
func (s *Store) Release(ctx context.Context, id replication.PairID, fence int64) error {
	_, err := s.updatePair(ctx, id, func(st *replication.PairState) error { return releaseLease(&st.Lease, fence) })
	return explainError("release lease of "+id.String(), err)
}

// SaveProgress implements [replication.State].
func (s *Store) SaveProgress(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	_, err := s.updatePair(ctx, id, func(st *replication.PairState) error {
		if st.Lease.Fence != fence || st.Lease.HeldAt(now) {
			return replication.ErrFenced
		}
		st.Progress = p
		return nil
	})
	return explainError("save progress of "+id.String(), err)
}

// ChangeDesired implements [replication.State]. A change that is applied twice, because the
// answer of the first write was lost, changes nothing more.
func (s *Store) ChangeDesired(ctx context.Context, id replication.PairID, d replication.DesiredChange) error {
	_, err := s.updatePair(ctx, id, func(st *replication.PairState) error {
		st.Desired = st.Desired.With(d)
		return nil
	})
	return explainError("change the desired state of "+id.String(), err)
}
