package replication_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"chefsync/pkg/fault"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
	"chefsync/pkg/replication/replicationtest"
)

// fullStage has no room for the first puts, after it read a bit of the content.
type fullStage struct {
	*replicationtest.Stage
	full  int64
	tried atomic.Int64
	drop  bool // what was put is gone when it is opened
}

func (s *fullStage) Put(ctx context.Context, key replication.StageKey, content io.Reader, size int64) error {
	if s.tried.Add(1) <= s.full {
		_, _ = io.CopyN(io.Discard, content, 1)
		return &fault.Error{Op: "stage", Class: fault.Local, Err: fmt.Errorf("%w: the disk", replication.ErrStageFull)}
	}
	err := s.Stage.Put(ctx, key, content, size)
	if s.drop {
		err = errors.Join(err, s.Remove(ctx, key))
	}
	return err
}

// source is a primary whose files come in other ways.
type source struct {
	replication.Source
	opened  int
	unknown bool                               // no file comes with its size
	change  func(n int, r io.Reader) io.Reader // of the nth file that is opened, from 1 on
}

func (s *source) Open(ctx context.Context, obj object.Object, file object.File) (io.ReadCloser, int64, error) {
	r, size, err := s.Source.Open(ctx, obj, file)
	if err != nil {
		return nil, 0, err
	}
	s.opened++
	if s.unknown {
		size = -1
	}
	if s.change != nil {
		return io.NopCloser(s.change(s.opened, r)), size, nil
	}
	return r, size, nil
}

const large = 3 << 20

// passPast runs a pass over one cookbook with a stage that has no room.
func passPast(t *testing.T, content string, src *source) (*world, replication.Run, string) {
	t.Helper()
	w := newWorld(t)
	w.primary.Set("/cookbooks/apt/1.0.0", "apt", content)
	var log bytes.Buffer
	e := w.engine()
	src.Source = w.primary
	e.Source, e.Stage, e.Log = src, &fullStage{Stage: w.stage, full: 1 << 30}, slog.New(slog.NewTextHandler(&log, nil))
	run, err := e.Pass(t.Context(), replication.PassOptions{Trigger: "test"})
	if err != nil {
		t.Fatalf("pass: %v", err)
	}
	if w.stage.Puts != 0 {
		t.Errorf("%d files were staged", w.stage.Puts)
	}
	return w, run, log.String()
}

func TestFilesThatHaveNoRoomGoPastTheStage(t *testing.T) {
	for name, content := range map[string]string{"nothing": "", "small": "recipe", "as large as is checked first": strings.Repeat("x", 1<<20), "large": strings.Repeat("x", large)} {
		for _, unknown := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, size unknown %t", name, unknown), func(t *testing.T) {
				w, run, log := passPast(t, content, &source{unknown: unknown})
				w.wantEqual()
				if w.wantStatus(replication.Synced); run.Counts.Uploaded != int64(len(content)) {
					t.Errorf("uploaded %d bytes, want %d", run.Counts.Uploaded, len(content))
				}
				if strings.Count(log, "the stage has no room") != 1 {
					t.Errorf("want one line about the stage:\n%s", log)
				}
			})
		}
	}
}

func TestTheLogSaysOnceInAPassThatTheStageIsFull(t *testing.T) {
	w := newWorld(t)
	w.fill()
	var log bytes.Buffer
	e := w.engine()
	e.Stage, e.Log = &fullStage{Stage: w.stage, full: 1 << 30}, slog.New(slog.NewTextHandler(&log, nil))
	if _, err := e.Pass(t.Context(), replication.PassOptions{}); err != nil {
		t.Fatal(err)
	}
	w.wantEqual()
	if n := strings.Count(log.String(), "the stage has no room"); n != 1 {
		t.Errorf("%d lines for 4 files, want 1", n)
	}
}

func TestAStageThatMadeRoomIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.primary.Set("/cookbooks/apt/1.0.0", "apt", "recipe")
	e := w.engine()
	e.Stage = &fullStage{Stage: w.stage, full: 1}
	if _, err := e.Pass(t.Context(), replication.PassOptions{}); err != nil {
		t.Fatal(err)
	}
	if w.wantEqual(); w.stage.Puts != 1 {
		t.Errorf("staged %d files, want 1", w.stage.Puts)
	}
}

// TestContentThatIsDroppedAtOnceGoesPastTheStage: another process needed the room.
func TestContentThatIsDroppedAtOnceGoesPastTheStage(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.engine()
	e.Stage = &fullStage{Stage: w.stage, drop: true}
	if _, err := e.Pass(t.Context(), replication.PassOptions{}); err != nil {
		t.Fatal(err)
	}
	w.wantEqual()
	w.wantStatus(replication.Synced)
}

// TestWrongContentNeverReachesAReplicaPastTheStage: damaged files make objects unsynced, and a
// cut transfer is tried again, now if little was lost, else later.
func TestWrongContentNeverReachesAReplicaPastTheStage(t *testing.T) {
	damage := func(from int) func(int, io.Reader) io.Reader {
		return func(n int, r io.Reader) io.Reader {
			if n < from {
				return r
			}
			b, _ := io.ReadAll(r) // from memory
			b[len(b)/2] ^= 1
			return bytes.NewReader(b)
		}
	}
	short := func(n int, r io.Reader) io.Reader { return io.LimitReader(r, 10) }
	for name, c := range map[string]struct {
		size   int
		source source
		hint   string
	}{
		"small, damaged":              {100, source{change: damage(1)}, "the primary holds damaged content"},
		"large, damaged":              {large, source{change: damage(1)}, "the primary holds damaged content"},
		"large of no size, damaged":   {large, source{unknown: true, change: damage(1)}, "the primary holds damaged content"},
		"large of no size, later":     {large, source{unknown: true, change: damage(4)}, "the primary holds damaged content"},
		"small, cut without an error": {100, source{change: short}, "the primary holds damaged content"},
		"large, cut without an error": {large, source{change: short}, "the transfer was interrupted"},
		"small, cut with an error":    {100, source{change: func(int, io.Reader) io.Reader { return io.MultiReader(strings.NewReader("x"), broken{}) }}, "the transfer was interrupted"},
		"large, cut with an error":    {large, source{change: func(int, io.Reader) io.Reader { return io.MultiReader(strings.NewReader("x"), broken{}) }}, "the transfer was interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, _ := passPast(t, strings.Repeat("y", c.size), &c.source)
			if got := w.replica.Snapshot(); len(got) != 0 {
				t.Errorf("the replica holds %v", got)
			}
			if u := w.unsynced(); len(u) != 1 || u[0].Hint != c.hint && !strings.Contains(u[0].Hint, c.hint) {
				t.Errorf("unsynced %+v, want one with the hint %q", u, c.hint)
			}
		})
	}
}

func TestASmallFileThatCameDamagedOnceIsReadAgain(t *testing.T) {
	w, _, _ := passPast(t, strings.Repeat("y", 100), &source{change: func(n int, r io.Reader) io.Reader {
		if n == 3 { // the first two are for the stage
			return strings.NewReader("wrong")
		}
		return r
	}})
	w.wantEqual()
}

// broken fails when it is read.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }
