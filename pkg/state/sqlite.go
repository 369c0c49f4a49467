package state

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"chefsync/pkg/replication"
)

// What is kept unless an [Option] says otherwise.
const KeepRuns = 200 // newest run records of each pair

// SQLite is a [replication.State] in one SQLite file, for any number of
// processes on one machine. It is safe for concurrent use.
//
// What operations cost, in statements and waits for the disk (fsync):
//
//   - Pair, Pairs, Inventory, Unsynced, Runs: one SELECT, no fsync.
//   - Renew, Note: one UPDATE, one fsync. Note on a pair never seen: one INSERT.
//     Renew reads the record back in the same transaction.
//   - Acquire, Direct: one SELECT and one write, one fsync.
//   - Release: one UPDATE, one fsync.
//   - Commit: one UPDATE and one statement for each part that isn't empty, at
//     most seven however many objects there are; one fsync.
//
// About every thousand pages written, SQLite copies its log into the file, for
// two fsyncs more. A refused write costs one SELECT to find the reason and no
// fsync.
//
// A commit that has returned survives kill -9 and loss of power (WAL with
// synchronous=FULL).
type SQLite struct {
	path   string
	opened os.FileInfo // the file when it was opened
	write  *sql.DB     // one connection: writers of this process queue in Go
	read   *sql.DB     // several: WAL lets them read beside the writer
	keep   keep
}

var _ replication.State = (*SQLite)(nil)

type keep struct {
	runs int
}

// Option changes how much a [SQLite] keeps.
type Option func(*keep)

// WithRuns keeps the newest n run records of each pair.
func WithRuns(n int) Option { return func(k *keep) { k.runs = max(n, 1) } }

// OpenSQLite opens the state in a file, which it creates, readable by its owner
// only, with the folders above it. It fails with [replication.ErrSchema], and
// changes nothing, when a newer version of the program wrote the file, and with
// an error of class [replication.Local] when the file is no SQLite database,
// belongs to another program or can't be written.
func OpenSQLite(ctx context.Context, path string, options ...Option) (*SQLite, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, localError("open state "+path, err)
	}
	s := &SQLite{path: abs, keep: keep{runs: KeepRuns}}
	for _, o := range options {
		o(&s.keep)
	}
	if s.write, err = openFile(ctx, abs, stateFormat()); err != nil {
		return nil, err
	}
	if s.opened, err = os.Stat(abs); err != nil {
		return nil, errors.Join(localError("open state "+abs, err), s.write.Close())
	}
	s.read, err = sql.Open("sqlite", dsn(abs, "FULL"))
	if err != nil {
		return nil, errors.Join(localError("open state "+abs, err), s.write.Close())
	}
	s.read.SetMaxOpenConns(4)
	return s, nil
}

// Path is the absolute path of the file.
func (s *SQLite) Path() string { return s.path }

// Close closes the files. Call it when no operation is under way.
func (s *SQLite) Close() error {
	return errors.Join(s.read.Close(), s.write.Close())
}

// inTx runs f in one write transaction. It takes the write lock at once (BEGIN
// IMMEDIATE), so that what f reads can't change before f writes.
func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

// ignoreDone drops the error of a rollback that the context already did.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
