package sqlite

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"chefsync/pkg/fault"
	"chefsync/pkg/fileowner"
	"chefsync/pkg/replication"
)

// errForeignFile: a SQLite file that another program wrote.
var errForeignFile = errors.New("this is the database of another program")

// Explain adds an operation, a class and a hint to an error that has none.
func (f Format) Explain(ctx context.Context, op string, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, replication.ErrSchema):
		return &fault.Error{Op: op, Class: fault.Local, Err: err,
			Hint: "install the newer version of chef-sync-ctl again, or put the " + f.Name + " file aside"}
	case ctx.Err() != nil: // the driver says "interrupted" for it
		if op == "" {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	return &fault.Error{Op: op, Class: fault.Local, Hint: f.hintFor(err), Err: err}
}

// explainOpen is Explain for a file that could not be opened. The hint says so if that is
// because the file belongs to another user.
func (f Format) explainOpen(ctx context.Context, op, path string, err error) error {
	owner := ""
	if isDenied(err) {
		owner = fileowner.OtherUser(path)
	}
	if owner == "" {
		return f.Explain(ctx, op, err)
	}
	return &fault.Error{Op: op, Class: fault.Local, Hint: "it belongs to " + owner + ": chown it, or run the command as " + owner, Err: err}
}

func (f Format) hintFor(err error) string {
	if isDenied(err) {
		return "make the file and its folder writable for this user"
	}
	switch resultCode(err) {
	case sqlite3.SQLITE_FULL:
		return "the disk is full: free some space; nothing was written"
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return f.DamagedHint
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another process keeps the file locked: end it, or try again"
	case sqlite3.SQLITE_IOERR:
		return "reading or writing failed: check the disk and its free space"
	}
	if errors.Is(err, errForeignFile) {
		return "give the path of a new file"
	}
	return "check the " + f.Name + " file, its folder and their permissions"
}

// isDenied reports whether this user can't open or write the file.
func isDenied(err error) bool {
	switch resultCode(err) {
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return true
	}
	return false
}

// resultCode returns SQLite's primary result code, or 0.
func resultCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}
