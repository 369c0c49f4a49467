package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"chefsync/pkg/feed/journal"
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

func headKey(source string) (Key, error) {
	return Key{sourcePartition(source), headSort}, checkName("source", source)
}

// changeSort returns the sort key of a change.
func changeSort(id int64) string { return fmt.Sprintf("%s%019d", changePrefix, id) }

// sourceSchema is the version of the records of sources that this program writes.
const sourceSchema = 1

// head is the record of a source: the bounds of its change log, the lease of its scanner
// and where the scanner's memory is. The zero head is of a source never seen.
type head struct {
	Schema     int               `json:"schema"`
	Epoch      string            `json:"epoch,omitempty"`
	Oldest     int64             `json:"oldest,omitempty"` // id of the oldest change
	Next       int64             `json:"next,omitempty"`   // id of the next change; 0 before the first change log
	Generation int64             `json:"generation,omitempty"`
	Memory     string            `json:"memory,omitempty"` // hash of the memory
	Lease      replication.Lease `json:"lease"`
}

func decodeHead(it Item) (h head, err error) {
	if it.Version == "" {
		return h, nil
	}
	if h, err = decode[head](it.Data); err != nil {
		return h, err
	}
	if err := checkSchema(h.Schema, sourceSchema); err != nil {
		return h, err
	}
	if h.Epoch != "" && (h.Oldest < 1 || h.Next <= h.Oldest) {
		return h, damaged(fmt.Errorf("a change log from %d to before %d", h.Oldest, h.Next))
	}
	return h, nil
}

func (h head) bounds() journal.Head {
	if h.Epoch == "" {
		return journal.Head{}
	}
	return journal.Head{Epoch: h.Epoch, Oldest: h.Oldest, Newest: h.Next - 1}
}

func (h head) recollection() journal.Recollection {
	return journal.Recollection{Head: h.bounds(), Lease: h.Lease, Generation: h.Generation}
}

// change is the record of a change. The key holds its id.
type change struct {
	Action string    `json:"action"`
	Path   string    `json:"path"`
	At     time.Time `json:"at"`
}

// append gives entries the next ids and returns their writes.
func (h *head) append(source string, at time.Time, entries []journal.Entry) (writes []Write, err error) {
	for _, e := range entries {
		data, err := encode(change{e.Action, e.Path, at})
		if err != nil {
			return nil, err
		}
		writes = append(writes, Put(Item{Key: Key{sourcePartition(source), changeSort(h.Next)}, Data: data}))
		h.Next++
	}
	return writes, nil
}

func decodeChange(it Item) (row journal.Row, err error) {
	c, err := decode[change](it.Data)
	if err != nil {
		return row, err
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(it.Sort, changePrefix), 10, 64)
	if err != nil {
		return row, damaged(fmt.Errorf("%q is not the key of a change", it.Sort))
	}
	return journal.Row{ID: id, Action: c.Action, Path: c.Path, Time: c.At}, nil
}

// Journals are the change logs of sources, with what their scanners remember.
//
// What operations cost when all goes well, in requests to the KV:
//
//   - Rows: one Query when it reaches the end of the log, else one Get more.
//   - Head, Lease, LastScan: one Get. Recall: one Get, and one Query for a memory that
//     this process doesn't know.
//   - Append, Acquire, Renew, Release, NoteScan: one Transact, with one Get before if
//     another process wrote meanwhile, or this one hasn't read the head yet.
//   - Commit: one Transact, or one Get if there is nothing to write; with memory a Get
//     more, and two Transact for each 99 parts of it that changed.
//   - Trim: one Get and one Query for each 100 rows that go; then one Transact, and one
//     for each 100 rows.
type Journals struct{ s *Store }

var _ journal.ScanStore = Journals{}

// Journals returns the change logs.
func (s *Store) Journals() Journals { return Journals{s} }

// updateHead changes the record of a source. Change returns writes that go with it.
func (j Journals) updateHead(ctx context.Context, source string, change func(*head) ([]Write, error)) (h head, err error) {
	key, err := headKey(source)
	if err != nil {
		return h, err
	}
	err = j.s.decide(ctx, key, func(it Item) error {
		if h, err = decodeHead(it); err != nil {
			return err
		}
		writes, err := change(&h)
		if err != nil {
			return err
		}
		h.Schema = sourceSchema
		if it.Data, err = encode(h); err != nil {
			return err
		}
		return j.s.write(ctx, it, writes...)
	})
	return h, err
}

// readHead reads the record of a source.
func (j Journals) readHead(ctx context.Context, source string) (h head, err error) {
	key, err := headKey(source)
	if err != nil {
		return h, err
	}
	it, err := j.s.get(ctx, key)
	if err != nil {
		return h, err
	}
	if h, err = decodeHead(it); err == nil {
		j.s.remember(it)
	}
	return h, err
}

// Head implements [journal.Store].
func (j Journals) Head(ctx context.Context, source string) (journal.Head, error) {
	h, err := j.readHead(ctx, source)
	return h.bounds(), explainJournal("read the journal of "+source, err)
}

// errMoved means that rows and head were read at different moments.
var errMoved = errors.New("the records are changing")

// Rows implements [journal.Store]. A query may show the head of one write and the rows of
// another. Rows never change, so those that the head counts are what was there at its
// moment; where one is missing, both are read again.
func (j Journals) Rows(ctx context.Context, source string, after int64, limit int) (page journal.Page, err error) {
	op := "read the journal of " + source
	if _, err := headKey(source); err != nil {
		return page, err
	}
	from := max(after, 0)
	for attempt := range attempts {
		if err = pause(ctx, attempt); err != nil {
			break
		}
		var h head
		var rows []journal.Row
		if h, rows, err = j.query(ctx, source, from, limit); err != nil {
			break
		}
		if page, err = assemble(h, rows, after, limit); err == nil {
			return page, nil
		}
		from = max(from, h.Oldest-1) // what lies before is left over
	}
	return journal.Page{}, explainJournal(op, err)
}

// query reads rows behind an id, limit of them or as many as there are, and the head, with
// or after them.
func (j Journals) query(ctx context.Context, source string, after int64, limit int) (h head, rows []journal.Row, err error) {
	if limit > 0 && after < math.MaxInt64 {
		items, err := j.s.kv.Query(ctx, Query{Partition: sourcePartition(source), From: changeSort(after + 1), To: headSort, Limit: limit + 1})
		if err != nil {
			return h, nil, err
		}
		for _, it := range items {
			if it.Sort == headSort {
				j.s.remember(it)
				h, err = decodeHead(it)
				return h, rows, err
			}
			row, err := decodeChange(it)
			if err != nil {
				return h, nil, err
			}
			rows = append(rows, row)
		}
	}
	h, err = j.readHead(ctx, source)
	return h, rows, err
}

// assemble returns the rows that a head counts. It returns errMoved if one of them isn't
// there.
func assemble(h head, rows []journal.Row, after int64, limit int) (journal.Page, error) {
	page := journal.Page{Head: h.bounds(), Generation: h.Generation, Scans: h.Lease.Fence}
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
			return page, fmt.Errorf("%w: row %d isn't there", errMoved, next)
		}
		page.Rows = append(page.Rows, r)
		next++
	}
	if len(page.Rows) < limit && next < h.Next {
		return page, fmt.Errorf("%w: row %d isn't there", errMoved, next)
	}
	return page, nil
}

// Append implements [journal.Store].
func (j Journals) Append(ctx context.Context, source string, at time.Time, entries []journal.Entry) (journal.Head, error) {
	if len(entries) == 0 {
		return j.Head(ctx, source)
	}
	if err := journal.CheckEntries(entries); err != nil {
		return journal.Head{}, err
	}
	h, err := j.updateHead(ctx, source, func(h *head) ([]Write, error) {
		if h.Epoch == "" {
			return nil, journal.ErrNoJournal
		}
		return h.append(source, at, entries)
	})
	if err != nil {
		return journal.Head{}, explainJournal("write the journal of "+source, err)
	}
	return h.bounds(), nil
}

// Trim implements [journal.Store]. First the head says that rows are gone, then they are
// removed: what a crash leaves over is the first that the next Trim reads.
func (j Journals) Trim(ctx context.Context, source string, before time.Time, keep int) (journal.Head, error) {
	h, err := j.trim(ctx, source, before, keep)
	if err != nil {
		return journal.Head{}, explainJournal("trim the journal of "+source, err)
	}
	return h.bounds(), nil
}

func (j Journals) trim(ctx context.Context, source string, before time.Time, keep int) (head, error) {
	h, err := j.readHead(ctx, source)
	if err != nil || h.Epoch == "" {
		return h, err
	}
	epoch := h.Epoch
	oldest, dead, err := j.expired(ctx, source, h, before, keep)
	if err != nil {
		return h, err
	}
	if oldest > h.Oldest {
		h, err = j.updateHead(ctx, source, func(h *head) ([]Write, error) {
			if h.Epoch != epoch {
				return nil, errUnchanged
			}
			h.Oldest = max(h.Oldest, oldest)
			return nil, nil
		})
		if errors.Is(err, errUnchanged) {
			return j.readHead(ctx, source)
		}
		if err != nil {
			return h, err
		}
	}
	return h, j.s.deleteAll(ctx, dead)
}

// expired finds the id of the oldest row that stays, and the items of rows that go.
func (j Journals) expired(ctx context.Context, source string, h head, before time.Time, keep int) (oldest int64, dead []Item, err error) {
	floor, newest := h.Oldest, h.Next-1
	if keep > 0 {
		floor = max(floor, h.Next-int64(keep))
	}
	for from := int64(0); from < newest; {
		items, err := j.s.kv.Query(ctx, Query{Partition: sourcePartition(source), From: changeSort(from), To: changeSort(newest - 1), Limit: MaxWrites})
		if err != nil {
			return 0, nil, err
		}
		for _, it := range items {
			row, err := decodeChange(it)
			if err != nil {
				return 0, nil, err
			}
			if row.ID >= floor && !row.Time.Before(before) {
				return row.ID, dead, nil
			}
			dead, from = append(dead, it), row.ID+1
		}
		if len(items) < MaxWrites {
			break
		}
	}
	return newest, dead, nil
}

// dropBelow removes the rows that a new change log has left behind. What it can't remove
// the next Trim will.
func (j Journals) dropBelow(ctx context.Context, source string, id int64) {
	items, err := j.s.kv.Query(ctx, Query{Partition: sourcePartition(source), From: changeSort(0), To: changeSort(id - 1)})
	if err == nil {
		_ = j.s.deleteAll(ctx, items)
	}
}

// NoteScan implements [journal.Diary].
func (j Journals) NoteScan(ctx context.Context, source string, scan journal.LastScan) error {
	if err := checkName("source", source); err != nil {
		return err
	}
	w, err := ScanWrite(source, scan)
	if err == nil {
		_, err = j.s.kv.Transact(ctx, w)
	}
	return explain("note the scan of "+source, err)
}

// LastScan implements [journal.Diary].
func (j Journals) LastScan(ctx context.Context, source string) (scan journal.LastScan, err error) {
	if err := checkName("source", source); err != nil {
		return scan, err
	}
	it, err := j.s.get(ctx, Key{scansPartition, source})
	if err == nil && it.Version != "" {
		scan, err = decode[journal.LastScan](it.Data)
	}
	return scan, explain("read how "+source+" was scanned", err)
}

// LastScans implements [journal.Diary]. A record that can't be read is left out, and is
// part of the error.
func (j Journals) LastScans(ctx context.Context) (map[string]journal.LastScan, error) {
	items, err := j.s.kv.Query(ctx, Prefix(scansPartition, ""))
	if err != nil {
		return nil, explain("read how the sources were scanned", err)
	}
	all := map[string]journal.LastScan{}
	var failed []error
	for _, it := range items {
		scan, err := decode[journal.LastScan](it.Data)
		if err != nil {
			failed = append(failed, fmt.Errorf("read how %s was scanned: %w", it.Sort, err))
			continue
		}
		all[it.Sort] = scan
	}
	return all, errors.Join(failed...)
}

// explainJournal leaves the words of package journal as they are.
func explainJournal(op string, err error) error {
	var leased *replication.LeasedError
	if errors.As(err, &leased) {
		return err
	}
	if errors.Is(err, errMoved) {
		err = damaged(fmt.Errorf("records don't belong together: %w", err))
	}
	return explain(op, err)
}
