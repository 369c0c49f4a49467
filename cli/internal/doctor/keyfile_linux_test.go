package doctor_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"chefsync/cli/internal/doctor"
)

func TestAKeyFileThatMayNotBeReadIsNotMissing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // so that it can be removed
	dropRights(t)
	l := &doctor.List{}
	doctor.CheckKeyFiles(l, map[string]string{"a": "file:" + filepath.Join(dir, "a.pem")})
	if c := find(l.Checks, "key of a"); c.State != doctor.Fail || strings.Contains(c.Hint, "prepare-org") {
		t.Errorf("%+v, want a failure with another hint than prepare-org", c)
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
