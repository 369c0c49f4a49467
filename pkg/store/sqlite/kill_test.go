package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/store"
	"chefsync/pkg/store/sqlite"
	"chefsync/pkg/store/storetest"
)

// killFile names the state to a child process, which then only writes.
const killFile = "CHEFSYNC_TEST_KILL_STATE"

// TestMain makes the test binary a writer when a test starts it as one.
func TestMain(m *testing.M) {
	if path := os.Getenv(killFile); path != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(path))
		os.Exit(1)
	}
	if path := os.Getenv(killChangeLog); path != "" {
		fmt.Fprintln(os.Stderr, appendUntilKilled(path, os.Getenv(killChangeLog+"_WRITER")))
		os.Exit(1)
	}
	if err := storetest.FewChecks(10); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled commits numbered updates, and prints each number once its commit
// has returned. Every part of an update carries the number.
func writeUntilKilled(path string) error {
	ctx := context.Background()
	s, err := sqlite.OpenState(ctx, path)
	if err != nil {
		return err
	}
	st, err := s.Acquire(ctx, engineeringPair(), "child", noon(), time.Hour)
	if err != nil {
		return err
	}
	for n := st.Progress.Objects + 1; ; n++ {
		u := replication.Update{
			Progress: replication.Progress{Objects: n},
			Entries:  replication.Entries{numberedRole(n): {Fingerprint: numberedFingerprint(n), Failure: &replication.Unsynced{Ref: numberedRole(n)}}},
			Run:      &replication.Run{ID: fmt.Sprintf("%09d", n), Pair: engineeringPair()},
		}
		if n > 1 {
			u.Entries[numberedRole(n-1)] = replication.Entry{Fingerprint: numberedFingerprint(n - 1)}
		}
		if err := s.Commit(ctx, engineeringPair(), st.Lease.Fence, noon(), u); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

func numberedRole(n int) object.Ref {
	return object.Ref{Kind: object.Role, Name: fmt.Sprint(n)}
}

func numberedFingerprint(n int) string { return strings.Repeat(fmt.Sprint(n), 50) }

// TestKill kills a writer at random times. Every commit that returned is there
// afterwards, and the one in progress is there whole or not at all. This process has
// the state open meanwhile, and reads at once what the other commits.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	last, kills := 0, 25
	reader := openState(t, path)
	for range kills {
		said := killWriter(t, path, reader, 1+rand.IntN(30))
		last = checkWhole(t, path, max(last, said))
	}
	t.Logf("%d kills, %d commits, none lost", kills, last)
}

// killWriter kills a child process shortly after it has printed some numbers, and
// returns the last one.
func killWriter(t *testing.T, path string, reader *sqlite.State, numbers int) int {
	t.Helper()
	said := killAfter(t, numbers, func(last int) {
		if st, err := reader.Pair(t.Context(), engineeringPair()); err != nil || st.Progress.Objects < last {
			t.Errorf("commit %d had returned, but another process sees %d, %v", last, st.Progress.Objects, err)
		}
	}, killFile+"="+path)
	return said[len(said)-1]
}

// killAfter starts the test binary as a writer, kills it shortly after it has printed some
// numbers, and returns all that it has printed. Before the kill it calls check with the
// last one read.
func killAfter(t *testing.T, numbers int, check func(last int), env ...string) (said []int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return []int{0}
	}
	lines := bufio.NewReader(out)
	for len(said) < numbers {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Errorf("the writer ended unasked after %v: %v", said, cmd.Wait())
			return append(said, 0)
		}
		said = append(said, parseNumber(t, line))
	}
	check(said[len(said)-1])
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // only chooses the moment of the kill; nothing waits for it
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(rest)) {
		if strings.HasSuffix(line, "\n") {
			said = append(said, parseNumber(t, line))
		}
	}
	_ = cmd.Wait() // "signal: killed"
	return said
}

func parseNumber(t *testing.T, line string) int {
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Error(err)
	}
	return n
}

// checkWhole fails unless the state holds the updates up to one that isn't below
// least, which it returns.
func checkWhole(t *testing.T, path string, least int) int {
	t.Helper()
	s, err := sqlite.OpenState(t.Context(), path)
	if err != nil {
		t.Fatalf("the state can't be opened after the kill: %v", err)
	}
	defer s.Close()
	ctx, id := t.Context(), engineeringPair()
	st, err1 := s.Pair(ctx, id)
	entries, err2 := s.Entries(ctx, id)
	runs, err3 := s.Runs(ctx, id, 1_000_000)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			t.Fatal(err)
		}
	}
	n, unsynced := st.Progress.Objects, entries.Unsynced()
	if n < least {
		t.Fatalf("commit %d had returned, but the state is at %d", least, n)
	}
	if len(entries) != n || len(runs) < min(n, store.KeepRuns) || n > 0 && (len(unsynced) != 1 || unsynced[0].Ref != numberedRole(n)) {
		t.Fatalf("torn: progress %d, %d objects, %d runs, unsynced %v", n, len(entries), len(runs), unsynced)
	}
	for i := 1; i <= n; i++ {
		if e := entries[numberedRole(i)]; e.Fingerprint != numberedFingerprint(i) {
			t.Fatalf("object %d is torn: %q", i, e.Fingerprint)
		}
	}
	return n
}
