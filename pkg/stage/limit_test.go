package stage

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// testStage is a stage with a clock, and content of 100 bytes by number.
type testStage struct {
	t *testing.T
	*Dir
	at *time.Time
}

func openTestStage(t *testing.T, root string, limit int64) testStage {
	t.Helper()
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	d, err := OpenDir(root, Options{Limit: limit, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return testStage{t, d, &at}
}

func contentNumber(n int) (replication.StageKey, string) {
	text := fmt.Sprintf("%0100d", n)
	sum := md5.Sum([]byte(text))
	return replication.StageKey{Space: "a", Checksum: hex.EncodeToString(sum[:])}, text
}

// add puts content, an hour after the last.
func (s testStage) add(n int) error {
	*s.at = s.at.Add(time.Hour)
	key, text := contentNumber(n)
	return s.Put(context.Background(), key, strings.NewReader(text), int64(len(text)))
}

func (s testStage) mustAdd(numbers ...int) {
	s.t.Helper()
	for _, n := range numbers {
		if err := s.add(n); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s testStage) isStaged(n int) bool {
	s.t.Helper()
	key, text := contentNumber(n)
	r, _, err := s.Open(context.Background(), key)
	if errors.Is(err, replication.ErrNotStaged) {
		return false
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != text {
		s.t.Fatalf("content %d: %d bytes, %v", n, len(got), err)
	}
	return true
}

func (s testStage) totalSize() int64 {
	s.t.Helper()
	_, total, err := s.listContent(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return total
}

func TestLeastRecentlyUsedContentIsRemovedFirst(t *testing.T) {
	s := openTestStage(t, t.TempDir(), 1000)
	for n := range 100 {
		s.mustAdd(n)
		*s.at = s.at.Add(time.Minute)
		if !s.isStaged(0) { // in use all the time
			t.Fatalf("content in use is gone after %d more", n)
		}
		if !s.isStaged(n) {
			t.Fatalf("content %d is gone at once", n)
		}
		if size := s.totalSize(); size > 1000 {
			t.Fatalf("%d bytes after %d, want at most 1000", size, n)
		}
	}
	if size := s.totalSize(); size < 800 {
		t.Errorf("%d bytes are left of 1000: too much is dropped", size)
	}
	for n := 1; n < 90; n++ {
		if s.isStaged(n) {
			t.Errorf("content %d is there, though newer is gone", n)
		}
	}
}

func TestWithoutALimitNothingIsRemoved(t *testing.T) {
	s := openTestStage(t, t.TempDir(), 0)
	for n := range 50 {
		s.mustAdd(n)
	}
	if err := s.Sweep(t.Context(), 1000*time.Hour); err != nil || s.totalSize() != 5000 {
		t.Errorf("%d bytes, %v", s.totalSize(), err)
	}
}

func TestTwoProcessesShareOneLimit(t *testing.T) {
	root := t.TempDir()
	a, b := openTestStage(t, root, 1600), openTestStage(t, root, 1600)
	for n := range 100 {
		a.mustAdd(2 * n)
		b.mustAdd(2*n + 1)
		// Each measures again after a sixteenth of the limit, 100 bytes.
		if size := a.totalSize(); size > 1700 {
			t.Fatalf("%d bytes after %d, want hardly more than 1600", size, n)
		}
	}
	if err := a.Sweep(t.Context(), 1000*time.Hour); err != nil || a.totalSize() > 1600 {
		t.Errorf("%d bytes, %v", a.totalSize(), err)
	}
}

// TestTheStageIsMeasuredRarely: a walk for each file would be too many.
func TestTheStageIsMeasuredRarely(t *testing.T) {
	s := openTestStage(t, t.TempDir(), 1<<20)
	s.mustAdd(0)
	other := openTestStage(t, s.path, 0)
	other.mustAdd(1)
	s.mustAdd(2)
	if s.usage.total != 200 { // it didn't look
		t.Errorf("%d bytes are known, want its own 200", s.usage.total)
	}
}

func TestContentLargerThanTheLimitIsNotStaged(t *testing.T) {
	s := openTestStage(t, t.TempDir(), 1000)
	s.mustAdd(1, 2, 3)
	text := strings.Repeat("x", 2000)
	sum := md5.Sum([]byte(text))
	key := replication.StageKey{Space: "a", Checksum: hex.EncodeToString(sum[:])}
	err := s.Put(t.Context(), key, strings.NewReader(text), 2000)
	if !errors.Is(err, replication.ErrStageFull) || fault.ClassOf(err) != fault.Local || s.totalSize() != 300 {
		t.Errorf("%v, %d bytes staged; want ErrStageFull and the others kept", err, s.totalSize())
	}
	if err := s.Put(t.Context(), key, strings.NewReader(text), -1); err != nil || s.totalSize() > 1000 {
		t.Errorf("of unknown size: %v, %d bytes", err, s.totalSize())
	}
}

func TestOpenReaderOutlivesTheEviction(t *testing.T) {
	s := openTestStage(t, t.TempDir(), 1000)
	s.mustAdd(0)
	key, text := contentNumber(0)
	r, _, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n := 1; n < 30; n++ {
		s.mustAdd(n)
	}
	if s.isStaged(0) {
		t.Error("the content isn't dropped")
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != text {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

// limitDisk has room for n bytes, in whichever files.
func limitDisk(s testStage, room int64) {
	s.createFile = func(dir, pattern string) (tempFile, error) {
		f, err := os.CreateTemp(dir, pattern)
		if err != nil {
			return nil, err
		}
		if s.totalSize()+100 > room {
			return failingFile{tempFile: f, write: &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}}, nil
		}
		return f, nil
	}
}

func TestFullDiskRemovesTheLeastRecentlyUsed(t *testing.T) {
	s := openTestStage(t, t.TempDir(), 0)
	limitDisk(s, 450)
	s.mustAdd(0, 1, 2, 3)
	err := s.add(4)
	if !errors.Is(err, replication.ErrStageFull) || fault.ClassOf(err) != fault.Local {
		t.Errorf("%v, want ErrStageFull", err)
	}
	s.mustAdd(4) // there is room now
	for n, want := range []bool{false, false, true, true, true} {
		if s.isStaged(n) != want {
			t.Errorf("content %d staged: %t, want %t", n, !want, want)
		}
	}
	limitDisk(s, 0) // others fill the disk
	for range 5 {
		if err := s.add(5); !errors.Is(err, replication.ErrStageFull) {
			t.Errorf("%v, want ErrStageFull", err)
		}
	}
	if s.totalSize() != 0 {
		t.Errorf("%d bytes are left on a full disk", s.totalSize())
	}
}

// TestFullDiskWhereNoFileCanBeCreated: the content wasn't read yet, so Put itself tries
// again.
func TestFullDiskWhereNoFileCanBeCreated(t *testing.T) {
	s := openTestStage(t, t.TempDir(), 0)
	s.mustAdd(0, 1)
	working := s.createFile
	s.Dir.createFile = func(dir, pattern string) (tempFile, error) {
		if s.totalSize() > 100 {
			return nil, &os.PathError{Op: "open", Path: dir, Err: syscall.ENOSPC}
		}
		return working(dir, pattern)
	}
	if s.mustAdd(2); s.isStaged(0) || !s.isStaged(2) {
		t.Error("the longest unused is there, or the new one isn't")
	}
}

func TestDefaultLimitDependsOnTheDisk(t *testing.T) {
	for disk, want := range map[int64]int64{0: unknownDiskLimit, 1 << 30: 1 << 29, 4 << 30: 1 << 30, 100 << 30: 10 << 30, 4 << 40: 20 << 30} {
		if got := defaultLimit(disk); got != want {
			t.Errorf("disk of %d: %d, want %d", disk, got, want)
		}
	}
	d, err := OpenDir(t.TempDir(), Options{Limit: -1})
	if err != nil || d.limit <= 0 || d.limit > maxDefaultLimit {
		t.Errorf("limit %d, %v", d.limit, err)
	}
}
