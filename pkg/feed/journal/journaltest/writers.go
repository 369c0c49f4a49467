package journaltest

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

	"chefsync/pkg/feed/journal"
	"chefsync/pkg/replication"
)

// batch is what writer w notes as its nth write: entries that name both, so that
// a torn write shows.
func batch(w, n int) (entries []journal.Entry) {
	for i := range 1 + n%4 {
		entries = append(entries, journal.Entry{Action: journal.Update, Path: fmt.Sprintf("/data/w%d/n%d.%d", w, n, i)})
	}
	return entries
}

// whole fails unless the rows are batches, whole and unmixed, and returns how
// often each batch is there.
func whole(t testing.TB, rows []journal.Row) map[[2]int]int {
	t.Helper()
	found := map[[2]int]int{}
	for i := 0; i < len(rows); {
		if rows[i].Path == journal.Root {
			i++
			continue
		}
		parts := strings.FieldsFunc(rows[i].Path, func(r rune) bool { return r < '0' || r > '9' })
		if len(parts) != 3 {
			t.Fatalf("a row of nobody's: %+v", rows[i])
		}
		w, _ := strconv.Atoi(parts[0])
		n, _ := strconv.Atoi(parts[1])
		want := batch(w, n)
		for j, e := range want {
			if i+j >= len(rows) || rows[i+j].Path != e.Path {
				t.Fatalf("write %d of writer %d is torn at row %d: %v", n, w, i+j, paths(rows[i:min(i+len(want), len(rows))]))
			}
		}
		found[[2]int{w, n}]++
		i += len(want)
	}
	return found
}

func testWriters(t *testing.T, open func() journal.ScanStore) {
	const writers, writes = 6, 15
	begin(t, open(), source, "e", t0())
	var wg sync.WaitGroup
	for w := range writers {
		s := open()
		wg.Go(func() {
			for n := range writes {
				if _, err := s.Append(t.Context(), source, t0(), batch(w, n)); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	_, got := rows(t, open(), source)
	found := whole(t, got)
	for w := range writers {
		for n := range writes {
			if found[[2]int{w, n}] != 1 {
				t.Errorf("write %d of writer %d is there %d times", n, w, found[[2]int{w, n}])
			}
		}
	}
}

// testBrokenOff: a writer whose call ends early may have written or not, but
// whole and once.
func testBrokenOff(t *testing.T, open func() journal.ScanStore) {
	const writers, writes = 4, 25
	begin(t, open(), source, "e", t0())
	var mu sync.Mutex
	done := map[[2]int]bool{}
	var wg sync.WaitGroup
	for w := range writers {
		s := open()
		wg.Go(func() {
			for n := range writes {
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration(rand.IntN(1500))*time.Microsecond, cancel) // chooses the moment, nothing waits for it
				_, err := s.Append(ctx, source, t0(), batch(w, n))
				mu.Lock()
				done[[2]int{w, n}] = err == nil
				mu.Unlock()
				timer.Stop()
				cancel()
			}
		})
	}
	wg.Wait()
	_, got := rows(t, open(), source)
	found := whole(t, got)
	for k, returned := range done {
		if n := found[k]; n > 1 || returned && n != 1 {
			t.Errorf("write %v, which returned %v, is there %d times", k, returned, n)
		}
	}
}

func testScanners(t *testing.T, open func() journal.ScanStore) {
	const scanners, scans = 4, 12
	begin(t, open(), source, "e", t0())
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
				} else if leased := (*journal.LeasedError)(nil); !errors.As(err, &leased) && !errors.Is(err, journal.ErrFenced) {
					t.Errorf("scanner %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	s := open()
	_, got := rows(t, s, source)
	found := whole(t, got)
	known, err := s.Recall(t.Context(), source)
	if err != nil || int(known.Generation) != len(wrote) || len(found) != len(wrote) || len(wrote) == 0 {
		t.Errorf("%d commits returned, %d are in the journal, the generation is %d, %v", len(wrote), len(found), known.Generation, err)
	}
	for k, n := range found {
		if !wrote[k] || n != 1 {
			t.Errorf("commit %v is there %d times", k, n)
		}
	}
}

func scanOnce(ctx context.Context, s journal.ScanStore, w, n int) error {
	known, err := s.Recall(ctx, source)
	if err != nil {
		return err
	}
	lease, err := s.Acquire(ctx, source, fmt.Sprint("scanner ", w), t0(), ttl)
	if err != nil {
		return err
	}
	_, err = s.Commit(ctx, source, lease.Lease.Fence, t0(), journal.Step{Generation: known.Generation, Entries: batch(w, n), Blob: fmt.Appendf(nil, "%d/%d", w, n)})
	return errors.Join(err, s.Release(ctx, source, lease.Lease.Fence))
}

// testAhead: ids are given in the commit, so a row never shows after one with a
// larger id, however many write, and nothing needs to be read again.
func testAhead(t *testing.T, open func() journal.ScanStore) {
	const writers, writes = 5, 20
	s := open()
	after := begin(t, s, source, "e", t0()).Newest
	_, got := rows(t, s, source)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		writer := open()
		wg.Go(func() {
			for n := range writes {
				if _, err := writer.Append(t.Context(), source, t0(), batch(w, n)); err != nil {
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
			page, err := journal.After(t.Context(), s, source, "e", after, 7)
			if err != nil {
				t.Fatal(err)
			}
			if more = len(page.Rows) > 0; more {
				got, after = append(got, page.Rows...), page.Rows[len(page.Rows)-1].ID
			}
		}
	}
	if _, all := rows(t, s, source); !slices.Equal(got, all) {
		t.Errorf("the reader saw %d rows, there are %d", len(got), len(all))
	}
}

func testReaders(t *testing.T, open func() journal.ScanStore) {
	s := open()
	begin(t, s, source, "e", t0())
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
			if _, err := writer.Append(t.Context(), source, t0(), batch(1, n)); err != nil {
				t.Error(err)
			}
			if n%5 == 4 {
				if _, err := writer.Trim(t.Context(), source, t0(), 20); err != nil {
					t.Error(err)
				}
			}
		}
	})
	f := journal.Feed(s, source)
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
			t.Fatalf("the end went back from %d to %d", pos.Seq, got.Newest)
		}
		pos.Seq = got.Newest
	}
	close(stop)
	wg.Wait()
}
