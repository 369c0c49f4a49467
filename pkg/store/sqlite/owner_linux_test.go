package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"chefsync/pkg/fault"
	"chefsync/pkg/fileowner"
	"chefsync/pkg/store/sqlite"
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

// TestAStateOfAnotherUser that this one can't open: the hint says whose it is.
func TestAStateOfAnotherUser(t *testing.T) {
	path := filepath.Join(serviceFolder(t), "state.db")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 54321, 54321)); err != nil {
		t.Fatal(err)
	}
	err := openWithoutPrivileges(t, path)
	if err == nil {
		t.Fatal("opened")
	}
	if hint := fault.HintOf(err); hint != "it belongs to user 54321: chown it, or run the command as user 54321" {
		t.Errorf("the hint of %q is %q", err, hint)
	}
}

// openWithoutPrivileges opens a state without root's access to the files of other users.
func openWithoutPrivileges(t *testing.T, path string) error {
	opened := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var has [2]unix.CapUserData
		if err := unix.Capget(&header, &has[0]); err != nil {
			opened <- err
			return
		}
		has[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
		if err := unix.Capset(&header, &has[0]); err != nil {
			opened <- err
			return
		}
		s, err := sqlite.OpenState(t.Context(), path)
		if err == nil {
			_ = s.Close()
		}
		opened <- err
	}()
	return <-opened
}
