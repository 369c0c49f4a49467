package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"chefsync/pkg/fileowner"
)

// serviceFolder returns a folder of another user, for tests that root alone can run.
func serviceFolder(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	dir := filepath.Join(t.TempDir(), "service")
	if err := errors.Join(os.Mkdir(dir, 0o777), os.Chown(dir, 54321, 54321)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAStateThatRootCreates in a folder of another user belongs to that user, with its
// folder and the files that SQLite creates beside it.
func TestAStateThatRootCreates(t *testing.T) {
	path := filepath.Join(serviceFolder(t), "sub", "state.db")
	openState(t, path)
	for _, file := range []string{filepath.Dir(path), path, path + "-wal", path + "-shm"} {
		if owner := fileowner.OtherUser(file); owner != "user 54321" {
			t.Errorf("%s belongs to %q, want user 54321", file, owner)
		}
	}
}
