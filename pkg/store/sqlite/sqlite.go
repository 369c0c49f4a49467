// Package sqlite keeps the items of package store in one SQLite file, for any number
// of processes on one machine.
//
// The log of the daemon lives in a file of its own. SQLite has one writer at a time
// and every commit here waits for the disk; a busy log in the same file would stand
// in its way.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/store"
)

// DB is a [store.KV] in a file. It is safe for concurrent use.
//
// Get and Query are one SELECT each. Transact is one SELECT for each
// condition, one statement for each write, and one wait for the disk (fsync); about
// every thousand pages written, SQLite copies its log into the file, for two more.
//
// What Transact has written survives kill -9 and loss of power (WAL with
// synchronous=FULL).
type DB struct {
	path   string
	opened os.FileInfo // the file when it was opened
	write  *sql.DB     // one connection: writers of this process queue in Go
	read   *sql.DB     // several: WAL lets them read beside the writer
}

var _ store.KV = (*DB)(nil)

// itemsLayout is the layout with one table of items. The layouts 1 to 4 had a table for
// each kind of record.
const itemsLayout = 5

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

// stateFormat returns how state files are written: a commit waits for the disk.
func stateFormat() Format {
	return Format{
		Name: "state", ApplicationID: 0x43685379, Version: itemsLayout, Oldest: itemsLayout, Synchronous: "FULL", Migrate: migrateState,
		DamagedHint: "the state file is damaged or not an SQLite database: restore a copy, move it away or give another path; " +
			"without it a full comparison starts over and loses nothing on the replica",
	}
}

func migrateState(ctx context.Context, tx *sql.Tx, from int) error {
	if _, err := tx.ExecContext(ctx, createItems); err != nil || from == 0 {
		return err
	}
	if err := importTables(ctx, tx, from); err != nil {
		return fmt.Errorf("bring the file from version %d to %d: %w", from, itemsLayout, err)
	}
	return nil
}

// explainError adds an operation, a class and a hint to an error of the state file.
func explainError(ctx context.Context, op string, err error) error {
	return stateFormat().Explain(ctx, op, err)
}

// Open opens a file, which it creates, readable by its owner only, with the folders
// above it. It brings a file of an older version of the program to the present
// layout, in one transaction. It fails with [replication.ErrSchema], and changes
// nothing, when a newer version wrote the file, and with an error of class
// [fault.Local] when the file is no SQLite database, belongs to another program
// or can't be written.
func Open(ctx context.Context, path string) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, explainError(ctx, "open state "+path, err)
	}
	db, format := &DB{path: abs}, stateFormat()
	if db.write, err = format.OpenFile(ctx, abs); err != nil {
		return nil, err
	}
	db.write.SetMaxOpenConns(1)
	if db.opened, err = os.Stat(abs); err == nil {
		db.read, err = sql.Open("sqlite", format.dsn(abs))
	}
	if err != nil {
		return nil, errors.Join(explainError(ctx, "open state "+abs, err), db.write.Close())
	}
	db.read.SetMaxOpenConns(4)
	return db, nil
}

// Path returns the absolute path of the file.
func (db *DB) Path() string { return db.path }

// Close closes the file. Call it when no operation is under way.
func (db *DB) Close() error { return errors.Join(db.read.Close(), db.write.Close()) }

// Present reports, as an error, that the file was removed or replaced since it was
// opened: what is written from then on is seen by no other process and is lost with
// this one.
func (db *DB) Present() error {
	now, err := os.Stat(db.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = errors.New("the file was removed while it was in use")
	case err == nil && !os.SameFile(now, db.opened):
		err = errors.New("the file was replaced by another one while it was in use")
	}
	if err == nil {
		return nil
	}
	return &fault.Error{Op: "use state " + db.path, Class: fault.Local, Err: err,
		Hint: "put the file back if you can; then start chef-sync-ctl run again. " +
			"Without it every pair is compared again, and deletions since then aren't known"}
}

const selectItem = "SELECT partition, sort, version, data, expires FROM items WHERE "

func scanItem(scan func(...any) error) (it store.Item, err error) {
	var expires int64
	err = scan(&it.Partition, &it.Sort, &it.Version, &it.Data, &expires)
	if expires != 0 {
		it.Expires = fromUnixSeconds(expires)
	}
	return it, err
}

// Get implements [store.KV].
func (db *DB) Get(ctx context.Context, k store.Key) (store.Item, error) {
	it, err := scanItem(db.read.QueryRowContext(ctx, selectItem+"partition = ? AND sort = ?", k.Partition, k.Sort).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Item{Key: k}, nil
	}
	return it, explainError(ctx, "", err)
}

// Query implements [store.KV].
func (db *DB) Query(ctx context.Context, q store.Query) (items []store.Item, err error) {
	query := selectItem + "partition = ? AND sort BETWEEN ? AND ? ORDER BY sort"
	if q.Reverse {
		query += " DESC"
	}
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	rows, err := db.read.QueryContext(ctx, query+" LIMIT ?", q.Partition, q.From, q.To, limit)
	if err != nil {
		return nil, explainError(ctx, "", err)
	}
	defer rows.Close()
	for rows.Next() {
		it, err := scanItem(rows.Scan)
		if err != nil {
			return nil, explainError(ctx, "", err)
		}
		items = append(items, it)
	}
	return items, explainError(ctx, "", rows.Err())
}

// Transact implements [store.KV].
func (db *DB) Transact(ctx context.Context, writes ...store.Write) (version string, err error) {
	version = store.NewVersion()
	err = InTransaction(ctx, db.write, func(tx *sql.Tx) error {
		for _, w := range writes {
			if err := checkVersion(ctx, tx, w); err != nil {
				return err
			}
		}
		return writeItems(ctx, tx, version, writes)
	})
	if errors.Is(err, store.ErrConflict) {
		return "", err
	}
	return version, explainError(ctx, "", err)
}

func checkVersion(ctx context.Context, tx *sql.Tx, w store.Write) error {
	if !w.Conditional {
		return nil
	}
	var there string
	err := tx.QueryRowContext(ctx, "SELECT version FROM items WHERE partition = ? AND sort = ?", w.Item.Partition, w.Item.Sort).Scan(&there)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if there != w.Item.Version {
		return store.ErrConflict
	}
	return nil
}

func writeItems(ctx context.Context, tx *sql.Tx, version string, writes []store.Write) error {
	put, err := tx.PrepareContext(ctx, "INSERT INTO items (partition, sort, version, data, expires) VALUES (?, ?, ?, ?, ?)"+
		" ON CONFLICT (partition, sort) DO UPDATE SET version = excluded.version, data = excluded.data, expires = excluded.expires")
	if err != nil {
		return err
	}
	defer put.Close()
	for _, w := range writes {
		it := w.Item
		switch w.Op {
		case store.OpPut:
			_, err = put.ExecContext(ctx, it.Partition, it.Sort, version, string(it.Data), toUnixSeconds(it.Expires))
		case store.OpDelete:
			_, err = tx.ExecContext(ctx, "DELETE FROM items WHERE partition = ? AND sort = ?", it.Partition, it.Sort)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func toUnixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromUnixSeconds(s int64) time.Time { return time.Unix(s, 0).UTC() }

// State is the records of package store in a file.
type State struct {
	*store.Store
	*DB
}

// OpenState opens the records in a file, as [Open] does.
func OpenState(ctx context.Context, path string) (*State, error) {
	db, err := Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return &State{store.New(db), db}, nil
}
