package stage_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"chefsync/pkg/fileowner"
	"chefsync/pkg/stage"
)

// TestAStageThatRootFills in a folder of another user belongs to that user.
func TestAStageThatRootFills(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	dir := filepath.Join(t.TempDir(), "service")
	if err := errors.Join(os.Mkdir(dir, 0o750), os.Chown(dir, 54321, 54321)); err != nil {
		t.Fatal(err)
	}
	mustPut(t, openDir(t, filepath.Join(dir, "stage"), stage.Options{}), keyX(), "x")
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if owner := fileowner.OtherUser(path); owner != "user 54321" {
			t.Errorf("%s belongs to %q, want user 54321", path, owner)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fileOf(filepath.Join(dir, "stage"), keyX())); err != nil {
		t.Error(err)
	}
}
