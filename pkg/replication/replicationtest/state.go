package replicationtest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// State is a replication.State in memory.
type State struct {
	mu    sync.Mutex
	pairs map[replication.PairID]*pairRecord
}

type pairRecord struct {
	state     replication.PairState
	inventory map[object.Ref]string
	unsynced  map[object.Ref]replication.Unsynced
	runs      map[string]replication.Run
}

var _ replication.State = (*State)(nil)

// NewState returns an empty state.
func NewState() *State { return &State{pairs: map[replication.PairID]*pairRecord{}} }

func (s *State) recordOf(id replication.PairID) *pairRecord {
	r, ok := s.pairs[id]
	if !ok {
		r = &pairRecord{state: replication.PairState{ID: id}, inventory: map[object.Ref]string{},
			unsynced: map[object.Ref]replication.Unsynced{}, runs: map[string]replication.Run{}}
	}
	return r
}

func (s *State) putRecord(r *pairRecord) { s.pairs[r.state.ID] = r }

// deepCopy returns a copy that shares nothing with v, with times in UTC.
func deepCopy[T any](v T) T {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out T
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	inUTC(reflect.ValueOf(&out))
	switch to := any(&out).(type) { // fields that JSON omits
	case *replication.PairState:
		from := any(v).(replication.PairState)
		to.Progress.Newer, to.Desired.Newer = maps.Clone(from.Progress.Newer), maps.Clone(from.Desired.Newer)
	case *replication.Progress:
		to.Newer = maps.Clone(any(v).(replication.Progress).Newer)
	case *replication.Desired:
		to.Newer = maps.Clone(any(v).(replication.Desired).Newer)
	}
	return out
}

func inUTC(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			inUTC(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			inUTC(v.Index(i))
		}
	case reflect.Struct:
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			*t = t.UTC()
			return
		}
		for i := range v.NumField() {
			inUTC(v.Field(i))
		}
	}
}

// Pair implements replication.State.
func (s *State) Pair(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return replication.PairState{}, err
	}
	return deepCopy(s.recordOf(id).state), nil
}

// Pairs implements replication.State.
func (s *State) Pairs(ctx context.Context) ([]replication.PairState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []replication.PairState
	for _, r := range s.pairs {
		out = append(out, deepCopy(r.state))
	}
	slices.SortFunc(out, func(a, b replication.PairState) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return out, nil
}

// Acquire implements replication.State.
func (s *State) Acquire(ctx context.Context, id replication.PairID, owner string, now time.Time,
	ttl time.Duration) (replication.PairState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return replication.PairState{}, err
	}
	if owner == "" || ttl <= 0 {
		return replication.PairState{}, errors.New("a lease needs an owner and a duration")
	}
	r := s.recordOf(id)
	l := &r.state.Lease
	if l.HeldAt(now) && l.Owner != owner {
		return deepCopy(r.state), &replication.LeasedError{What: "pair " + id.String(), Lease: *l}
	}
	*l = replication.Lease{Owner: owner, Expires: now.Add(ttl), Fence: l.Fence + 1}
	s.putRecord(r)
	return deepCopy(r.state), nil
}

// Renew implements replication.State.
func (s *State) Renew(ctx context.Context, id replication.PairID, fence int64, now time.Time,
	ttl time.Duration) (replication.PairState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return replication.PairState{}, err
	}
	r := s.recordOf(id)
	if r.state.Lease.Fence != fence || !r.state.Lease.HeldAt(now) {
		return replication.PairState{}, replication.ErrFenced
	}
	r.state.Lease.Expires = now.Add(ttl)
	return deepCopy(r.state), nil
}

// Release implements replication.State.
func (s *State) Release(ctx context.Context, id replication.PairID, fence int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if r := s.recordOf(id); r.state.Lease.Fence == fence {
		r.state.Lease.Owner, r.state.Lease.Expires = "", time.Time{}
	}
	return nil
}

// Commit implements replication.State.
func (s *State) Commit(ctx context.Context, id replication.PairID, fence int64, now time.Time, u replication.Update) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	r := s.recordOf(id)
	if r.state.Lease.Fence != fence || !r.state.Lease.HeldAt(now) {
		return replication.ErrFenced
	}
	if u.Run != nil && (u.Run.ID == "" || u.Run.Pair == (replication.PairID{})) {
		return errors.New("a run needs an id and its pair")
	}
	r.state.Progress = deepCopy(u.Progress)
	maps.Copy(r.inventory, u.Applied)
	for _, ref := range u.Removed {
		delete(r.inventory, ref)
	}
	for _, x := range u.Unsynced {
		c := x
		c.Ref = object.Ref{Kind: object.Role, Name: "any"}
		c = deepCopy(c)
		c.Ref = x.Ref // unchanged, also if it has no path
		r.unsynced[x.Ref] = c
	}
	for _, ref := range u.Synced {
		delete(r.unsynced, ref)
	}
	if u.Run != nil {
		r.runs[u.Run.ID] = deepCopy(*u.Run)
	}
	return nil
}

// SaveProgress implements replication.State.
func (s *State) SaveProgress(ctx context.Context, id replication.PairID, fence int64, now time.Time, p replication.Progress) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	r := s.recordOf(id)
	if r.state.Lease.Fence != fence || r.state.Lease.HeldAt(now) {
		return replication.ErrFenced
	}
	r.state.Progress = deepCopy(p)
	s.putRecord(r)
	return nil
}

// ChangeDesired implements replication.State.
func (s *State) ChangeDesired(ctx context.Context, id replication.PairID, d replication.DesiredChange) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	r := s.recordOf(id)
	r.state.Desired = r.state.Desired.With(d)
	s.putRecord(r)
	return nil
}

// Inventory implements replication.State.
func (s *State) Inventory(ctx context.Context, id replication.PairID) (map[object.Ref]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return maps.Clone(s.recordOf(id).inventory), nil
}

// Unsynced implements replication.State.
func (s *State) Unsynced(ctx context.Context, id replication.PairID) ([]replication.Unsynced, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(s.recordOf(id).unsynced), func(a, b replication.Unsynced) int {
		return object.Compare(a.Ref, b.Ref)
	}), nil
}

// Runs implements replication.State.
func (s *State) Runs(ctx context.Context, id replication.PairID, limit int) ([]replication.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	runs := slices.SortedFunc(maps.Values(s.recordOf(id).runs), func(a, b replication.Run) int { return strings.Compare(b.ID, a.ID) })
	return runs[:max(0, min(limit, len(runs)))], nil
}
