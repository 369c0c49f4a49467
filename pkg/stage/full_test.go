package stage

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// failingFile is a file whose writing, syncing or closing fails.
type failingFile struct {
	tempFile
	write, sync, close error
}

func (f failingFile) Write(p []byte) (int, error) {
	if f.write != nil {
		n, _ := f.tempFile.Write(p[:len(p)/2])
		return n, f.write
	}
	return f.tempFile.Write(p)
}

func (f failingFile) Sync() error { return errors.Join(f.sync, f.tempFile.Sync()) }

func (f failingFile) Close() error { return errors.Join(f.close, f.tempFile.Close()) }

func TestFullDiskIsAnErrorWithAHint(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "file", Err: syscall.ENOSPC}
	for name, broken := range map[string]failingFile{"write": {write: full}, "sync": {sync: full}, "close": {close: full}} {
		d, err := OpenDir(t.TempDir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var made string
		working := d.createFile
		d.createFile = func(dir, pattern string) (tempFile, error) {
			f, err := os.CreateTemp(dir, pattern)
			if err != nil {
				return nil, err
			}
			made, broken.tempFile = f.Name(), f
			return broken, nil
		}
		key := replication.StageKey{Space: "a", Checksum: "9dd4e461268c8034f5c8564e155c67a6"}
		err = d.Put(t.Context(), key, strings.NewReader("x"), 1)
		if fault.ClassOf(err) != fault.Local || !strings.Contains(fault.HintOf(err), "disk of the stage is full") {
			t.Errorf("%s fails: %v (class %s, hint %q), want local and what to do", name, err, fault.ClassOf(err), fault.HintOf(err))
		}
		if _, err := os.Stat(made); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s fails: the unfinished file stays: %v", name, err)
		}
		if _, _, err := d.Open(t.Context(), key); !errors.Is(err, replication.ErrNotStaged) {
			t.Errorf("%s fails: %v, want nothing staged", name, err)
		}
		d.createFile = working
		if err := d.Put(t.Context(), key, strings.NewReader("x"), 1); err != nil {
			t.Errorf("after space was freed: %v", err)
		}
	}
}
