package state

import (
	"errors"
	"io/fs"
	"os"

	"chefsync/pkg/replication"
)

// Present reports, as an error, that the state's file was removed or replaced since
// it was opened: what is written from then on is seen by nobody else and is lost
// with the process.
func (s *SQLite) Present() error {
	now, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("the file was removed while it was in use")
	case err == nil && !os.SameFile(now, s.opened):
		err = errors.New("the file was replaced by another one while it was in use")
	}
	if err == nil {
		return nil
	}
	return &replication.Error{Op: "use state " + s.path, Class: replication.Local, Err: err,
		Hint: "put the file back if you can; then start chef-sync-ctl run again. Without it every pair is compared again, and deletions since then aren't known"}
}
