package sqlite_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/store/sqlite"
)

// killChangeLog names the state to a child process, which then only appends changes.
const killChangeLog = "CHEFSYNC_TEST_KILL_CHANGE_LOG"

const killSource = "chef.example.com-acme"

// appendUntilKilled appends numbered changes, by pushes and as a scanner in turn, and
// prints each number once its write has returned.
func appendUntilKilled(path, writer string) error {
	ctx := context.Background()
	s, err := sqlite.OpenState(ctx, path)
	if err != nil {
		return err
	}
	j := s.ChangeLogs()
	for n := 0; ; n++ {
		changes := []changelog.Change{
			{Action: changelog.Update, Path: fmt.Sprintf("/data/%s/%d.0", writer, n)},
			{Action: changelog.Update, Path: fmt.Sprintf("/data/%s/%d.1", writer, n)},
		}
		if n%3 == 2 {
			err = commitAs(ctx, j, writer, changes)
		} else {
			_, err = j.Append(ctx, killSource, noon(), changes)
		}
		if err == nil {
			fmt.Println(n)
		}
	}
}

func commitAs(ctx context.Context, j changelog.ScanStore, writer string, changes []changelog.Change) error {
	known, err := j.Acquire(ctx, killSource, writer, noon(), time.Hour)
	if err != nil {
		return err
	}
	update := changelog.ScanUpdate{Version: known.Version, Changes: changes, Blob: []byte(changes[1].Path)}
	if _, err := j.Commit(ctx, killSource, known.Lease.Fence, noon(), update); err != nil {
		return err
	}
	return j.Release(ctx, killSource, known.Lease.Fence)
}

// TestKilledChangeLogWriters kills two processes that write one change log, at random
// times. No id is used twice or skipped, no write that returned is lost, and
// none is there in part.
func TestKilledChangeLogWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	j := openState(t, path).ChangeLogs()
	known, err := j.Acquire(t.Context(), killSource, "test", noon(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Commit(t.Context(), killSource, known.Lease.Fence, noon(), changelog.ScanUpdate{Begin: "e"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Release(t.Context(), killSource, known.Lease.Fence); err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	var mu sync.Mutex
	for round := range 10 {
		var wg sync.WaitGroup
		for w := range 2 {
			writer := fmt.Sprintf("r%dw%d", round, w)
			wg.Go(func() {
				numbers := killAfter(t, 1+rand.IntN(10), func(int) {}, killChangeLog+"="+path, killChangeLog+"_WRITER="+writer)
				mu.Lock()
				defer mu.Unlock()
				for _, n := range numbers {
					said[fmt.Sprintf("/data/%s/%d.1", writer, n)] = true
				}
			})
		}
		wg.Wait()
		// A killed scanner's lease is in the way until it ends; the test's clock
		// stands, so it is freed by hand.
		runStatements(t, path, `UPDATE items SET data = json_remove(data, '$.lease.owner', '$.lease.expires'), `+
			`version = version || '+' WHERE sort = 'HEAD'`)
	}
	page, err := j.Rows(t.Context(), killSource, 0, 10_000_000)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for i, r := range page.Rows {
		if r.ID != page.Head.Oldest+int64(i) {
			t.Fatalf("row %d has the id %d: the change log begins at %d", i, r.ID, page.Head.Oldest)
		}
		if first, ok := strings.CutSuffix(r.Path, ".0"); ok && (i+1 == len(page.Rows) || page.Rows[i+1].Path != first+".1") {
			t.Errorf("the write of %s is torn", r.Path)
		}
		if there[r.Path] {
			t.Errorf("%s is there twice", r.Path)
		}
		there[r.Path] = true
	}
	for p := range said {
		if !there[p] {
			t.Errorf("the write of %s had returned and is lost", p)
		}
	}
	if page.Head.Newest != page.Head.Oldest+int64(len(page.Rows))-1 || len(said) < 20 {
		t.Errorf("head %+v, %d rows, %d writes returned", page.Head, len(page.Rows), len(said))
	}
	t.Logf("20 writers killed, %d writes returned, %d rows, none lost", len(said), len(page.Rows))
}
