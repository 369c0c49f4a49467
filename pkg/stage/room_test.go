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

	"chefsync/pkg/replication"
)

// shelf is a stage with a clock, and content of 100 bytes by number.
type shelf struct {
	t *testing.T
	*Dir
	at *time.Time
}

func newShelf(t *testing.T, root string, limit int64) shelf {
	t.Helper()
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	d, err := OpenDir(root, WithLimit(limit), WithClock(func() time.Time { return at }))
	if err != nil {
		t.Fatal(err)
	}
	return shelf{t, d, &at}
}

func content(n int) (replication.StageKey, string) {
	text := fmt.Sprintf("%0100d", n)
	sum := md5.Sum([]byte(text))
	return replication.StageKey{Space: "a", Checksum: hex.EncodeToString(sum[:])}, text
}

// add puts content, an hour after the last.
func (s shelf) add(n int) error {
	*s.at = s.at.Add(time.Hour)
	key, text := content(n)
	return s.Put(context.Background(), key, strings.NewReader(text), int64(len(text)))
}

func (s shelf) must(numbers ...int) {
	s.t.Helper()
	for _, n := range numbers {
		if err := s.add(n); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s shelf) has(n int) bool {
	s.t.Helper()
	key, text := content(n)
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

func (s shelf) size() int64 {
	s.t.Helper()
	_, total, err := s.content(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return total
}

func TestWhatWasUsedLongestAgoMakesRoom(t *testing.T) {
	s := newShelf(t, t.TempDir(), 1000)
	for n := range 100 {
		s.must(n)
		*s.at = s.at.Add(time.Minute)
		if !s.has(0) { // in use all the time
			t.Fatalf("content in use is gone after %d more", n)
		}
		if !s.has(n) {
			t.Fatalf("content %d is gone at once", n)
		}
		if size := s.size(); size > 1000 {
			t.Fatalf("%d bytes after %d, want at most 1000", size, n)
		}
	}
	if size := s.size(); size < 800 {
		t.Errorf("%d bytes are left of 1000: too much is dropped", size)
	}
	for n := 1; n < 90; n++ {
		if s.has(n) {
			t.Errorf("content %d is there, though newer is gone", n)
		}
	}
}

func TestWithoutALimitNothingIsDropped(t *testing.T) {
	s := newShelf(t, t.TempDir(), 0)
	for n := range 50 {
		s.must(n)
	}
	if err := s.ShrinkToLimit(t.Context()); err != nil || s.size() != 5000 {
		t.Errorf("%d bytes, %v", s.size(), err)
	}
}

func TestTwoProcessesKeepOneLimit(t *testing.T) {
	root := t.TempDir()
	a, b := newShelf(t, root, 1600), newShelf(t, root, 1600)
	for n := range 100 {
		a.must(2 * n)
		b.must(2*n + 1)
		// Each measures again after a sixteenth of the limit, 100 bytes.
		if size := a.size(); size > 1700 {
			t.Fatalf("%d bytes after %d, want hardly more than 1600", size, n)
		}
	}
	if err := a.ShrinkToLimit(t.Context()); err != nil || a.size() > 1600 {
		t.Errorf("%d bytes, %v", a.size(), err)
	}
}

// TestTheStageIsMeasuredRarely: a walk for each file would be too many.
func TestTheStageIsMeasuredRarely(t *testing.T) {
	s := newShelf(t, t.TempDir(), 1<<20)
	s.must(0)
	other := newShelf(t, s.path, 0)
	other.must(1)
	s.must(2)
	if s.room.held != 200 { // it didn't look
		t.Errorf("%d bytes are known, want its own 200", s.room.held)
	}
}

func TestContentLargerThanTheLimitIsNotStaged(t *testing.T) {
	s := newShelf(t, t.TempDir(), 1000)
	s.must(1, 2, 3)
	text := strings.Repeat("x", 2000)
	sum := md5.Sum([]byte(text))
	key := replication.StageKey{Space: "a", Checksum: hex.EncodeToString(sum[:])}
	err := s.Put(t.Context(), key, strings.NewReader(text), 2000)
	if !errors.Is(err, replication.ErrStageFull) || replication.ClassOf(err) != replication.Local || s.size() != 300 {
		t.Errorf("%v, %d bytes staged; want ErrStageFull and the others kept", err, s.size())
	}
	if err := s.Put(t.Context(), key, strings.NewReader(text), -1); err != nil || s.size() > 1000 {
		t.Errorf("of unknown size: %v, %d bytes", err, s.size())
	}
}

func TestAnOpenReaderOutlivesTheEviction(t *testing.T) {
	s := newShelf(t, t.TempDir(), 1000)
	s.must(0)
	key, text := content(0)
	r, _, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n := 1; n < 30; n++ {
		s.must(n)
	}
	if s.has(0) {
		t.Error("the content isn't dropped")
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != text {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

// smallDisk has room for so many bytes, in whichever files.
func smallDisk(s shelf, room int64) {
	s.create = func(dir, pattern string) (temporary, error) {
		f, err := os.CreateTemp(dir, pattern)
		if err != nil {
			return nil, err
		}
		if s.size()+100 > room {
			return fullDisk{File: f, write: &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}}, nil
		}
		return f, nil
	}
}

func TestAFullDiskDropsWhatWasUsedLongestAgo(t *testing.T) {
	s := newShelf(t, t.TempDir(), 0)
	smallDisk(s, 450)
	s.must(0, 1, 2, 3)
	err := s.add(4)
	if !errors.Is(err, replication.ErrStageFull) || replication.ClassOf(err) != replication.Local {
		t.Errorf("%v, want ErrStageFull", err)
	}
	s.must(4) // there is room now
	for n, want := range []bool{false, false, true, true, true} {
		if s.has(n) != want {
			t.Errorf("content %d staged: %t, want %t", n, !want, want)
		}
	}
	smallDisk(s, 0) // others fill the disk
	for range 5 {
		if err := s.add(5); !errors.Is(err, replication.ErrStageFull) {
			t.Errorf("%v, want ErrStageFull", err)
		}
	}
	if s.size() != 0 {
		t.Errorf("%d bytes are left on a full disk", s.size())
	}
}

// TestAFullDiskThatLetsNoFileBeMade: the content wasn't read yet, so Put itself tries
// again.
func TestAFullDiskThatLetsNoFileBeMade(t *testing.T) {
	s := newShelf(t, t.TempDir(), 0)
	s.must(0, 1)
	working := s.create
	s.Dir.create = func(dir, pattern string) (temporary, error) {
		if s.size() > 100 {
			return nil, &os.PathError{Op: "open", Path: dir, Err: syscall.ENOSPC}
		}
		return working(dir, pattern)
	}
	if s.must(2); s.has(0) || !s.has(2) {
		t.Error("the longest unused is there, or the new one isn't")
	}
}

func TestTheDefaultLimitGoesByTheDisk(t *testing.T) {
	for disk, want := range map[int64]int64{0: otherLimit, 1 << 30: 1 << 29, 4 << 30: 1 << 30, 100 << 30: 10 << 30, 4 << 40: 20 << 30} {
		if got := defaultLimit(disk); got != want {
			t.Errorf("disk of %d: %d, want %d", disk, got, want)
		}
	}
	d, err := OpenDir(t.TempDir(), WithLimit(-1))
	if err != nil || d.limit <= 0 || d.limit > mostLimit {
		t.Errorf("limit %d, %v", d.limit, err)
	}
}
