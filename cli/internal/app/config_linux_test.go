package app_test

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"chefsync/cli/internal/app"
	"chefsync/pkg/config"
)

// TestAFolderOfAnotherUserHasNoConfiguration: with sudo -u, the working directory is still
// that of who runs it, and the user of the service may not search it.
func TestAFolderOfAnotherUserHasNoConfiguration(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	dropRights(t)
	if _, err := os.Lstat(config.FileName); !os.IsPermission(err) {
		t.Fatalf("error %v, want the folder to be closed", err)
	}
	if path, _ := app.FindConfig(""); path == config.FileName {
		t.Errorf("found %s in a folder that may not be searched", path)
	}
}

// dropRights takes from the rest of the test the rights of root on files, if it has them.
func dropRights(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	runtime.LockOSThread() // the rights are those of the thread
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setfsuid(0); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
}
