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

	"chefsync/pkg/fileowner"
	"chefsync/pkg/replication"
)

// busyTimeout is how long a statement waits for a writer in another process.
const busyTimeout = 10 * time.Second

// Format is a kind of SQLite file that this program writes, for any number of processes
// on one machine.
type Format struct {
	Name          string // what the file holds, for messages
	ApplicationID int    // PRAGMA application_id, which tells these files from others
	Version       int    // the layout that this program writes
	Oldest        int    // the layout of the oldest programs that can use such a file
	Synchronous   string // PRAGMA synchronous
	DamagedHint   string // what to try when a file can't be read
	// Migrate brings a file from an older layout to Version; layout 0 is an empty file.
	Migrate func(ctx context.Context, tx *sql.Tx, from int) error
}

// oldestShift is where PRAGMA user_version holds Oldest, above Version.
const oldestShift = 16

// dsn names a file to the driver. Every connection waits for other writers, and
// every transaction takes the write lock when it begins. No connection creates the
// file: one that is opened later would put an empty file in place of one that was
// removed.
func (f Format) dsn(path string) string {
	q := url.Values{
		"mode":    {"rw"},
		"_txlock": {"immediate"},
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "synchronous(" + f.Synchronous + ")"},
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// OpenFile opens a file, which it creates, readable by its owner only, with the folders
// above it. It brings a file of an older layout to the present one, in one transaction. A
// file that another program or a newer version wrote stays as it is.
func (f Format) OpenFile(ctx context.Context, path string) (*sql.DB, error) {
	op := "open " + f.Name + " " + path
	if err := createFile(path); err != nil {
		return nil, f.Explain(ctx, op, err)
	}
	db, err := sql.Open("sqlite", f.dsn(path))
	if err != nil {
		return nil, f.Explain(ctx, op, err)
	}
	if err := f.prepareFile(ctx, db); err != nil {
		return nil, errors.Join(f.explainOpen(ctx, op, path, err), db.Close())
	}
	return db, nil
}

// createFile creates a file that isn't there, for its owner only: messages of
// Chef Servers may name what others needn't know. A file that is there isn't
// even opened: closing it would drop the locks that SQLite holds on it for this
// process (POSIX locks belong to the process, not to the descriptor).
func createFile(path string) error {
	if err := fileowner.MkdirAll(filepath.Dir(path), 0o700); err != nil {
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
	file, err := fileowner.Create(path, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// prepareFile checks first and writes only then, so that a file that isn't ours or
// is too new stays as it is.
func (f Format) prepareFile(ctx context.Context, db *sql.DB) error {
	layout, err := f.readLayout(ctx, db)
	if err != nil {
		return err
	}
	if err := useWAL(ctx, db); err != nil || layout == f.Version {
		return err
	}
	return InTransaction(ctx, db, func(tx *sql.Tx) error {
		layout, err := f.readLayout(ctx, tx)
		if err != nil || layout == f.Version { // another process was faster
			return err
		}
		if err := f.Migrate(ctx, tx, layout); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d",
			f.ApplicationID, f.Oldest<<oldestShift|f.Version))
		return err
	})
}

type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// readLayout returns the layout of a file of our own; 0 is an empty file. A file that a
// newer program migrated further, but that this one can use, counts as the newest layout
// that it knows.
func (f Format) readLayout(ctx context.Context, db rowQuerier) (layout int, err error) {
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
	case app != f.ApplicationID:
		return 0, errForeignFile
	case layout > f.Version && 0 < needed && needed <= f.Version:
		return f.Version, nil
	case layout > f.Version:
		return 0, fmt.Errorf("%w: the file has version %d, this program knows %d", replication.ErrSchema, layout, f.Version)
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

// InTransaction calls f in one write transaction. It takes the write lock at once (BEGIN
// IMMEDIATE), so that what f reads can't change before f writes.
func InTransaction(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		undone := tx.Rollback()
		if undone == nil || errors.Is(undone, sql.ErrTxDone) || isUndone(err) { // the context did it, or SQLite
			return err
		}
		return errors.Join(err, undone)
	}
	return tx.Commit()
}

// isUndone reports whether an error may have made SQLite roll back the transaction, after
// which it refuses to do so again (https://www.sqlite.org/lang_transaction.html).
func isUndone(err error) bool {
	switch resultCode(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT:
		return true
	}
	return false
}
