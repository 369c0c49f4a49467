package stage_test

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/hex"
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

	"chefsync/pkg/replication"
	"chefsync/pkg/stage"
)

// killDir names the stage to a child process, which then only writes, beginning
// with the number in killFrom.
const (
	killDir  = "CHEFSYNC_TEST_KILL_STAGE"
	killFrom = "CHEFSYNC_TEST_KILL_FROM"
)

// TestMain makes the test binary a writer when a test starts it as one.
func TestMain(m *testing.M) {
	if path := os.Getenv(killDir); path != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func writeUntilKilled(path string) error {
	d, err := stage.OpenDir(path, stage.Options{})
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(os.Getenv(killFrom))
	for ; err == nil; n++ {
		key, content := contentNumber(n)
		if err = d.Put(context.Background(), key, strings.NewReader(content), -1); err == nil {
			fmt.Println(n)
		}
	}
	return err
}

// contentNumber is content of many writes, another for each number.
func contentNumber(n int) (replication.StageKey, string) {
	content := strings.Repeat(fmt.Sprint(n, " "), 100_000)
	sum := md5.Sum([]byte(content))
	return replication.StageKey{Space: "killed", Checksum: hex.EncodeToString(sum[:])}, content
}

// TestKill kills a writer at random moments. All content whose Put returned is
// there afterwards; nothing else is but, whole, that of the Put under way.
func TestKill(t *testing.T) {
	root := filepath.Join(t.TempDir(), "stage")
	acknowledged := map[int]bool{}
	next, kills := 1, 25
	for range kills {
		for _, n := range killWriter(t, root, next, 1+rand.IntN(10), time.Duration(rand.IntN(3000))*time.Microsecond) {
			acknowledged[n] = true
			next = n + 1
		}
		next++ // the one under way may be there or not
	}
	d := openDir(t, root, stage.Options{})
	for n := range acknowledged {
		key, content := contentNumber(n)
		r, _, err := d.Open(t.Context(), key)
		if err != nil {
			t.Fatalf("content %d was put, but: %v", n, err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != content {
			t.Errorf("content %d: %d bytes, %v", n, len(got), err)
		}
		_ = r.Close()
	}
	extra := countComplete(t, root) - len(acknowledged)
	if extra < 0 || extra > kills {
		t.Errorf("%d files more than were acknowledged, by %d killed writers", extra, kills)
	}
	t.Logf("%d kills, %d contents, none lost, none torn", kills, len(acknowledged))
}

// countComplete checks every file that a reader could see, and counts them.
func countComplete(t *testing.T, root string) (visible int) {
	t.Helper()
	for _, path := range listFiles(t, root) {
		if strings.Contains(path, ".incoming") {
			continue
		}
		visible++
		b, err := os.ReadFile(path)
		if sum := md5.Sum(b); err != nil || hex.EncodeToString(sum[:]) != filepath.Base(path) {
			t.Errorf("%s is torn: %d bytes, %v", path, len(b), err)
		}
	}
	return visible
}

// killWriter kills a child a moment after it has said some numbers, and returns
// all that it said.
func killWriter(t *testing.T, root string, from, numbers int, moment time.Duration) (said []int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killDir+"="+root, killFrom+"="+fmt.Sprint(from))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewReader(out); ; {
		text, err := lines.ReadString('\n')
		if err != nil { // the child is dead, and a last line may be cut
			break
		}
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, n)
		if len(said) == numbers {
			time.Sleep(moment) // only chooses the moment of the kill; nothing waits for it
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // "signal: killed"
	if len(said) < numbers {
		t.Fatalf("the writer ended unasked after it had put %d: %v", len(said), cmd.ProcessState)
	}
	return said
}
