package dynamostate

import (
	"context"
	"errors"
	"fmt"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// NoteScan implements [journal.Diary]. Texts that would make the item large are
// cut.
func (j Journals) NoteScan(ctx context.Context, source string, s journal.LastScan) error {
	if err := checkSource(source); err != nil {
		return err
	}
	s.Error, s.Hint = clipText(s.Error), clipText(s.Hint)
	packed, err := pack(s)
	if err == nil {
		_, err = j.s.updateItem(ctx, scanKey(source), change{
			set: "SET v = :v, r = :r", condition: ifKnown, values: item{":v": num(journalSchema), ":r": bin(packed)},
		})
	}
	if _, no := refused(err); no {
		_, err = j.lastScan(ctx, source) // a newer version's
	}
	return j.explainDiary(ctx, "note the scan of "+source, source, err)
}

// LastScan implements [journal.Diary].
func (j Journals) LastScan(ctx context.Context, source string) (journal.LastScan, error) {
	if err := checkSource(source); err != nil {
		return journal.LastScan{}, err
	}
	s, err := j.lastScan(ctx, source)
	return s, j.explainDiary(ctx, "read how "+source+" was scanned", source, err)
}

// LastScans implements [journal.Diary]: one Query. A record that can't be read is
// left out, and is part of the error.
func (j Journals) LastScans(ctx context.Context) (map[string]journal.LastScan, error) {
	items, err := j.s.query(ctx, scansPK, "", false, 0)
	if err != nil {
		return nil, j.s.explain(ctx, "read how the sources were scanned", err)
	}
	all := map[string]journal.LastScan{}
	var failed []error
	for _, it := range items {
		key := reader{it: it}
		source := key.str("sk")
		s, err := readLastScan(it)
		if err != nil {
			failed = append(failed, j.explainDiary(ctx, "read how "+source+" was scanned", source, err))
			continue
		}
		all[source] = s
	}
	return all, errors.Join(failed...)
}

func (j Journals) lastScan(ctx context.Context, source string) (s journal.LastScan, err error) {
	it, err := j.s.get(ctx, scanKey(source))
	if err != nil || len(it) == 0 {
		return s, err
	}
	return readLastScan(it)
}

func readLastScan(it item) (s journal.LastScan, err error) {
	r := reader{it: it}
	if err := errors.Join(checkVersion(r.num(attrSchema), journalSchema), r.err); err != nil {
		return s, err
	}
	s, err = unpack[journal.LastScan](r.bin(attrRecord))
	return s, errors.Join(err, r.err)
}

func scanKey(source string) item { return keyOf(scansPK, source) }

// explainDiary says of a damaged record what helps a diary.
func (j Journals) explainDiary(ctx context.Context, op, source string, err error) error {
	var known *replication.Error
	if errors.As(err, &known) && known.Op == opRead {
		return &replication.Error{Op: op, Server: "table " + j.s.table, Class: known.Class, Err: known.Err,
			Hint: fmt.Sprintf("delete the item %s of the partition %s: the next scan writes it again", source, scansPK)}
	}
	return j.s.explain(ctx, op, err)
}
