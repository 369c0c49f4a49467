package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// PreviousPair holds the records of a pair that the previous version of the program wrote
// in another layout.
type PreviousPair struct {
	State   replication.PairState
	Entries replication.Entries
	Runs    []replication.Run
}

// previousDirty stands for the fingerprint of an object that was written with unknown result.
const previousDirty = "?"

// SetFingerprint sets the fingerprint of an object, "" for none.
func (p *PreviousPair) SetFingerprint(r object.Ref, fingerprint string) {
	e := p.Entries[r]
	if e.Fingerprint, e.Dirty = fingerprint, fingerprint == previousDirty; e.Dirty {
		e.Fingerprint = ""
	}
	p.setEntry(r, e)
}

// SetFailure sets the failure of an object or a listing, nil for none.
func (p *PreviousPair) SetFailure(r object.Ref, u *replication.Unsynced) {
	e := p.Entries[r]
	e.Failure = u
	p.setEntry(r, e)
}

// setEntry sets the entry of an object. It removes an empty one, whose write would be a
// deletion.
func (p *PreviousPair) setEntry(r object.Ref, e replication.Entry) {
	if p.Entries == nil {
		p.Entries = replication.Entries{}
	}
	if p.Entries[r] = e; e == (replication.Entry{}) {
		delete(p.Entries, r)
	}
}

// Writes returns the writes of the same records in the present layout, that of the pair
// last.
func (p PreviousPair) Writes() ([]Write, error) {
	key, err := pairKey(p.State.ID)
	if err != nil {
		return nil, err
	}
	writes, err := ledgerWrites(p.State.ID, p.Entries)
	if err != nil {
		return nil, err
	}
	for _, r := range p.Runs {
		w, err := runWrite(p.State.ID, r.Started, r)
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	data, err := encodePair(p.State)
	return append(writes, Put(Item{Key: key, Data: data})), err
}

// PreviousSource holds the records of a source that the previous version of the program
// wrote.
type PreviousSource struct {
	Name         string
	Epoch        string
	Oldest, Next int64
	Generation   int64
	Lease        replication.Lease
	Rows         []changelog.Row
	ScanState    []byte // nil when there is none
}

// Writes returns the writes of the same records in the present layout, the head last.
func (p PreviousSource) Writes() ([]Write, error) {
	key, err := sourceKey(p.Name)
	if err != nil {
		return nil, err
	}
	var writes []Write
	for _, r := range p.Rows {
		w, err := putChange(p.Name, r.ID, changeRecord{r.Action, r.Path, r.Time})
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	if p.ScanState != nil {
		list, parts, err := newParts(p.Name, p.Generation, p.ScanState, nil)
		if err != nil {
			return nil, err
		}
		w, err := putRecord(Key{sourcePartition(p.Name), partsSort}, list, time.Time{})
		if err != nil {
			return nil, err
		}
		writes = append(append(writes, parts...), w)
	}
	h := sourceRecord{Schema: sourceSchema, Epoch: p.Epoch, Oldest: p.Oldest, Next: p.Next, Version: p.Generation, Lease: p.Lease}
	if p.ScanState != nil {
		h.StateHash = contentHash(p.ScanState)
	}
	w, err := putRecord(key, h, time.Time{})
	return append(writes, w), err
}

// ScanWrite returns the write of the record of the newest scan of a source.
func ScanWrite(source string, scan changelog.LastScan) (Write, error) {
	scan.Error, scan.Hint = truncateText(scan.Error), truncateText(scan.Hint)
	return putRecord(Key{scansPartition, source}, scan, time.Time{})
}

// ImportOnce does writes in transactions as large as possible. Each depends on the item of
// the last write being absent, so that what any process has imported before stays as it is.
func ImportOnce(ctx context.Context, kv KV, writes []Write) error {
	last := writes[len(writes)-1]
	last.Conditional, last.Item.Version = true, ""
	chunks := splitWrites(writes[:len(writes)-1])
	for i, chunk := range chunks {
		guard := Check(last.Item)
		if i == len(chunks)-1 {
			guard = last
		}
		_, err := kv.Transact(ctx, append([]Write{guard}, chunk...)...)
		if errors.Is(err, ErrConflict) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// layoutRecord is the record of the layout of the items.
type layoutRecord struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
}

// layoutVersion is the present layout. The items of layout 1, in other partitions, stay as
// they are after the import.
const layoutVersion = 2

func layoutKey() Key { return Key{"STORE", "FORMAT"} }

// IsImported reports whether the items have the present layout, so that nothing is to be
// imported. A newer layout is an error.
func IsImported(ctx context.Context, kv KV) (bool, error) {
	const op = "read the layout of the records"
	it, err := kv.Get(ctx, layoutKey())
	if err != nil {
		return false, explainError(op, err)
	}
	if it.Version == "" {
		return false, nil
	}
	f, err := decodeRecord[layoutRecord](it.Data)
	if err == nil && f.Version > layoutVersion {
		err = fmt.Errorf("%w: the records have layout %d, this program knows %d", replication.ErrSchema, f.Version, layoutVersion)
	}
	return err == nil, explainError(op, err)
}

// MarkImported records that everything is imported.
func MarkImported(ctx context.Context, kv KV, now time.Time) error {
	err := saveRecord(ctx, kv, layoutKey(), layoutRecord{layoutVersion, now}, time.Time{})
	return explainError("record the layout of the records", err)
}
