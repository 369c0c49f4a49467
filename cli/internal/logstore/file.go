package logstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// What the head of a log file says: that it is one, and its version, above which is
// the oldest version whose programs can still read it.
const (
	applicationID = 0x4368536c // PRAGMA application_id
	version       = 1
	oldestShift   = 16
	userVersion   = version<<oldestShift | version // PRAGMA user_version
)

const schema = `
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
`

// busyTimeout is how long a statement waits for a writer in another process.
const busyTimeout = 10 * time.Second

const damagedHint = "the log file is damaged: delete it while no process has it open"

var errForeignFile = errors.New("this is the database of another program")

// openFile opens or creates a log file. A file that isn't one, or that is of a later
// version, stays as it is.
func openFile(ctx context.Context, path string) (*sql.DB, error) {
	op := "open log " + path
	if err := createFile(path); err != nil {
		return nil, explainSQLite(ctx, op, err)
	}
	query := url.Values{
		"mode":    {"rw"},        // a connection that is opened later doesn't create what was removed
		"_txlock": {"immediate"}, // what a transaction reads can't change before it writes
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "synchronous(NORMAL)"},
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, explainSQLite(ctx, op, err)
	}
	if err := prepareFile(ctx, db); err != nil {
		return nil, errors.Join(explainSQLite(ctx, op, err), db.Close())
	}
	return db, nil
}

// createFile creates a file that isn't there. A file that is there isn't even opened:
// closing it would drop the locks that SQLite holds on it for this process (POSIX
// locks belong to the process, not to the descriptor).
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// prepareFile checks a file first and writes only then.
func prepareFile(ctx context.Context, db *sql.DB) error {
	empty, err := isEmpty(ctx, db)
	if err != nil {
		return err
	}
	if err := useWAL(ctx, db); err != nil || !empty {
		return err
	}
	return inTransaction(ctx, db, func(tx *sql.Tx) error {
		if empty, err := isEmpty(ctx, tx); err != nil || !empty {
			return err // another process was faster
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("%s PRAGMA application_id=%d; PRAGMA user_version=%d", schema, applicationID, userVersion))
		return err
	})
}

type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// isEmpty reports whether a file is new, and fails if it isn't a log that this
// version can use.
func isEmpty(ctx context.Context, db rowQuerier) (bool, error) {
	// One statement, so that all three are of one moment: another process may be
	// creating the tables.
	var application, stored, tables int
	err := db.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), "+
		"(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)").Scan(&application, &stored, &tables)
	newest, oldest := stored&(1<<oldestShift-1), stored>>oldestShift
	switch {
	case err != nil:
		return false, err
	case application == 0 && stored == 0 && tables == 0:
		return true, nil
	case application != applicationID:
		return false, errForeignFile
	case newest > version && (oldest < 1 || oldest > version):
		return false, fmt.Errorf("%w: the log has version %d, this program knows %d", replication.ErrSchema, newest, version)
	}
	return false, nil
}

// useWAL switches a file to write-ahead logging, for good. SQLite doesn't wait here
// for other processes that do the same, so this does.
func useWAL(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	for {
		var mode string
		err := db.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode)
		switch {
		case err == nil && mode != "wal":
			return fmt.Errorf("the file system can't hold a database that several processes share (journal mode %s)", mode)
		case err == nil || resultCode(err) != sqlite3.SQLITE_BUSY:
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func inTransaction(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // the error of f says why
		return err
	}
	return tx.Commit()
}

// explainSQLite gives an error of the database its class and a hint.
func explainSQLite(ctx context.Context, op string, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil: // the driver says "interrupted" for it
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	return &fault.Error{Op: op, Class: fault.Local, Hint: fileHint(err), Err: err}
}

func fileHint(err error) string {
	switch resultCode(err) {
	case sqlite3.SQLITE_FULL:
		return "the disk is full: free some space"
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return damagedHint
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another process keeps the file locked: end it, or try again"
	}
	return "check the log file, its folder and their permissions"
}

// resultCode is SQLite's primary result code, or 0.
func resultCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}
