package dynamostate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// records are the maps of a pair, read from its log.
type records struct {
	base      wireBase
	inventory map[object.Ref]string
	unsynced  map[object.Ref]replication.Unsynced
	// stale tells which of the maps differ from the base.
	staleInventory, staleUnsynced bool
	// items are the sort keys of all log items but the base, valid or left over.
	items []string
}

// want says which of the maps are needed.
type want struct{ inventory, unsynced bool }

// readLog reads the maps of a pair as its head says.
func (s *State) readLog(ctx context.Context, k string, h head, w want) (*records, error) {
	items, err := s.query(ctx, pairPK(k), logSK, false, 0)
	if err != nil {
		return nil, err
	}
	r := &records{inventory: map[object.Ref]string{}, unsynced: map[object.Ref]replication.Unsynced{}}
	deltas := map[string]item{}
	base := item(nil)
	for _, it := range items {
		at := reader{it: it}
		if sk := at.str(keySK); sk == baseSK {
			base = it
		} else {
			deltas[sk] = it
			r.items = append(r.items, sk)
		}
	}
	if err := s.readBase(ctx, base, h.gen, w, r); err != nil {
		return nil, err
	}
	for n := range h.count {
		it, there := deltas[deltaSK(h.gen, n+1)]
		if !there {
			return nil, fmt.Errorf("%w: commit %d of generation %d isn't there", errMoved, n+1, h.gen)
		}
		at := reader{it: it}
		d, err := unpack[wireDelta](at.bin(attrRecord))
		if err := errors.Join(at.err, err); err != nil {
			return nil, err
		}
		r.apply(d)
	}
	return r, nil
}

// readBase reads the base item of a generation. The first has none.
func (s *State) readBase(ctx context.Context, it item, gen int64, w want, r *records) (err error) {
	if gen == 0 {
		return nil
	}
	at := reader{it: it}
	if there := at.num(attrGen); there != gen {
		return fmt.Errorf("%w: the base is of generation %d instead of %d", errMoved, there, gen)
	}
	if r.base, err = unpack[wireBase](at.bin(attrRecord)); err != nil {
		return err
	}
	entries, unsynced := r.base.Inventory, r.base.Unsynced
	if b := r.base.InventoryBlob; b != nil && w.inventory {
		if entries, err = readBlob[[]entry](ctx, s, *b); err != nil {
			return err
		}
	}
	if b := r.base.UnsyncedBlob; b != nil && w.unsynced {
		if unsynced, err = readBlob[[]wireUnsynced](ctx, s, *b); err != nil {
			return err
		}
	}
	r.set(entries, unsynced)
	return at.err
}

func readBlob[T any](ctx context.Context, s *State, b blobRef) (v T, err error) {
	data, err := s.fetch(ctx, b)
	if err != nil {
		return v, err
	}
	return unzip[T](data)
}

// fetch reads a blob. One that isn't there is errMoved: the commit that replaced
// it, or a later one, may have removed it.
func (s *State) fetch(ctx context.Context, b blobRef) ([]byte, error) {
	if len(b.Sum) != sha256.Size {
		return nil, damaged(fmt.Errorf("the pointer to the blob %s has no checksum", b.Key))
	}
	data, err := s.blobs.Get(ctx, b.Key, [32]byte(b.Sum))
	if errors.Is(err, replication.ErrNotStaged) {
		return nil, fmt.Errorf("%w: the blob %s isn't there", errMoved, b.Key)
	}
	return data, err
}

func (r *records) set(entries []entry, unsynced []wireUnsynced) {
	for _, e := range entries {
		r.inventory[wireRef(e[:3]).ref()] = e[3]
	}
	for _, x := range unsynced {
		x.Unsynced.Ref = x.Ref.ref()
		r.unsynced[x.Unsynced.Ref] = x.Unsynced
	}
}

// apply does what a commit changed. An entry that it both drops and sets is set.
func (r *records) apply(d wireDelta) {
	for _, w := range d.Removed {
		delete(r.inventory, w.ref())
	}
	for _, w := range d.Synced {
		delete(r.unsynced, w.ref())
	}
	r.set(d.Applied, d.Unsynced)
	r.staleInventory = r.staleInventory || d.touchesInventory()
	r.staleUnsynced = r.staleUnsynced || d.touchesUnsynced()
}

// sorted lists unsynced objects by object.
func (r *records) sorted() []replication.Unsynced {
	return slices.SortedFunc(maps.Values(r.unsynced), func(a, b replication.Unsynced) int { return object.Compare(a.Ref, b.Ref) })
}

// records reads the maps of a pair at the moment.
func (s *State) records(ctx context.Context, k string, w want) (r *records, err error) {
	err = s.settle(ctx, func() error {
		h, err := s.readHead(ctx, k)
		if err != nil {
			return err
		}
		if h.log == (head{}) {
			r = &records{}
			return nil
		}
		r, err = s.readLog(ctx, k, h.log, w)
		return err
	})
	return r, err
}

// Inventory implements [replication.State].
func (s *State) Inventory(ctx context.Context, id replication.PairID) (map[object.Ref]string, error) {
	k, err := name(id)
	if err != nil {
		return nil, err
	}
	r, err := s.records(ctx, k, want{inventory: true})
	if err != nil {
		return nil, s.explain(ctx, "read inventory of "+k, err)
	}
	if r.inventory == nil {
		return map[object.Ref]string{}, nil
	}
	return r.inventory, nil
}

// Unsynced implements [replication.State].
func (s *State) Unsynced(ctx context.Context, id replication.PairID) ([]replication.Unsynced, error) {
	k, err := name(id)
	if err != nil {
		return nil, err
	}
	r, err := s.records(ctx, k, want{unsynced: true})
	if err != nil {
		return nil, s.explain(ctx, "read unsynced objects of "+k, err)
	}
	return r.sorted(), nil
}

// Runs implements [replication.State]. A limit below one gives none.
func (s *State) Runs(ctx context.Context, id replication.PairID, limit int) ([]replication.Run, error) {
	k, err := name(id)
	if err != nil || limit < 1 {
		return nil, err
	}
	runs, err := s.runs(ctx, k, limit)
	if err != nil {
		return nil, s.explain(ctx, "read runs of "+k, err)
	}
	return runs, nil
}

func (s *State) runs(ctx context.Context, k string, limit int) (runs []replication.Run, err error) {
	items, err := s.query(ctx, pairPK(k), runSK, true, limit)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		r := reader{it: it}
		if err := checkSchema(r.num(attrSchema)); err != nil {
			return nil, err
		}
		run, err := unpack[replication.Run](r.bin(attrRecord))
		if err := errors.Join(r.err, err); err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}
