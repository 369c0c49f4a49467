package changelogtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
)

// batchOf returns the changes of the nth write of writer w: they name both, so that an
// incomplete write is found.
func batchOf(w, n int) (changes []changelog.Change) {
	for i := range 1 + n%4 {
		changes = append(changes, changelog.Change{Action: changelog.Update, Path: fmt.Sprintf("/data/w%d/n%d.%d", w, n, i)})
	}
	return changes
}

// countBatches returns how often each batch occurs, and fails the test unless the rows are
// complete batches, not mixed.
func countBatches(t testing.TB, rows []changelog.Row) map[[2]int]int {
	t.Helper()
	found := map[[2]int]int{}
	for i := 0; i < len(rows); {
		if rows[i].Path == changelog.Root {
			i++
			continue
		}
		parts := strings.FieldsFunc(rows[i].Path, func(r rune) bool { return r < '0' || r > '9' })
		if len(parts) != 3 {
			t.Fatalf("a row of no writer: %+v", rows[i])
		}
		w, _ := strconv.Atoi(parts[0])
		n, _ := strconv.Atoi(parts[1])
		want := batchOf(w, n)
		for j, e := range want {
			if i+j >= len(rows) || rows[i+j].Path != e.Path {
				t.Fatalf("write %d of writer %d is incomplete at row %d: %v", n, w, i+j, rowPaths(rows[i:min(i+len(want), len(rows))]))
			}
		}
		found[[2]int{w, n}]++
		i += len(want)
	}
	return found
}

func testWriters(t *testing.T, open func() changelog.ScanStore) {
	const writers, writes = 6, 15
	mustBegin(t, open(), source, "e", t0())
	var wg sync.WaitGroup
	for w := range writers {
		s := open()
		wg.Go(func() {
			for n := range writes {
				if _, err := s.Append(t.Context(), source, t0(), batchOf(w, n)); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	_, got := mustReadRows(t, open(), source)
	found := countBatches(t, got)
	for w := range writers {
		for n := range writes {
			if found[[2]int{w, n}] != 1 {
				t.Errorf("write %d of writer %d is there %d times", n, w, found[[2]int{w, n}])
			}
		}
	}
}

// testCanceledWriters: a canceled call may have written its changes or not, but completely
// and once.
func testCanceledWriters(t *testing.T, open func() changelog.ScanStore) {
	const writers, writes = 4, 25
	mustBegin(t, open(), source, "e", t0())
	var mu sync.Mutex
	done := map[[2]int]bool{}
	var wg sync.WaitGroup
	for w := range writers {
		s := open()
		wg.Go(func() {
			for n := range writes {
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration(rand.IntN(1500))*time.Microsecond, cancel) // random moment; nothing waits for it
				_, err := s.Append(ctx, source, t0(), batchOf(w, n))
				mu.Lock()
				done[[2]int{w, n}] = err == nil
				mu.Unlock()
				timer.Stop()
				cancel()
			}
		})
	}
	wg.Wait()
	_, got := mustReadRows(t, open(), source)
	found := countBatches(t, got)
	for k, returned := range done {
		if n := found[k]; n > 1 || returned && n != 1 {
			t.Errorf("write %v, which returned %v, is there %d times", k, returned, n)
		}
	}
}

func testScanners(t *testing.T, open func() changelog.ScanStore) {
	const scanners, scans = 4, 12
	mustBegin(t, open(), source, "e", t0())
	var mu sync.Mutex
	wrote := map[[2]int]bool{}
	var wg sync.WaitGroup
	for w := range scanners {
		s := open()
		wg.Go(func() {
			for n := range scans {
				if err := scanOnce(t.Context(), s, w, n); err == nil {
					mu.Lock()
					wrote[[2]int{w, n}] = true
					mu.Unlock()
				} else if leased := (*replication.LeasedError)(nil); !errors.As(err, &leased) && !errors.Is(err, replication.ErrFenced) {
					t.Errorf("scanner %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	s := open()
	_, got := mustReadRows(t, s, source)
	found := countBatches(t, got)
	known, err := s.LoadScanState(t.Context(), source)
	if err != nil || int(known.Generation) != len(wrote) || len(found) != len(wrote) || len(wrote) == 0 {
		t.Errorf("%d commits returned, %d are in the change log, the generation is %d, %v", len(wrote), len(found), known.Generation, err)
	}
	for k, n := range found {
		if !wrote[k] || n != 1 {
			t.Errorf("commit %v is there %d times", k, n)
		}
	}
}

func scanOnce(ctx context.Context, s changelog.ScanStore, w, n int) error {
	known, err := s.LoadScanState(ctx, source)
	if err != nil {
		return err
	}
	lease, err := s.Acquire(ctx, source, fmt.Sprint("scanner ", w), t0(), ttl)
	if err != nil {
		return err
	}
	_, err = s.Commit(ctx, source, lease.Lease.Fence, t0(),
		changelog.ScanUpdate{Version: known.Version, Changes: batchOf(w, n), Blob: fmt.Appendf(nil, "%d/%d", w, n)})
	return errors.Join(err, s.Release(ctx, source, lease.Lease.Fence))
}

// testReaderAtTheEnd: ids are assigned by the commit, so a row never appears after one with
// a larger id, and readers need not read an id twice.
func testReaderAtTheEnd(t *testing.T, open func() changelog.ScanStore) {
	const writers, writes = 5, 20
	s := open()
	after := mustBegin(t, s, source, "e", t0()).Newest
	_, got := mustReadRows(t, s, source)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		writer := open()
		wg.Go(func() {
			for n := range writes {
				if _, err := writer.Append(t.Context(), source, t0(), batchOf(w, n)); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	for last := false; !last; {
		select {
		case <-done:
			last = true
		default:
		}
		for more := true; more; {
			page, err := s.Rows(t.Context(), source, after, 7)
			if err != nil {
				t.Fatal(err)
			}
			if more = len(page.Rows) > 0; more {
				got, after = append(got, page.Rows...), page.Rows[len(page.Rows)-1].ID
			}
		}
	}
	if _, all := mustReadRows(t, s, source); !slices.Equal(got, all) {
		t.Errorf("the reader saw %d rows, there are %d", len(got), len(all))
	}
}

func testReaders(t *testing.T, open func() changelog.ScanStore) {
	s := open()
	mustBegin(t, s, source, "e", t0())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	writer := open()
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := writer.Append(t.Context(), source, t0(), batchOf(1, n)); err != nil {
				t.Error(err)
			}
			if n%5 == 4 {
				if _, err := writer.Trim(t.Context(), source, t0(), 20); err != nil {
					t.Error(err)
				}
			}
		}
	})
	f := changelog.Feed{Store: s, Source: source}
	var pos replication.Position
	for n := range 60 {
		got, err := f.Read(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Changes) == 0 || got.Newest != got.Changes[len(got.Changes)-1].ID || got.Oldest != got.Changes[0].ID {
			t.Fatalf("read %d: bounds %d to %d do not fit %d rows", n, got.Oldest, got.Newest, len(got.Changes))
		}
		for i, c := range got.Changes {
			if c.ID != got.Oldest+int64(i) {
				t.Fatalf("a gap at %d", c.ID)
			}
		}
		if pos.Seq > got.Newest {
			t.Fatalf("the newest id fell from %d to %d", pos.Seq, got.Newest)
		}
		pos.Seq = got.Newest
	}
	close(stop)
	wg.Wait()
}
