package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"chefsync/pkg/feed/journal"
)

// lastScans is the third version of the state: how the newest scan of each
// source went, as JSON.
const lastScans = `
CREATE TABLE last_scans (
	source TEXT NOT NULL PRIMARY KEY,
	scan   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`

// NoteScan implements [journal.Diary]: one write, one fsync.
func (j Journals) NoteScan(ctx context.Context, source string, s journal.LastScan) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	const set = "INSERT INTO last_scans VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET scan = excluded.scan"
	_, err = j.s.write.ExecContext(ctx, set, source, string(text))
	return explain(ctx, "note the scan of "+source, err)
}

// LastScan implements [journal.Diary]: one SELECT, no fsync.
func (j Journals) LastScan(ctx context.Context, source string) (s journal.LastScan, err error) {
	var text string
	err = j.s.read.QueryRowContext(ctx, "SELECT scan FROM last_scans WHERE source = ?", source).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	return s, explain(ctx, "read how "+source+" was scanned", err)
}

// LastScans implements [journal.Diary]: one SELECT, no fsync.
func (j Journals) LastScans(ctx context.Context) (map[string]journal.LastScan, error) {
	const op = "read how the sources were scanned"
	rows, err := j.s.read.QueryContext(ctx, "SELECT source, scan FROM last_scans")
	if err != nil {
		return nil, explain(ctx, op, err)
	}
	defer rows.Close()
	all := map[string]journal.LastScan{}
	for rows.Next() {
		var source, text string
		var s journal.LastScan
		if err = rows.Scan(&source, &text); err == nil {
			err = json.Unmarshal([]byte(text), &s)
		}
		if err != nil {
			return nil, explain(ctx, op, err)
		}
		all[source] = s
	}
	return all, explain(ctx, op, rows.Err())
}
