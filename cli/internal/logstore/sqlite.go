package logstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/store/sqlite"
)

// PathFor is where the log of a state file is: beside it, "-log" before the
// extension. The file may be deleted when no process has it open.
func PathFor(state string) string {
	ext := filepath.Ext(state)
	return strings.TrimSuffix(state, ext) + "-log" + ext
}

// How much is kept.
const (
	keepLines = 200_000             // the newest lines
	keepAge   = 30 * 24 * time.Hour // not older than this
)

// pollInterval is how often a reader that follows looks at the file.
const pollInterval = 500 * time.Millisecond

// SQLite is a [Store] in a SQLite file, for any number of processes on one machine.
// It is safe for concurrent use.
//
// It isn't the file of the state: SQLite has one writer at a time and every commit of
// state waits for the disk; a busy log in the same file would stand in its way. Apart, a
// full, damaged or deleted log can't harm the state, and the log skips the wait for the
// disk. The file is opened at first use, so that trouble with
// it stops no other work, and once the cause is repaired, logging resumes without a restart.
type SQLite struct {
	path      string
	keepLines int
	keepAge   time.Duration

	mu   sync.Mutex
	file *sql.DB
}

var _ Store = (*SQLite)(nil)

// NewSQLite returns the log in a file, which is created readable by its owner only,
// with the folders above it.
func NewSQLite(path string) *SQLite {
	return &SQLite{path: path, keepLines: keepLines, keepAge: keepAge}
}

func (s *SQLite) openOnce(ctx context.Context) (*sql.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		return s.file, nil
	}
	db, err := fileFormat().OpenFile(ctx, s.path)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(2) // one may follow while another appends
	s.file = db
	return db, nil
}

// Close closes the file. Call it when no operation is under way.
func (s *SQLite) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// Append writes lines at the end of the log, all or none, and drops lines
// that are too many or older than the newest of these by the age to keep. Their
// IDs are ignored. It costs four statements and no fsync: the last lines may
// miss after a loss of power, but not after kill -9.
func (s *SQLite) Append(ctx context.Context, lines []Line) error {
	if len(lines) == 0 {
		return nil
	}
	rows := make([][]any, len(lines))
	newest := lines[0].Time
	for i, l := range lines {
		pair := ""
		if l.Pair != (replication.PairID{}) {
			pair = l.Pair.String()
		}
		if l.Time.After(newest) {
			newest = l.Time
		}
		rows[i] = []any{l.Time.UnixMicro(), int(l.Level), pair, replaceNUL(l.Run), replaceNUL(l.Object), replaceNUL(l.Message), string(l.Attrs)}
	}
	b, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	db, err := s.openOnce(ctx)
	if err != nil {
		return err
	}
	err = sqlite.InTransaction(ctx, db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO lines (at, level, pair, run, object, msg, attrs) SELECT "+
			"value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM json_each(?)", string(b))
		if err != nil {
			return err
		}
		return deleteOld(ctx, tx, s.keepLines, newest.Add(-s.keepAge))
	})
	return fileFormat().Explain(ctx, "write log "+s.path, err)
}

// replaceNUL replaces NUL, at which SQLite's JSON functions would cut.
func replaceNUL(s string) string { return strings.ReplaceAll(s, "\x00", "\uFFFD") }

func deleteOld(ctx context.Context, tx *sql.Tx, keep int, oldest time.Time) error {
	var last int64
	if err := tx.QueryRowContext(ctx, "SELECT max(id) FROM lines").Scan(&last); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM lines WHERE id <= ?", last-int64(keep)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM lines WHERE at < ?", oldest.UnixMicro())
	return err
}

// NewReader implements [Store].
func (s *SQLite) NewReader(q Query) Reader { return &fileReader{log: s, query: q} }

// readLines returns the lines that a query selects, oldest first, with IDs above one. A
// limit takes the newest ones.
func (s *SQLite) readLines(ctx context.Context, q Query, afterID int64) ([]Line, error) {
	db, err := s.openOnce(ctx)
	if err != nil {
		return nil, err
	}
	where, args := q.sqlConditions()
	query := "SELECT id, at, level, pair, run, object, msg, attrs FROM lines WHERE id > ?" + where + " ORDER BY id DESC LIMIT ?"
	limit := q.Limit
	if limit < 1 {
		limit = -1
	}
	lines, err := queryLines(ctx, db, query, append(append([]any{afterID}, args...), limit)...)
	if err != nil {
		return nil, fileFormat().Explain(ctx, "read log "+s.path, err)
	}
	slices.Reverse(lines)
	return lines, nil
}

// sqlConditions are the conditions of a WHERE clause, each after an AND, and their values.
func (q Query) sqlConditions() (where string, args []any) {
	and := func(use bool, condition string, arg any) {
		if use {
			where, args = where+" AND "+condition, append(args, arg)
		}
	}
	if len(q.Pairs) > 0 {
		names, _ := json.Marshal(q.Pairs) // text can't fail
		and(true, "pair IN (SELECT value FROM json_each(?))", string(names))
	}
	and(q.Manager, "pair = ?", "")
	and(!q.Since.IsZero(), "at >= ?", q.Since.UnixMicro())
	and(q.Object != "", "object = ?", q.Object)
	and(q.Run != "", "run = ?", q.Run)
	if q.Level != nil {
		and(true, "level >= ?", int(*q.Level))
	}
	return where, args
}

func queryLines(ctx context.Context, db *sql.DB, query string, args ...any) ([]Line, error) {
	lines := []Line{} // a list in JSON, always
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		l, err := scanLine(rows.Scan)
		if err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, rows.Err()
}

func scanLine(scan func(...any) error) (l Line, err error) {
	var at, level int64
	var pair, attrs string
	if err := scan(&l.ID, &at, &level, &pair, &l.Run, &l.Object, &l.Message, &attrs); err != nil {
		return l, err
	}
	l.Time, l.Level = time.UnixMicro(at).UTC(), slog.Level(level)
	if attrs != "" {
		l.Attrs = json.RawMessage(attrs)
	}
	if pair != "" {
		if l.Pair, err = replication.ParsePairID(pair); err != nil {
			return l, &fault.Error{Op: "read log", Class: fault.Local, Hint: fileFormat().DamagedHint, Err: err}
		}
	}
	return l, nil
}

// fileReader reads the log of this machine.
type fileReader struct {
	log    *SQLite
	query  Query
	lastID int64 // of the lines that were read
}

// Window implements [Reader].
func (*fileReader) Window() time.Duration { return 0 }

// PollInterval implements [Reader].
func (*fileReader) PollInterval() time.Duration { return pollInterval }

// Lines implements [Reader].
func (r *fileReader) Lines(ctx context.Context) ([]Line, error) {
	lines, err := r.log.readLines(ctx, r.query, r.lastID)
	if err != nil {
		return nil, err
	}
	if len(lines) > 0 {
		r.lastID = lines[len(lines)-1].ID
	}
	r.query.Limit = 0
	return lines, nil
}
