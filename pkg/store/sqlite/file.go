package sqlite

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

	_ "modernc.org/sqlite" // the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"chefsync/pkg/replication"
)

// busyTimeout is how long a statement waits for a writer in another process.
const busyTimeout = 10 * time.Second

const (
	// application is PRAGMA application_id: it tells our files from others.
	application = 0x43685379
	// version is the layout of the files that this program writes. The layouts 1 to
	// 4 had a table for each kind of record.
	version = 5
	// oldest is the layout of the oldest programs that can work with such a file.
	oldest = 5
	// oldestShift is where PRAGMA user_version holds oldest, above the version.
	oldestShift = 16
)

const createItems = `
CREATE TABLE items (
	partition TEXT    NOT NULL,
	sort      TEXT    NOT NULL,
	version   TEXT    NOT NULL,
	data      TEXT    NOT NULL, -- JSON
	expires   INTEGER NOT NULL, -- seconds since 1970; 0: never
	PRIMARY KEY (partition, sort)
) STRICT, WITHOUT ROWID;
`

// dsn names a file to the driver. Every connection waits for other writers, and
// every transaction takes the write lock when it begins. No connection creates the
// file: one that is opened later would put an empty file in place of one that was
// removed.
func dsn(path string) string {
	q := url.Values{
		"mode":    {"rw"},
		"_txlock": {"immediate"},
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "synchronous(FULL)"},
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// openFile opens or creates a file, checks that it is one of ours and brings it to
// the present layout. The result has one connection.
func openFile(ctx context.Context, path string) (*sql.DB, error) {
	op := "open state " + path
	if err := createFile(path); err != nil {
		return nil, localError(op, err)
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, localError(op, err)
	}
	db.SetMaxOpenConns(1)
	if err := prepare(ctx, db); err != nil {
		return nil, errors.Join(explain(ctx, op, err), db.Close())
	}
	return db, nil
}

// createFile creates a file that isn't there, for its owner only: messages of
// Chef Servers may name what others needn't know. A file that is there isn't
// even opened: closing it would drop the locks that SQLite holds on it for this
// process (POSIX locks belong to the process, not to the descriptor).
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a folder", path)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
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

// prepare checks first and writes only then, so that a file that isn't ours or
// is too new stays as it is.
func prepare(ctx context.Context, db *sql.DB) error {
	was, err := identify(ctx, db)
	if err != nil {
		return err
	}
	if err := useWAL(ctx, db); err != nil {
		return err
	}
	if was == version {
		return nil
	}
	return inTx(ctx, db, func(tx *sql.Tx) error { return migrate(ctx, tx) })
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// identify returns the layout of a file of our own; 0 is an empty file. A file that a
// newer program brought further, but that this one can work with, passes for the
// newest that it knows.
func identify(ctx context.Context, db querier) (layout int, err error) {
	// One statement, so that all three are of one moment: another process may be
	// creating the tables.
	var app, tables int
	err = db.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), "+
		"(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)").Scan(&app, &layout, &tables)
	if err != nil {
		return 0, err
	}
	needed := layout >> oldestShift
	layout &= 1<<oldestShift - 1
	switch {
	case app == 0 && layout == 0 && tables == 0:
		return 0, nil
	case app != application:
		return 0, errForeignFile
	case layout > version && 0 < needed && needed <= version:
		return version, nil
	case layout > version:
		return 0, fmt.Errorf("%w: the file has version %d, this program knows %d", replication.ErrSchema, layout, version)
	}
	return layout, nil
}

// useWAL switches a file to write-ahead logging, for good. SQLite doesn't wait
// here for other processes that do the same, so this does.
func useWAL(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	for {
		var mode string
		err := db.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode)
		switch {
		case err == nil && mode != "wal":
			return fmt.Errorf("the file system can't hold a database that several processes share (journal mode %s)", mode)
		case err == nil || code(err) != sqlite3.SQLITE_BUSY:
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// migrate brings a file to the present layout, unless another process just did.
func migrate(ctx context.Context, tx *sql.Tx) error {
	was, err := identify(ctx, tx)
	if err != nil || was == version {
		return err
	}
	if _, err := tx.ExecContext(ctx, createItems); err != nil {
		return err
	}
	if was > 0 {
		if err := importTables(ctx, tx, was); err != nil {
			return fmt.Errorf("bring the file from version %d to %d: %w", was, version, err)
		}
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", application, oldest<<oldestShift|version))
	return err
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromSeconds(s int64) time.Time { return time.Unix(s, 0).UTC() }
