package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// PreviousPair is what the previous version of the program kept of a pair, in another
// layout.
type PreviousPair struct {
	State     replication.PairState
	Inventory map[object.Ref]string
	Unsynced  []replication.Unsynced
	Runs      []replication.Run
}

// Writes returns the writes that make it records of this version, the one of the pair
// last.
func (p PreviousPair) Writes() ([]Write, error) {
	key, err := pairKey(p.State.ID)
	if err != nil {
		return nil, err
	}
	changes, err := entryChanges(replication.Update{Applied: p.Inventory, Unsynced: p.Unsynced})
	if err != nil {
		return nil, err
	}
	var writes []Write
	for r, c := range changes {
		w, err := entryWrite(p.State.ID, r, nil, c)
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	for _, r := range p.Runs {
		w, err := runWrite(p.State.ID, r.Started, r)
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	r := pairRecord{Schema: replication.SchemaVersion, Desired: p.State.Desired, Progress: p.State.Progress, Lease: p.State.Lease}
	data, err := r.encode()
	return append(writes, Put(Item{Key: key, Data: data})), err
}

// PreviousSource is what the previous version of the program kept of a source.
type PreviousSource struct {
	Name         string
	Epoch        string
	Oldest, Next int64
	Generation   int64
	Lease        replication.Lease
	Rows         []journal.Row
	Memory       []byte // nil when there is none
}

// Writes returns the writes that make it records of this version, the head last.
func (p PreviousSource) Writes() ([]Write, error) {
	key, err := headKey(p.Name)
	if err != nil {
		return nil, err
	}
	var writes []Write
	for _, r := range p.Rows {
		data, err := encode(change{r.Action, r.Path, r.Time})
		if err != nil {
			return nil, err
		}
		writes = append(writes, Put(Item{Key: Key{sourcePartition(p.Name), changeSort(r.ID)}, Data: data}))
	}
	if p.Memory != nil {
		list := parts{Generation: p.Generation}
		for i, text := range split(p.Memory) {
			one := part{Sort: partSort(p.Generation, i), Sum: hash(text)}
			w, err := partWrite(p.Name, one.Sort, text)
			if err != nil {
				return nil, err
			}
			writes = append(writes, w)
			list.Parts = append(list.Parts, one)
		}
		w, err := putRecord(Key{sourcePartition(p.Name), partsSort}, list, time.Time{})
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	h := head{Schema: sourceSchema, Epoch: p.Epoch, Oldest: p.Oldest, Next: p.Next, Generation: p.Generation, Lease: p.Lease}
	if p.Memory != nil {
		h.Memory = hash(p.Memory)
	}
	data, err := encode(h)
	return append(writes, Put(Item{Key: key, Data: data})), err
}

// ScanWrite returns the write that makes the record of a scan one of this version.
func ScanWrite(source string, scan journal.LastScan) (Write, error) {
	scan.Error, scan.Hint = clip(scan.Error), clip(scan.Hint)
	return putRecord(Key{scansPartition, source}, scan, time.Time{})
}

// Import does writes in transactions as large as they may be, of which each depends on the
// item of the last write being absent: what was imported before, by whomever, is left as it
// is.
func Import(ctx context.Context, kv KV, writes []Write) error {
	last := writes[len(writes)-1]
	last.Conditional, last.Item.Version = true, ""
	for writes = writes[:len(writes)-1]; ; {
		n := fitting(writes)
		guard := last
		if n < len(writes) {
			guard = Check(last.Item)
		}
		switch _, err := kv.Transact(ctx, append([]Write{guard}, writes[:n]...)...); {
		case errors.Is(err, ErrConflict), err == nil && n == len(writes):
			return nil
		case err != nil:
			return err
		}
		writes = writes[n:]
	}
}

// format is the record that says how the items are laid out.
type format struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
}

// formatVersion is the layout that this version writes. The items of version 1, in other
// partitions, are left as they were once they are imported.
const formatVersion = 2

func formatKey() Key { return Key{"STORE", "FORMAT"} }

// Prepared reports whether items are laid out as this version does, so that nothing is
// to be imported. It refuses those of a newer version.
func Prepared(ctx context.Context, kv KV) (bool, error) {
	const op = "read the layout of the records"
	items, err := kv.Get(ctx, formatKey())
	if err != nil {
		return false, explain(op, err)
	}
	if items[0].Version == "" {
		return false, nil
	}
	f, err := decode[format](items[0].Data)
	if err == nil && f.Version > formatVersion {
		err = fmt.Errorf("%w: the records have layout %d, this program knows %d", replication.ErrSchema, f.Version, formatVersion)
	}
	return err == nil, explain(op, err)
}

// SetPrepared records that everything is imported.
func SetPrepared(ctx context.Context, kv KV, now time.Time) error {
	w, err := putRecord(formatKey(), format{formatVersion, now}, time.Time{})
	if err == nil {
		_, err = kv.Transact(ctx, w)
	}
	return explain("record the layout of the records", err)
}
