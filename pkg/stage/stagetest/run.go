// Package stagetest is the suite that every implementation of
// [replication.Stage] passes.
package stagetest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Damage changes a byte of the content that is stored under a key, without the
// implementation.
type Damage func(t *testing.T, s replication.Stage, key replication.StageKey)

// Run runs the suite. Each call of newStage returns an empty stage.
func Run(t *testing.T, newStage func(t *testing.T) replication.Stage, damage Damage) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, s replication.Stage)
	}{
		{"content is returned", testRoundTrip},
		{"an unknown size is accepted", testUnknownSize},
		{"unusual readers are accepted", testOddReaders},
		{"what isn't there isn't staged", testMissing},
		{"removed content is gone", testRemove},
		{"spaces are separate", testSpaces},
		{"wrong content isn't stored", testWrong},
		{"wrong content doesn't replace the right one", testWrongOverRight},
		{"an error of the source is returned and nothing is stored", testSourceFails},
		{"unsafe keys are refused", testKeys},
		{"an ended context stores nothing", testContext},
		{"writers may race", testRace},
		{"an open reader outlives a removal", testRemoveWhileOpen},
		{"large content is streamed", testLarge},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, newStage(t)) })
	}
	t.Run("damaged content is detected and staged again", func(t *testing.T) { testDamage(t, newStage, damage) })
}

// keyOf is the key of content in the suite's space.
func keyOf(content string) replication.StageKey {
	sum := md5.Sum([]byte(content))
	return replication.StageKey{Space: "primary.example-engineering", Checksum: hex.EncodeToString(sum[:])}
}

func mustPut(t *testing.T, s replication.Stage, content string) replication.StageKey {
	t.Helper()
	key := keyOf(content)
	if err := s.Put(t.Context(), key, strings.NewReader(content), int64(len(content))); err != nil {
		t.Fatalf("Put of %d bytes: %v", len(content), err)
	}
	return key
}

func readAll(s replication.Stage, key replication.StageKey) (content string, size int64, err error) {
	r, size, err := s.Open(context.Background(), key)
	if err != nil {
		return "", 0, err
	}
	b, err := io.ReadAll(r)
	return string(b), size, errors.Join(err, r.Close())
}

func checkContent(t *testing.T, s replication.Stage, key replication.StageKey, want string) {
	t.Helper()
	got, size, err := readAll(s, key)
	if err != nil || got != want || size != int64(len(want)) {
		t.Errorf("Open gives %d bytes of size %d, %v; want the %d bytes that were put", len(got), size, err, len(want))
	}
}

func checkNotStaged(t *testing.T, s replication.Stage, key replication.StageKey) {
	t.Helper()
	if _, _, err := s.Open(t.Context(), key); !errors.Is(err, replication.ErrNotStaged) {
		t.Errorf("Open of what isn't there: %v, want ErrNotStaged", err)
	}
}

func sampleContents() []string {
	return []string{"", "x", "cookbook file\r\n\x00\xff", strings.Repeat("0123456789", 100_000)}
}

func testRoundTrip(t *testing.T, s replication.Stage) {
	for range 2 { // putting it again is fine
		for _, c := range sampleContents() {
			checkContent(t, s, mustPut(t, s, c), c)
		}
	}
}

func testUnknownSize(t *testing.T, s replication.Stage) {
	for _, c := range sampleContents() {
		if err := s.Put(t.Context(), keyOf(c), strings.NewReader(c), -1); err != nil {
			t.Fatalf("Put of %d bytes: %v", len(c), err)
		}
		checkContent(t, s, keyOf(c), c)
	}
}

func testOddReaders(t *testing.T, s replication.Stage) {
	c := strings.Repeat("odd", 1000)
	for name, r := range map[string]io.Reader{
		"one byte at a time":      iotest.OneByteReader(strings.NewReader(c)),
		"data together with EOF":  iotest.DataErrReader(strings.NewReader(c)),
		"half of what is wanted":  iotest.HalfReader(strings.NewReader(c)),
		"a reader that can write": bytes.NewBufferString(c),
	} {
		if err := s.Put(t.Context(), keyOf(c), r, int64(len(c))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		checkContent(t, s, keyOf(c), c)
		if err := s.Remove(t.Context(), keyOf(c)); err != nil {
			t.Fatal(err)
		}
	}
	mustPut(t, s, c)
	r, _, err := s.Open(t.Context(), keyOf(c))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := iotest.TestReader(r, []byte(c)); err != nil {
		t.Errorf("the reader of staged content: %v", err)
	}
}

func testMissing(t *testing.T, s replication.Stage) {
	checkNotStaged(t, s, keyOf("never put"))
	mustPut(t, s, "something else")
	checkNotStaged(t, s, keyOf("never put"))
}

func testRemove(t *testing.T, s replication.Stage) {
	a, b := mustPut(t, s, "a"), mustPut(t, s, "b")
	for range 2 { // absent is success
		if err := s.Remove(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	checkNotStaged(t, s, a)
	checkContent(t, s, b, "b")
}

// testSpaces: MD5 can be forged, so content of one organization is never given
// to another.
func testSpaces(t *testing.T, s replication.Stage) {
	key := mustPut(t, s, "shared")
	other := replication.StageKey{Space: "other", Checksum: key.Checksum}
	checkNotStaged(t, s, other)
	if err := s.Remove(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	checkContent(t, s, key, "shared")
}

func testWrong(t *testing.T, s replication.Stage) {
	const c = "the right content"
	for name, try := range map[string]struct {
		content string
		size    int64
	}{
		"other bytes":                  {"the wrong content", int64(len(c))},
		"other bytes, size unknown":    {"the wrong content", -1},
		"cut off":                      {c[:5], int64(len(c))},
		"cut off, size unknown":        {c[:5], -1},
		"nothing":                      {"", -1},
		"too long":                     {c + "!", int64(len(c))},
		"right, but shorter than said": {c, int64(len(c)) + 1},
		"right, but longer than said":  {c, int64(len(c)) - 1},
		"right, but none was said":     {c, 0},
	} {
		err := s.Put(t.Context(), keyOf(c), strings.NewReader(try.content), try.size)
		if !errors.Is(err, replication.ErrContentMismatch) {
			t.Errorf("%s: %v, want ErrContentMismatch", name, err)
		}
		checkNotStaged(t, s, keyOf(c))
	}
}

func testWrongOverRight(t *testing.T, s replication.Stage) {
	key := mustPut(t, s, "right")
	if err := s.Put(t.Context(), key, strings.NewReader("wrong"), 5); !errors.Is(err, replication.ErrContentMismatch) {
		t.Errorf("%v, want ErrContentMismatch", err)
	}
	checkContent(t, s, key, "right")
}

func testSourceFails(t *testing.T, s replication.Stage) {
	broken := &fault.Error{Op: "read", Class: fault.Unreachable, Err: errors.New("connection reset")}
	content := io.MultiReader(strings.NewReader("half of"), iotest.ErrReader(broken))
	err := s.Put(t.Context(), keyOf("half of it"), content, -1)
	if !errors.Is(err, broken) || fault.ClassOf(err) != fault.Unreachable {
		t.Errorf("%v of class %s, want the error of the source", err, fault.ClassOf(err))
	}
	checkNotStaged(t, s, keyOf("half of it"))
}

func testKeys(t *testing.T, s replication.Stage) {
	sum := keyOf("x").Checksum
	keys := []replication.StageKey{{}, {Checksum: sum}, {Space: "space"}, {Space: "space", Checksum: strings.ToUpper(keyOf("j").Checksum)}}
	for _, space := range []string{".", "..", "../x", "a/b", `a\b`, "/a", ".hidden", "-flag", "_x", "a b", "a\x00", "ü", "a\n",
		strings.Repeat("a", 129)} {
		keys = append(keys, replication.StageKey{Space: space, Checksum: sum})
	}
	for _, checksum := range []string{sum[1:], sum + "0", "../" + sum[3:], "g" + sum[1:], sum[:31] + "/", strings.Repeat(".", 32)} {
		keys = append(keys, replication.StageKey{Space: "space", Checksum: checksum})
	}
	for _, key := range keys {
		_, _, openErr := s.Open(t.Context(), key)
		for op, err := range map[string]error{
			"Put":    s.Put(t.Context(), key, strings.NewReader("x"), 1),
			"Open":   openErr,
			"Remove": s.Remove(t.Context(), key),
		} {
			if err == nil || errors.Is(err, replication.ErrNotStaged) {
				t.Errorf("%s of %q: %v, want the key refused", op, key, err)
			}
		}
	}
	for _, space := range []string{"a", "A1", "chef.example.com-engineering_2", strings.Repeat("a", 128)} {
		key := replication.StageKey{Space: space, Checksum: sum}
		if err := s.Put(t.Context(), key, strings.NewReader("x"), 1); err != nil {
			t.Errorf("a good key %q: %v", key, err)
		}
	}
}

func testContext(t *testing.T, s replication.Stage) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, keyOf("x"), strings.NewReader("x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v, want context.Canceled", err)
	}
	checkNotStaged(t, s, keyOf("x"))
}

func testRace(t *testing.T, s replication.Stage) {
	content := strings.Repeat("race", 50_000)
	key := keyOf(content)
	var wg sync.WaitGroup
	for n := range 12 {
		wg.Go(func() {
			switch n % 3 {
			case 0: // a writer that fails halfway
				err := s.Put(context.Background(), key, strings.NewReader(content[:len(content)/2]), -1)
				if !errors.Is(err, replication.ErrContentMismatch) {
					t.Errorf("a writer of half of it: %v", err)
				}
			case 1: // a reader sees all of it or nothing
				got, _, err := readAll(s, key)
				if err == nil && got != content || err != nil && !errors.Is(err, replication.ErrNotStaged) {
					t.Errorf("a reader meanwhile: %d bytes, %v", len(got), err)
				}
			default:
				if err := s.Put(context.Background(), key, strings.NewReader(content), int64(len(content))); err != nil {
					t.Errorf("a writer: %v", err)
				}
			}
		})
	}
	wg.Wait()
	checkContent(t, s, key, content)
}

func testRemoveWhileOpen(t *testing.T, s replication.Stage) {
	content := strings.Repeat("open", 100_000)
	key := mustPut(t, s, content)
	r, _, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := s.Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err == nil && string(got) != content {
		t.Errorf("%d bytes and no error; content that goes while it is read must come whole or with an error", len(got))
	}
}

func testDamage(t *testing.T, newStage func(t *testing.T) replication.Stage, damage Damage) {
	for _, size := range []int{1, 100, 300_000} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			s := newStage(t)
			content := strings.Repeat("d", size)
			key := mustPut(t, s, content)
			damage(t, s, key)
			if _, _, err := readAll(s, key); !errors.Is(err, replication.ErrContentMismatch) {
				t.Fatalf("reading damaged content: %v, want ErrContentMismatch", err)
			}
			// The engine stages it again, whether or not the reader removed it.
			if err := s.Remove(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			mustPut(t, s, content)
			checkContent(t, s, key, content)
		})
	}
}
