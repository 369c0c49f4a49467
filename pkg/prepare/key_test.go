package prepare_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"chefsync/pkg/fileowner"
	"chefsync/pkg/prepare"
)

// TestAKeyThatRootCreates in a folder of another user belongs to that user, with its
// folder, and nobody else can read it.
func TestAKeyThatRootCreates(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	dir := filepath.Join(t.TempDir(), "service")
	if err := errors.Join(os.Mkdir(dir, 0o750), os.Chown(dir, 54321, 54321)); err != nil {
		t.Fatal(err)
	}
	key := prepare.FileKey{Path: filepath.Join(dir, "keys", "sync.pem")}
	if _, err := key.Create(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(key.Path), key.Path} {
		if owner := fileowner.OtherUser(path); owner != "user 54321" {
			t.Errorf("%s belongs to %q, want user 54321", path, owner)
		}
	}
	if info, err := os.Stat(key.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is %v, %v; want mode 0600", info, err)
	}
}
