package state

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

	"chefsync/pkg/replication"
)

// busyTimeout is how long a statement waits for a writer in another process.
const busyTimeout = 10 * time.Second

// format describes one kind of file.
type format struct {
	what        string   // "state" or "log", for messages
	application int      // PRAGMA application_id: tells our files from others
	versions    []string // versions[i] brings a file from version i to i+1
	// oldest is the version whose programs can still work with a file of the newest
	// one: those who know less than it brings. A version that only adds tables leaves it.
	oldest      int
	synchronous string // FULL: a commit waits for the disk; NORMAL: it doesn't
}

func stateFormat() format {
	return format{what: "state", application: 0x43685379, versions: stateVersions(), oldest: 1, synchronous: "FULL"}
}

// stateVersions is the schema, version by version. An object has three columns,
// not its path: a path can't tell the bag of an item's listing from the item,
// and a Chef Server allows names such as "..".
func stateVersions() []string {
	return []string{`
CREATE TABLE pairs (
	pair          TEXT    NOT NULL PRIMARY KEY, -- REPLICA/ORG
	schema        INTEGER NOT NULL, -- version of this record and of all others of the pair
	desired       TEXT    NOT NULL, -- JSON
	progress      TEXT    NOT NULL, -- JSON
	lease_owner   TEXT    NOT NULL, -- '' when free
	lease_expires INTEGER NOT NULL, -- microseconds since 1970
	fence         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE inventory (
	pair        TEXT NOT NULL,
	kind        TEXT NOT NULL,
	name        TEXT NOT NULL,
	sub         TEXT NOT NULL,
	fingerprint TEXT NOT NULL,
	PRIMARY KEY (pair, kind, name, sub)
) STRICT, WITHOUT ROWID;
CREATE TABLE unsynced (
	pair   TEXT NOT NULL,
	kind   TEXT NOT NULL,
	name   TEXT NOT NULL,
	sub    TEXT NOT NULL,
	record TEXT NOT NULL, -- JSON
	PRIMARY KEY (pair, kind, name, sub)
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
	pair   TEXT NOT NULL,
	run    TEXT NOT NULL, -- sorts by time
	record TEXT NOT NULL, -- JSON
	PRIMARY KEY (pair, run)
) STRICT, WITHOUT ROWID;
`, journalTables, lastScans, healthTable}
}

// dsn names a file to the driver. Every connection waits for other writers, and
// every transaction takes the write lock when it begins.
func dsn(path, synchronous string) string {
	q := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
			"synchronous(" + synchronous + ")",
		},
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// openFile opens or creates a file of a format, checks that it is one and brings
// it to the current version. The result has one connection.
func openFile(ctx context.Context, path string, f format) (*sql.DB, error) {
	op := "open " + f.what + " " + path
	if err := createFile(path); err != nil {
		return nil, localError(op, err)
	}
	db, err := sql.Open("sqlite", dsn(path, f.synchronous))
	if err != nil {
		return nil, localError(op, err)
	}
	db.SetMaxOpenConns(1)
	if err := prepare(ctx, db, f); err != nil {
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
func prepare(ctx context.Context, db *sql.DB, f format) error {
	version, err := identify(ctx, db, f)
	if err != nil {
		return err
	}
	if err := useWAL(ctx, db); err != nil {
		return err
	}
	if version == len(f.versions) {
		return nil
	}
	return inTx(ctx, db, func(tx *sql.Tx) error { return migrate(ctx, tx, f) })
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// oldestShift is where PRAGMA user_version holds format.oldest, above the version.
const oldestShift = 16

// identify returns the version of a file of our own; 0 is an empty file. A file that a
// newer program brought further, but that this one can work with, passes for the
// newest that it knows.
func identify(ctx context.Context, db querier, f format) (version int, err error) {
	// One statement, so that all three are of one moment: another process may be
	// creating the tables.
	var application, tables int
	err = db.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), "+
		"(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)").Scan(&application, &version, &tables)
	if err != nil {
		return 0, err
	}
	oldest := version >> oldestShift
	version &= 1<<oldestShift - 1
	switch {
	case application == 0 && version == 0 && tables == 0:
		return 0, nil
	case application != f.application:
		return 0, errForeignFile
	case version > len(f.versions) && 0 < oldest && oldest <= len(f.versions):
		return len(f.versions), nil
	case version > len(f.versions):
		return 0, fmt.Errorf("%w: the file has version %d, this program knows %d", replication.ErrSchema, version, len(f.versions))
	}
	return version, nil
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
		case err == nil || !isBusy(err):
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// migrate brings a file to the current version, unless another process just did.
func migrate(ctx context.Context, tx *sql.Tx, f format) error {
	version, err := identify(ctx, tx, f)
	if err != nil {
		return err
	}
	for _, statements := range f.versions[version:] {
		if _, err := tx.ExecContext(ctx, statements); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", f.application, f.oldest<<oldestShift|len(f.versions)))
	return err
}
