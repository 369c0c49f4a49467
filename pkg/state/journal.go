package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// journalSchema is the version of the records of journals that this program
// writes.
const journalSchema = 1

// journalTables is the second version of the state: journals of changes, and
// what their scanners remember.
const journalTables = `
CREATE TABLE journals (
	source        TEXT    NOT NULL PRIMARY KEY,
	schema        INTEGER NOT NULL,
	epoch         TEXT    NOT NULL, -- '' before the journal has begun
	oldest        INTEGER NOT NULL, -- id of the oldest row
	next          INTEGER NOT NULL, -- id of the next row; 0 before the first journal
	generation    INTEGER NOT NULL, -- of the scanner's memory
	lease_owner   TEXT    NOT NULL, -- '' when free
	lease_expires INTEGER NOT NULL, -- microseconds since 1970
	fence         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE journal_rows (
	source TEXT    NOT NULL,
	id     INTEGER NOT NULL,
	action TEXT    NOT NULL,
	path   TEXT    NOT NULL,
	at     INTEGER NOT NULL, -- microseconds since 1970
	PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE scan_memory (
	source TEXT NOT NULL PRIMARY KEY,
	memory BLOB NOT NULL
) STRICT;
`

// Journals are the journals in a state file, with what their scanners remember.
// They are safe for concurrent use, by any number of processes on one machine.
type Journals struct{ s *SQLite }

var _ journal.ScanStore = Journals{}

// Journals is the view of the state that holds journals.
func (s *SQLite) Journals() Journals { return Journals{s} }

const journalColumns = "j.schema, j.epoch, j.oldest, j.next, j.generation, j.lease_owner, j.lease_expires, j.fence"

// journalRecord is the row of a journal. The zero record is of a source never
// seen.
type journalRecord struct {
	epoch        string
	oldest, next int64
	generation   int64
	lease        replication.Lease
}

// targets are where a row of journalColumns goes. The result of done is to be
// asked after the scan.
func (r *journalRecord) targets() (to []any, done func() error) {
	var schema int
	var expires int64
	return []any{&schema, &r.epoch, &r.oldest, &r.next, &r.generation, &r.lease.Owner, &expires, &r.lease.Fence}, func() error {
		if r.lease.Owner != "" {
			r.lease.Expires = fromMicros(expires)
		}
		if schema > journalSchema {
			return fmt.Errorf("%w: the journal has version %d, this program knows %d", replication.ErrSchema, schema, journalSchema)
		}
		return nil
	}
}

func (r journalRecord) head() journal.Head {
	if r.epoch == "" {
		return journal.Head{}
	}
	return journal.Head{Epoch: r.epoch, Oldest: r.oldest, Newest: r.next - 1}
}

func (r journalRecord) recollection() journal.Recollection {
	return journal.Recollection{Head: r.head(), Lease: r.lease, Generation: r.generation}
}

// readJournal reads the record of a source; further columns go to more.
func readJournal(ctx context.Context, db querier, source, columns string, more ...any) (r journalRecord, err error) {
	to, done := r.targets()
	err = db.QueryRowContext(ctx, "SELECT "+journalColumns+columns+" FROM journals j WHERE j.source = ?", source).Scan(append(to, more...)...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return journalRecord{}, nil
	case err != nil:
		return r, err
	}
	return r, done()
}

func (r journalRecord) save(ctx context.Context, tx *sql.Tx, source string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO journals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source) DO UPDATE SET
		schema = excluded.schema, epoch = excluded.epoch, oldest = excluded.oldest, next = excluded.next, generation = excluded.generation,
		lease_owner = excluded.lease_owner, lease_expires = excluded.lease_expires, fence = excluded.fence`,
		source, journalSchema, r.epoch, r.oldest, r.next, r.generation, r.lease.Owner, leaseMicros(r.lease), r.lease.Fence)
	return err
}

func leaseMicros(l replication.Lease) int64 {
	if l.Owner == "" {
		return 0
	}
	return micros(l.Expires)
}

// Head implements [journal.Store]: one SELECT, no fsync.
func (j Journals) Head(ctx context.Context, source string) (journal.Head, error) {
	r, err := readJournal(ctx, j.s.read, source, "")
	return r.head(), explain(ctx, "read the journal of "+source, err)
}

// Rows implements [journal.Store]: one SELECT, so that head and rows are of one
// moment.
func (j Journals) Rows(ctx context.Context, source string, after int64, limit int) (journal.Page, error) {
	var page journal.Page
	type line struct {
		rec journalRecord
		row *journal.Row
	}
	read := func(scan func(...any) error) (l line, err error) {
		to, done := l.rec.targets()
		var id, at sql.NullInt64
		var action, path sql.NullString
		if err := scan(append(to, &id, &action, &path, &at)...); err != nil {
			return l, err
		}
		if id.Valid {
			l.row = &journal.Row{ID: id.Int64, Action: action.String, Path: path.String, Time: fromMicros(at.Int64)}
		}
		return l, done()
	}
	all, err := collect(ctx, j.s.read, read, "SELECT "+journalColumns+", r.id, r.action, r.path, r.at FROM journals j"+
		" LEFT JOIN journal_rows r ON r.source = j.source AND r.id > ? WHERE j.source = ? ORDER BY r.id LIMIT ?", after, source, max(limit, 1))
	if err != nil {
		return page, explain(ctx, "read the journal of "+source, err)
	}
	for _, l := range all {
		page.Head, page.Generation, page.Scans = l.rec.head(), l.rec.generation, l.rec.lease.Fence
		if l.row != nil && limit > 0 {
			page.Rows = append(page.Rows, *l.row)
		}
	}
	return page, nil
}

// Append implements [journal.Store]: one SELECT, one INSERT, one UPDATE; one
// fsync.
func (j Journals) Append(ctx context.Context, source string, at time.Time, entries []journal.Entry) (head journal.Head, err error) {
	if len(entries) == 0 {
		return j.Head(ctx, source)
	}
	if err := journal.CheckEntries(entries); err != nil {
		return head, err
	}
	err = inTx(ctx, j.s.write, func(tx *sql.Tx) error {
		r, err := readJournal(ctx, tx, source, "")
		if err != nil {
			return err
		}
		if r.epoch == "" {
			return journal.ErrNoJournal
		}
		if err := r.append(ctx, tx, source, at, entries); err != nil {
			return err
		}
		head = r.head()
		return r.save(ctx, tx, source)
	})
	return head, explainJournal(ctx, "write the journal of "+source, err)
}

// append inserts entries as rows in one statement and moves the next id.
func (r *journalRecord) append(ctx context.Context, tx *sql.Tx, source string, at time.Time, entries []journal.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	rows, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO journal_rows SELECT ?, ? + key, value->>'Action', value->>'Path', ? FROM json_each(?)",
		source, r.next, micros(at), string(rows))
	r.next += int64(len(entries))
	return err
}

// begin replaces the journal by a new one.
func (r *journalRecord) begin(ctx context.Context, tx *sql.Tx, source, epoch string, at time.Time) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM journal_rows WHERE source = ?", source); err != nil {
		return err
	}
	first := journal.FirstID(at, r.next)
	r.epoch, r.oldest, r.next = epoch, first, first
	return r.append(ctx, tx, source, at, []journal.Entry{{Action: journal.Begin, Path: journal.Root}})
}

// Trim implements [journal.Store]: one SELECT, and one fsync if there is
// something to drop.
func (j Journals) Trim(ctx context.Context, source string, before time.Time, keep int) (journal.Head, error) {
	op := "trim the journal of " + source
	// The first row that stays, at most the newest.
	const first = ", (SELECT min(id) FROM journal_rows WHERE source = j.source AND at >= ?)"
	find := func(db querier) (journalRecord, int64, error) {
		var young sql.NullInt64
		to := journalRecord{}
		targets, done := to.targets()
		err := db.QueryRowContext(ctx, "SELECT "+journalColumns+first+" FROM journals j WHERE j.source = ?", micros(before), source).Scan(append(targets, &young)...)
		if errors.Is(err, sql.ErrNoRows) {
			return journalRecord{}, 0, nil
		}
		if err != nil {
			return to, 0, err
		}
		oldest := to.next - 1
		if young.Valid {
			oldest = min(oldest, young.Int64)
		}
		if keep > 0 {
			oldest = max(oldest, to.next-int64(keep))
		}
		return to, oldest, done()
	}
	r, oldest, err := find(j.s.read)
	if err != nil || r.epoch == "" || oldest <= r.oldest {
		return r.head(), explain(ctx, op, err)
	}
	err = inTx(ctx, j.s.write, func(tx *sql.Tx) error {
		if r, oldest, err = find(tx); err != nil || r.epoch == "" || oldest <= r.oldest {
			return err
		}
		r.oldest = oldest
		if _, err := tx.ExecContext(ctx, "DELETE FROM journal_rows WHERE source = ? AND id < ?", source, oldest); err != nil {
			return err
		}
		return r.save(ctx, tx, source)
	})
	return r.head(), explain(ctx, op, err)
}

// explainJournal leaves the words of package journal as they are.
func explainJournal(ctx context.Context, op string, err error) error {
	var leased *journal.LeasedError
	if errors.As(err, &leased) {
		return err
	}
	if slices.ContainsFunc([]error{journal.ErrNoJournal, journal.ErrFenced, journal.ErrEntry}, func(e error) bool { return errors.Is(err, e) }) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return explain(ctx, op, err)
}
