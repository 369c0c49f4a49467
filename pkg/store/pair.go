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

// pairRecord is the record of a pair. Desired and Progress keep the members that a newer
// version wrote.
type pairRecord struct {
	Schema   int // of this record and of all others of the pair
	Desired  replication.Desired
	Progress replication.Progress
	Lease    replication.Lease
}

// storedPair is the JSON of a pairRecord.
type storedPair struct {
	Schema   int               `json:"schema"`
	Desired  json.RawMessage   `json:"desired"`
	Progress json.RawMessage   `json:"progress"`
	Lease    replication.Lease `json:"lease"`
}

func decodePair(it Item) (r pairRecord, err error) {
	if it.Version == "" {
		return r, nil
	}
	stored, err := decodeRecord[storedPair](it.Data)
	if err != nil {
		return r, err
	}
	if err := checkSchema(stored.Schema, replication.SchemaVersion); err != nil {
		return r, err
	}
	r.Schema, r.Lease = stored.Schema, stored.Lease
	if r.Desired, err = decodeRecord[replication.Desired](stored.Desired); err != nil {
		return r, err
	}
	r.Progress, err = decodeRecord[replication.Progress](stored.Progress)
	return r, err
}

func (r pairRecord) encodeJSON() ([]byte, error) {
	stored := storedPair{Schema: r.Schema, Lease: r.Lease}
	r.Progress.LastError = truncateFailure(r.Progress.LastError)
	var err error
	if stored.Desired, err = encodeRecord(r.Desired); err != nil {
		return nil, err
	}
	if stored.Progress, err = encodeRecord(r.Progress); err != nil {
		return nil, fmt.Errorf("progress: %w", err)
	}
	return encodeRecord(stored)
}

func (r pairRecord) pairState(id replication.PairID) replication.PairState {
	return replication.PairState{ID: id, Desired: r.Desired, Progress: r.Progress, Lease: r.Lease}
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
	r, err := decodePair(it)
	if err != nil {
		return replication.PairState{}, explainError(op, err)
	}
	s.cacheItem(it)
	return r.pairState(id), nil
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
		id, err := replication.ParsePairID(it.Sort)
		if err != nil {
			return nil, explainError(op, damagedError(err))
		}
		r, err := decodePair(it)
		if err != nil {
			return nil, explainError(op, err)
		}
		s.cacheItem(it)
		all = append(all, r.pairState(id))
	}
	slices.SortFunc(all, func(a, b replication.PairState) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return all, nil
}

// updatePair changes the record of a pair, with more writes in the same transaction. It may
// call change several times, each time with the record as it is then.
func (s *Store) updatePair(ctx context.Context, id replication.PairID, change func(*pairRecord) error,
	more ...Write) (replication.PairState, error) {
	key, err := pairKey(id)
	if err != nil {
		return replication.PairState{}, err
	}
	var r pairRecord
	err = s.retryConflicts(ctx, key, func(it Item) error {
		var err error
		if r, err = decodePair(it); err != nil {
			return err
		}
		if err = change(&r); err != nil {
			return err
		}
		r.Schema = replication.SchemaVersion
		if it.Data, err = r.encodeJSON(); err != nil {
			return err
		}
		return s.replaceItem(ctx, it, more...)
	})
	if err != nil {
		return replication.PairState{}, err
	}
	return r.pairState(id), nil
}

// Acquire implements [replication.State].
func (s *Store) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time,
	ttl time.Duration) (replication.PairState, error) {
	st, err := s.updatePair(ctx, id, func(r *pairRecord) error {
		return takeLease(&r.Lease, "pair "+id.String(), owner, now, ttl)
	})
	return st, explainError("take lease of "+id.String(), err)
}

// Renew implements [replication.State]. A lease that has expired can't be renewed, even
// if nobody took it: a poll may have saved its progress meanwhile, which the holder doesn't
// know.
func (s *Store) Renew(ctx context.Context, id replication.PairID, fence int64, now time.Time,
	ttl time.Duration) (replication.PairState, error) {
	st, err := s.updatePair(ctx, id, func(r *pairRecord) error { return renewLease(&r.Lease, fence, now, ttl) })
	return st, explainError("renew lease of "+id.String(), err)
}

// Release implements [replication.State].
func (s *Store) Release(ctx context.Context, id replication.PairID, fence int64) error {
	_, err := s.updatePair(ctx, id, func(r *pairRecord) error { return releaseLease(&r.Lease, fence) })
	return explainError("release lease of "+id.String(), err)
}

// SaveProgress implements [replication.State].
func (s *Store) SaveProgress(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	_, err := s.updatePair(ctx, id, func(r *pairRecord) error {
		if r.Lease.Fence != fence || r.Lease.HeldAt(now) {
			return replication.ErrFenced
		}
		r.Progress = p
		return nil
	})
	return explainError("save progress of "+id.String(), err)
}

// ChangeDesired implements [replication.State]. A change that is applied twice, because the
// answer of the first write was lost, changes nothing more.
func (s *Store) ChangeDesired(ctx context.Context, id replication.PairID, d replication.DesiredChange) error {
	_, err := s.updatePair(ctx, id, func(r *pairRecord) error {
		r.Desired = r.Desired.With(d)
		return nil
	})
	return explainError("change the desired state of "+id.String(), err)
}
