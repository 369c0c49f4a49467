package fileowner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOwnersThatCannotBeChanged, as in a container without that capability, are an error,
// and nothing is left that the owner of the folder couldn't use.
func TestOwnersThatCannotBeChanged(t *testing.T) {
	dir := serviceFolder(t)
	runtime.LockOSThread() // and ends the thread with the test
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has [2]unix.CapUserData
	if err := unix.Capget(&header, &has[0]); err != nil {
		t.Fatal(err)
	}
	has[0].Effective &^= 1 << unix.CAP_CHOWN
	if err := unix.Capset(&header, &has[0]); err != nil {
		t.Fatal(err)
	}
	_, err := Create(filepath.Join(dir, "file"), 0o600)
	for path, err := range map[string]error{"file": err, "folder": MkdirAll(filepath.Join(dir, "folder"), 0o700)} {
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "chown "+filepath.Join(dir, path)) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}
