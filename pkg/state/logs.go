package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chefsync/pkg/replication"
)

// LogLine is one line of the log.
type LogLine struct {
	ID      int64              `json:"id"` // given by the store, growing
	Time    time.Time          `json:"time"`
	Level   slog.Level         `json:"level"`
	Message string             `json:"msg"`
	Pair    replication.PairID `json:"pair,omitzero"` // zero: of the manager
	Run     string             `json:"run,omitempty"`
	Object  string             `json:"object,omitempty"` // the path of an object
	// Attrs is a JSON object of the other attributes, in the order in which they
	// were given; empty for none.
	Attrs json.RawMessage `json:"attrs,omitempty"`
}

// LogQuery selects log lines. Zero fields select everything.
type LogQuery struct {
	Pair    replication.PairID
	Manager bool // only lines that belong to no pair
	Since   time.Time
	AfterID int64       // only lines with a greater ID
	Level   *slog.Level // at least this level
	Object  string      // the path of an object
	Run     string
	Limit   int // at most this many lines; below 1 means no limit
}

// LogPath is where the log of a state file is: beside it, "-log" before the
// extension. The file may be deleted when no process has it open.
func LogPath(state string) string {
	ext := filepath.Ext(state)
	return strings.TrimSuffix(state, ext) + "-log" + ext
}

func logVersions() []string {
	return []string{`
CREATE TABLE lines (
	id     INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice, so that readers can follow
	at     INTEGER NOT NULL, -- microseconds since 1970
	level  INTEGER NOT NULL,
	pair   TEXT    NOT NULL, -- REPLICA/ORG, '' for the manager
	run    TEXT    NOT NULL,
	object TEXT    NOT NULL,
	msg    TEXT    NOT NULL,
	attrs  TEXT    NOT NULL -- a JSON object or ''
) STRICT;
CREATE INDEX lines_pair ON lines (pair, id);
CREATE INDEX lines_at ON lines (at);
`}
}

// logs opens the log at first use, so that trouble with it never keeps anybody
// from the state, and mended trouble is over.
func (s *SQLite) logs(ctx context.Context) (*sql.DB, error) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if s.log != nil {
		return s.log, nil
	}
	db, err := openFile(ctx, LogPath(s.path), logFormat())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(2) // one may follow while another appends
	s.log = db
	return db, nil
}

// AppendLogs writes lines at the end of the log, all or none, and drops lines
// that are too many or older than the newest of these by the age to keep. Their
// IDs are ignored. It costs four statements and no fsync: the last lines may
// miss after a loss of power, but not after kill -9.
func (s *SQLite) AppendLogs(ctx context.Context, lines []LogLine) error {
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
		rows[i] = []any{micros(l.Time), int(l.Level), pair, text(l.Run), text(l.Object), text(l.Message), string(l.Attrs)}
	}
	b, err := json.Marshal(rows)
	if err != nil {
		return localError("write log", err)
	}
	db, err := s.logs(ctx)
	if err != nil {
		return err
	}
	err = inTx(ctx, db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO lines (at, level, pair, run, object, msg, attrs) SELECT "+
			"value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM json_each(?)", string(b))
		if err != nil {
			return err
		}
		return trimLogs(ctx, tx, s.keep.logLines, newest.Add(-s.keep.logAge))
	})
	return explain(ctx, "write log "+LogPath(s.path), err)
}

// text replaces NUL, at which SQLite's JSON functions would cut.
func text(s string) string { return strings.ReplaceAll(s, "\x00", "\uFFFD") }

func trimLogs(ctx context.Context, tx *sql.Tx, keep int, oldest time.Time) error {
	var last int64
	if err := tx.QueryRowContext(ctx, "SELECT max(id) FROM lines").Scan(&last); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM lines WHERE id <= ?", last-int64(keep)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM lines WHERE at < ?", micros(oldest))
	return err
}

// Logs returns lines, oldest first. A limit takes the newest ones, but with
// AfterID the first ones after it, so that a reader who follows misses none.
func (s *SQLite) Logs(ctx context.Context, q LogQuery) ([]LogLine, error) {
	db, err := s.logs(ctx)
	if err != nil {
		return nil, err
	}
	where, args := []string{"id > ?"}, []any{q.AfterID}
	and := func(use bool, condition string, arg any) {
		if use {
			where, args = append(where, condition), append(args, arg)
		}
	}
	and(q.Pair != (replication.PairID{}), "pair = ?", q.Pair.String())
	and(q.Manager, "pair = ?", "")
	and(!q.Since.IsZero(), "at >= ?", micros(q.Since))
	and(q.Object != "", "object = ?", q.Object)
	and(q.Run != "", "run = ?", q.Run)
	if q.Level != nil {
		and(true, "level >= ?", int(*q.Level))
	}
	order := "DESC"
	if q.AfterID > 0 {
		order = "ASC"
	}
	limit := q.Limit
	if limit < 1 {
		limit = -1
	}
	query := "SELECT id, at, level, pair, run, object, msg, attrs FROM lines WHERE " + strings.Join(where, " AND ") + " ORDER BY id " + order + " LIMIT ?"
	lines, err := collect(ctx, db, scanLine, query, append(args, limit)...)
	if err != nil {
		return nil, explain(ctx, "read log "+LogPath(s.path), err)
	}
	if order == "DESC" {
		slices.Reverse(lines)
	}
	return lines, nil
}

func scanLine(scan func(...any) error) (l LogLine, err error) {
	var at, level int64
	var pair, attrs string
	if err := scan(&l.ID, &at, &level, &pair, &l.Run, &l.Object, &l.Message, &attrs); err != nil {
		return l, err
	}
	l.Time, l.Level = fromMicros(at), slog.Level(level)
	if attrs != "" {
		l.Attrs = json.RawMessage(attrs)
	}
	if pair != "" {
		if l.Pair, err = replication.ParsePairID(pair); err != nil {
			return l, damaged("read log", err)
		}
	}
	return l, nil
}
