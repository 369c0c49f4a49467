package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

// Sort keys of the records of a source. The head sorts behind the changes, so that one
// query from a change on reads it too; nothing lies between.
const (
	changePrefix = "CHANGE#"
	headSort     = "HEAD"
)

// scansPartition holds how the newest scan of each source went, so that one query reads
// them. A scan that found nothing writes no other item.
const scansPartition = "SCANS"

func sourcePartition(source string) string { return "SOURCE#" + source }

func sourceKey(source string) (Key, error) {
	return Key{sourcePartition(source), headSort}, checkName("source", source)
}

// changeSortKey returns the sort key of a change.
func changeSortKey(id int64) string { return fmt.Sprintf("%s%019d", changePrefix, id) }

// sourceSchema is the version of the records of sources that this program writes.
const sourceSchema = 1

// sourceRecord is the record of a source: the bounds of its change log, the lease of its scanner
// and the hash of the scan state. The zero sourceRecord is that of an unknown source.
type sourceRecord struct {
	Schema     int               `json:"schema"`
	Epoch      string            `json:"epoch,omitempty"`
	Oldest     int64             `json:"oldest,omitempty"`     // id of the oldest change
	Next       int64             `json:"next,omitempty"`       // id of the next change; 0 before the first change log
	Version    int64             `json:"generation,omitempty"` // of the scan state
	Generation int64             `json:"snapshot,omitempty"`   // of the snapshot in it
	StateHash  string            `json:"memory,omitempty"`     // hash of the scan state
	Lease      replication.Lease `json:"lease"`
}

func decodeSource(it Item) (h sourceRecord, err error) {
	if it.Version == "" {
		return h, nil
	}
	if h, err = decodeRecord[sourceRecord](it.Data); err != nil {
		return h, err
	}
	if err := checkSchema(h.Schema, sourceSchema); err != nil {
		return h, err
	}
	if h.Generation == 0 { // written before the two were told apart
		h.Generation = h.Version
	}
	if h.Epoch != "" && (h.Oldest < 1 || h.Next <= h.Oldest) {
		return h, damagedError(fmt.Errorf("a change log from %d to before %d", h.Oldest, h.Next))
	}
	return h, nil
}

func (h sourceRecord) logHead() changelog.Head {
	if h.Epoch == "" {
		return changelog.Head{}
	}
	return changelog.Head{Epoch: h.Epoch, Oldest: h.Oldest, Newest: h.Next - 1}
}

func (h sourceRecord) scanState() changelog.ScanState {
	return changelog.ScanState{Head: h.logHead(), Lease: h.Lease, Generation: h.Generation, Version: h.Version}
}

// changeRecord is the record of a change. The key holds its id.
type changeRecord struct {
	Action string    `json:"action"`
	Path   string    `json:"path"`
	At     time.Time `json:"at"`
}

// putChange returns the write of a change.
func putChange(source string, id int64, c changeRecord) (Write, error) {
	return putRecord(Key{sourcePartition(source), changeSortKey(id)}, c, time.Time{})
}

// appendChanges assigns the next ids to entries and returns their writes.
func (h *sourceRecord) appendChanges(source string, at time.Time, entries []changelog.Change) (writes []Write, err error) {
	for _, e := range entries {
		w, err := putChange(source, h.Next, changeRecord{e.Action, e.Path, at})
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
		h.Next++
	}
	return writes, nil
}

func decodeChange(it Item) (row changelog.Row, err error) {
	c, err := decodeRecord[changeRecord](it.Data)
	if err != nil {
		return row, err
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(it.Sort, changePrefix), 10, 64)
	if err != nil {
		return row, damagedError(fmt.Errorf("%q is not the key of a change", it.Sort))
	}
	return changelog.Row{ID: id, Action: c.Action, Path: c.Path, Time: c.At}, nil
}

// ChangeLogs are the change logs of sources, with what their scanners remember.
//
// What operations cost when all goes well, in requests to the KV:
//
//   - Rows: one Query when it reaches the end of the log, else one Get more.
//   - Head, Lease, LastScan: one Get. LoadScanState: one Get, and one Query for a scan state that
//     this process doesn't know.
//   - Append, Acquire, Renew, Release, RecordScan: one Transact, with one Get before if
//     another process wrote meanwhile, or this one hasn't read the head yet.
//   - Commit: one Transact, or one Get if there is nothing to write; with a scan state a Get
//     more, and two Transact for each 99 parts of it that changed.
//   - Trim: one Get and one Query; for each 99 rows that go, one Transact, and one Query more.
type ChangeLogs struct{ s *Store }

var _ changelog.ScanStore = ChangeLogs{}

// ChangeLogs returns the change logs.
func (s *Store) ChangeLogs() ChangeLogs { return ChangeLogs{s} }

// updateSource changes the record of a source. The function change returns further writes
// of the same transaction.
func (j ChangeLogs) updateSource(ctx context.Context, source string,
	change func(*sourceRecord) ([]Write, error)) (h sourceRecord, err error) {
	key, err := sourceKey(source)
	if err != nil {
		return h, err
	}
	err = j.s.retryConflicts(ctx, key, func(it Item) error {
		if h, err = decodeSource(it); err != nil {
			return err
		}
		writes, err := change(&h)
		if err != nil {
			return err
		}
		h.Schema = sourceSchema
		if it.Data, err = encodeRecord(h); err != nil {
			return err
		}
		return j.s.replaceItem(ctx, it, writes...)
	})
	return h, err
}

// readSource reads the record of a source.
func (j ChangeLogs) readSource(ctx context.Context, source string) (h sourceRecord, err error) {
	key, err := sourceKey(source)
	if err != nil {
		return h, err
	}
	it, err := j.s.kv.Get(ctx, key)
	if err != nil {
		return h, err
	}
	if h, err = decodeSource(it); err == nil {
		j.s.cacheItem(it)
	}
	return h, err
}

// Head implements [changelog.Store].
func (j ChangeLogs) Head(ctx context.Context, source string) (changelog.Head, error) {
	h, err := j.readSource(ctx, source)
	return h.logHead(), explainError("read the change log of "+source, err)
}

// errInconsistent means that rows and head were read at different times.
var errInconsistent = errors.New("the records are changing")

// Rows implements [changelog.Store]. A query may return the head of one write and the rows
// of another. Rows never change, so those within the bounds of the head are right; where
// one is missing, both are read again.
func (j ChangeLogs) Rows(ctx context.Context, source string, after int64, limit int) (page changelog.Page, err error) {
	op := "read the change log of " + source
	if _, err := sourceKey(source); err != nil {
		return page, err
	}
	if limit == 0 {
		limit = math.MaxInt32 - 1
	}
	from := max(after, 0)
	for attempt := range maxAttempts {
		if err = waitForAttempt(ctx, attempt); err != nil {
			break
		}
		var h sourceRecord
		var rows []changelog.Row
		if h, rows, err = j.queryRows(ctx, source, from, limit); err != nil {
			break
		}
		if page, err = assemblePage(h, rows, after, limit); err == nil {
			return page, nil
		}
		from = max(from, h.Oldest-1) // what lies before is left over
	}
	return changelog.Page{}, explainError(op, err)
}

// queryRows reads at most limit rows after an id, and the head, with or after them.
func (j ChangeLogs) queryRows(ctx context.Context, source string, after int64, limit int) (h sourceRecord, rows []changelog.Row, err error) {
	if after < math.MaxInt64 {
		items, err := j.s.kv.Query(ctx, Query{Partition: sourcePartition(source), From: changeSortKey(after + 1), To: headSort, Limit: limit + 1})
		if err != nil {
			return h, nil, err
		}
		for _, it := range items {
			if it.Sort == headSort {
				j.s.cacheItem(it)
				h, err = decodeSource(it)
				return h, rows, err
			}
			row, err := decodeChange(it)
			if err != nil {
				return h, nil, err
			}
			rows = append(rows, row)
		}
	}
	h, err = j.readSource(ctx, source)
	return h, rows, err
}

// assemblePage returns the rows within the bounds of a head. It returns errInconsistent if
// one of them isn't there.
func assemblePage(h sourceRecord, rows []changelog.Row, after int64, limit int) (changelog.Page, error) {
	page := changelog.Page{Head: h.logHead(), Generation: h.Generation, Scans: h.Lease.Fence}
	if h.Epoch == "" || after >= h.Next-1 {
		return page, nil
	}
	next := max(h.Oldest, after+1)
	for _, r := range rows {
		if len(page.Rows) >= limit || r.ID >= h.Next {
			break
		}
		if r.ID < next {
			continue
		}
		if r.ID > next {
			return page, fmt.Errorf("%w: row %d isn't there", errInconsistent, next)
		}
		page.Rows = append(page.Rows, r)
		next++
	}
	if len(page.Rows) < limit && next < h.Next {
		return page, fmt.Errorf("%w: row %d isn't there", errInconsistent, next)
	}
	return page, nil
}

// Append implements [changelog.Store].
func (j ChangeLogs) Append(ctx context.Context, source string, at time.Time, entries []changelog.Change) (changelog.Head, error) {
	if len(entries) == 0 {
		return j.Head(ctx, source)
	}
	if err := changelog.CheckChanges(entries); err != nil {
		return changelog.Head{}, err
	}
	h, err := j.updateSource(ctx, source, func(h *sourceRecord) ([]Write, error) {
		if h.Epoch == "" {
			return nil, changelog.ErrNoChangeLog
		}
		return h.appendChanges(source, at, entries)
	})
	if err != nil {
		return changelog.Head{}, explainError("write the change log of "+source, err)
	}
	return h.logHead(), nil
}

// Trim implements [changelog.Store]. It also deletes what an earlier change log had: those
// are the rows with the least ids.
func (j ChangeLogs) Trim(ctx context.Context, source string, before time.Time, keep int) (changelog.Head, error) {
	h, err := j.readSource(ctx, source)
	for err == nil && h.Epoch != "" {
		var dead []Write
		var last int64
		if dead, last, err = j.findExpired(ctx, source, h, before, keep); err != nil || len(dead) == 0 {
			break
		}
		h, err = j.updateSource(ctx, source, func(h *sourceRecord) ([]Write, error) {
			h.Oldest = max(h.Oldest, last+1)
			return dead, nil
		})
		if len(dead) < maxTrimmed {
			break
		}
	}
	if err != nil {
		return changelog.Head{}, explainError("trim the change log of "+source, err)
	}
	return h.logHead(), nil
}

// maxTrimmed is how many rows are deleted in one transaction, with the head in it.
const maxTrimmed = MaxWrites - 1

// findExpired returns the writes that delete the oldest rows that go, and the id of the last.
func (j ChangeLogs) findExpired(ctx context.Context, source string, h sourceRecord, before time.Time, keep int) (dead []Write, last int64, err error) {
	floor, newest := h.Oldest, h.Next-1
	if keep > 0 {
		floor = max(floor, h.Next-int64(keep))
	}
	items, err := j.s.kv.Query(ctx, Query{Partition: sourcePartition(source), From: changeSortKey(0), To: changeSortKey(newest - 1), Limit: maxTrimmed})
	if err != nil {
		return nil, 0, err
	}
	for _, it := range items {
		row, err := decodeChange(it)
		if err != nil {
			return nil, 0, err
		}
		if row.ID >= floor && !row.Time.Before(before) {
			break
		}
		dead, last = append(dead, Delete(it.Key)), row.ID
	}
	return dead, last, nil
}

// RecordScan implements [changelog.LastScanStore].
func (j ChangeLogs) RecordScan(ctx context.Context, source string, scan changelog.LastScan) error {
	if err := checkName("source", source); err != nil {
		return err
	}
	w, err := ScanWrite(source, scan)
	if err == nil {
		_, err = j.s.kv.Transact(ctx, w)
	}
	return explainError("record the scan of "+source, err)
}

// LastScan implements [changelog.LastScanStore].
func (j ChangeLogs) LastScan(ctx context.Context, source string) (scan changelog.LastScan, err error) {
	if err := checkName("source", source); err != nil {
		return scan, err
	}
	it, err := j.s.kv.Get(ctx, Key{scansPartition, source})
	if err == nil && it.Version != "" {
		scan, err = decodeRecord[changelog.LastScan](it.Data)
	}
	return scan, explainError("read how "+source+" was scanned", err)
}

// LastScans implements [changelog.LastScanStore]. A record that can't be read is left out, and is
// part of the error.
func (j ChangeLogs) LastScans(ctx context.Context) (map[string]changelog.LastScan, error) {
	items, err := j.s.kv.Query(ctx, Prefix(scansPartition, ""))
	if err != nil {
		return nil, explainError("read how the sources were scanned", err)
	}
	all := map[string]changelog.LastScan{}
	var failed []error
	for _, it := range items {
		scan, err := decodeRecord[changelog.LastScan](it.Data)
		if err != nil {
			failed = append(failed, fmt.Errorf("read how %s was scanned: %w", it.Sort, err))
			continue
		}
		all[it.Sort] = scan
	}
	return all, errors.Join(failed...)
}
