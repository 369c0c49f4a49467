package stage_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
	"chefsync/pkg/stage"
	"chefsync/pkg/stage/stagetest"
)

const (
	sumX = "9dd4e461268c8034f5c8564e155c67a6" // MD5 of "x"
	sumY = "415290769594460e2e485922904f345d" // MD5 of "y"
)

func keyX() replication.StageKey { return replication.StageKey{Space: "a", Checksum: sumX} }
func keyY() replication.StageKey { return replication.StageKey{Space: "b", Checksum: sumY} }

func fileOf(root string, k replication.StageKey) string {
	return filepath.Join(root, k.Space, k.Checksum[:2], k.Checksum)
}

func openDir(t *testing.T, path string, o stage.Options) *stage.Dir {
	t.Helper()
	d, err := stage.OpenDir(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustPut(t *testing.T, d *stage.Dir, k replication.StageKey, content string) {
	t.Helper()
	if err := d.Put(t.Context(), k, strings.NewReader(content), -1); err != nil {
		t.Fatal(err)
	}
}

func isStaged(t *testing.T, d *stage.Dir, k replication.StageKey) bool {
	t.Helper()
	r, _, err := d.Open(t.Context(), k)
	if errors.Is(err, replication.ErrNotStaged) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	return true
}

// listFiles lists all files below a folder.
func listFiles(t *testing.T, root string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDirIsAStage(t *testing.T) {
	roots := map[replication.Stage]string{}
	stagetest.Run(t, func(t *testing.T) replication.Stage {
		root := filepath.Join(t.TempDir(), "not", "there yet")
		d := openDir(t, root, stage.Options{})
		roots[d] = root
		t.Cleanup(func() { checkNoUnfinishedFiles(t, root) })
		return d
	}, func(t *testing.T, s replication.Stage, key replication.StageKey) {
		f, err := os.OpenFile(fileOf(roots[s], key), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{'!'}, 0); err != nil {
			t.Fatal(err)
		}
	})
}

// checkNoUnfinishedFiles: whatever was put or refused, no unfinished file stays.
func checkNoUnfinishedFiles(t *testing.T, root string) {
	for _, f := range listFiles(t, root) {
		if strings.Contains(f, ".incoming") {
			t.Errorf("left behind: %s", f)
		}
	}
}

func TestDamagedContentIsRemovedAndNeverComplete(t *testing.T) {
	for name, stored := range map[string]string{"another byte": "z", "longer": "xx", "cut to nothing": ""} {
		root := t.TempDir()
		d := openDir(t, root, stage.Options{})
		mustPut(t, d, keyX(), "x")
		if err := os.WriteFile(fileOf(root, keyX()), []byte(stored), 0o600); err != nil {
			t.Fatal(err)
		}
		r, size, err := d.Open(t.Context(), keyX())
		if err != nil {
			t.Fatal(err)
		}
		// Who reads exactly the bytes that were announced doesn't get them all.
		got := make([]byte, size)
		n, err := io.ReadFull(r, got)
		if size > 0 && (int64(n) == size || !errors.Is(err, replication.ErrContentMismatch)) {
			t.Errorf("%s: %d of %d bytes, %v; want ErrContentMismatch before the last", name, n, size, err)
		}
		for range 2 {
			if _, err := r.Read(make([]byte, 1)); !errors.Is(err, replication.ErrContentMismatch) {
				t.Errorf("%s: Read after the end: %v, want ErrContentMismatch again", name, err)
			}
		}
		_ = r.Close()
		if isStaged(t, d, keyX()) {
			t.Errorf("%s: the damaged file is still staged", name)
		}
	}
}

func TestDamagedReaderKeepsAReplacedFile(t *testing.T) {
	root := t.TempDir()
	d := openDir(t, root, stage.Options{})
	mustPut(t, d, keyX(), "x")
	if err := os.WriteFile(fileOf(root, keyX()), []byte("z"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _, err := d.Open(t.Context(), keyX())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	mustPut(t, d, keyX(), "x") // another process repairs it
	if _, err := io.ReadAll(r); !errors.Is(err, replication.ErrContentMismatch) {
		t.Fatal(err)
	}
	if !isStaged(t, d, keyX()) {
		t.Error("the good file was removed")
	}
}

// testClock is a time that tests set.
type testClock struct{ now time.Time }

func (c *testClock) Now() time.Time { return c.now }

func TestSweepRemovesUnusedContent(t *testing.T) {
	c := &testClock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	d := openDir(t, t.TempDir(), stage.Options{Now: c.Now})
	mustPut(t, d, keyX(), "x")
	mustPut(t, d, keyY(), "y")
	c.now = c.now.Add(5 * time.Hour)
	if !isStaged(t, d, keyX()) { // counts as a use
		t.Fatal("x isn't staged")
	}
	c.now = c.now.Add(5 * time.Hour)
	if err := d.Sweep(t.Context(), 6*time.Hour); err != nil {
		t.Error(err)
	}
	if !isStaged(t, d, keyX()) || isStaged(t, d, keyY()) {
		t.Error("swept the wrong file")
	}
}

func TestSweepRemovesTheLeastRecentlyUsedBeyondTheLimit(t *testing.T) {
	c := &testClock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	root := t.TempDir()
	d := openDir(t, root, stage.Options{Now: c.Now})
	mustPut(t, d, keyY(), "y")
	c.now = c.now.Add(time.Minute)
	mustPut(t, d, keyX(), "x")
	for _, step := range []struct {
		limit int64
		files int
	}{{0, 2}, {2, 2}, {1, 1}, {1, 1}} {
		d := openDir(t, root, stage.Options{Now: c.Now, Limit: step.limit})
		if err := d.Sweep(t.Context(), time.Hour); err != nil || len(listFiles(t, root)) != step.files {
			t.Errorf("limit %d: %v, %v; want %d files", step.limit, listFiles(t, root), err, step.files)
		}
	}
	if !isStaged(t, d, keyX()) || isStaged(t, d, keyY()) {
		t.Error("removed the wrong file")
	}
}

func TestOldUnfinishedFilesAreSwept(t *testing.T) {
	root := t.TempDir()
	d := openDir(t, root, stage.Options{})
	mustPut(t, d, keyX(), "x")
	old, young := filepath.Join(root, "a", ".incoming", sumY+".1"), filepath.Join(root, "a", ".incoming", sumY+".2")
	for _, f := range []string{old, young} {
		if err := os.WriteFile(f, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, root, stage.Options{})
	left := listFiles(t, root)
	if len(left) != 2 || left[0] != young && left[1] != young || !isStaged(t, d, keyX()) {
		t.Errorf("left: %v; want the young one and the content", left)
	}
}

func TestStageFilesAreForTheirOwner(t *testing.T) {
	root := filepath.Join(t.TempDir(), "stage")
	mustPut(t, openDir(t, root, stage.Options{}), keyX(), "x")
	for path, want := range map[string]fs.FileMode{root: 0o700, filepath.Join(root, "a"): 0o700, fileOf(root, keyX()): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

func TestOpenDirRefusesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := stage.OpenDir(path, stage.Options{}); fault.ClassOf(err) != fault.Local || fault.HintOf(err) == "" {
		t.Errorf("%v, want an error of class local with a hint", err)
	}
}
