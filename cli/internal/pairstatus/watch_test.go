package pairstatus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// snapshotOf returns a snapshot of pairs of which every nth has a problem.
func snapshotOf(all []app.Pair, every int, now time.Time) Snapshot {
	s := Snapshot{At: now, Fleet: Fleet{all: all}, Processes: Processes{Running: []health.Process{{Host: "vm", Started: now, Pairs: len(all)}}}}
	for i, p := range all {
		r := PairRow{Pair: p.ID, Organization: p.ID.Org, Replica: p.ID.Replica, Status: replication.Synced, NextRun: now}
		if i%every == 0 {
			r.Status = replication.Retrying
			r.Reasons = []status.Reason{{Cause: status.CausePassFailed, Status: replication.Retrying, Text: "reason " + string(rune('a'+i%26)), Hint: "look at " + p.ID.String()}}
			r.Note = r.Reasons[0].Text
		}
		s.Pairs = append(s.Pairs, r)
	}
	return s
}

func manyPairs(orgs int) []app.Pair {
	var names []string
	for i := range orgs {
		names = append(names, fmt.Sprintf("team-%02d", i))
	}
	return fleet("af ap au eu sa us", strings.Join(names, " "))
}

func TestAPageIsCutToAnyHeight(t *testing.T) {
	all := manyPairs(40)
	rapid.Check(t, func(t *rapid.T) {
		height, columns := rapid.IntRange(3, 60).Draw(t, "height"), rapid.IntRange(40, 130).Draw(t, "columns")
		s := snapshotOf(all[:rapid.IntRange(1, len(all)).Draw(t, "pairs")], rapid.IntRange(1, 100).Draw(t, "every"), time.Now())
		o := &ui.Output{Format: ui.Table, OutTTY: true, Size: func() ui.Size { return ui.Size{Columns: columns, Lines: height} }}
		p := View{All: rapid.Bool().Draw(t, "all")}.page(o, s)
		whole, cut := p.lines(), p.cut(height)
		if len(cut) > height {
			t.Fatalf("%d lines in a height of %d", len(cut), height)
		}
		shown, more := 0, 0
		for _, line := range cut {
			if strings.Contains(string(line), " more") && !strings.Contains(string(line), " more note") {
				_, _ = fmt.Sscanf(string(line), "… and %d more", &more)
			}
			merged := 0
			if _, err := fmt.Sscanf(string(line), "%d org", &merged); err == nil { // "organizations", which a narrow column shortens
				shown += merged
			}
			if strings.HasPrefix(string(line), "team-") && !strings.Contains(string(line), ":") {
				shown++
			}
		}
		of := 0
		for _, n := range p.pairs {
			of += n
		}
		if height-len(p.top) > 6 && shown+more != of {
			t.Fatalf("%d pairs are shown and %d are said to be more, of %d\n%s", shown, more, of, cut)
		}
		if len(whole) <= height && len(whole) != len(cut) {
			t.Fatalf("%d lines of %d, though they fit into %d", len(cut), len(whole), height)
		}
	})
}

// TestASinglePairIsShown: whoever names a pair wants to see it, however small the
// terminal is.
func TestASinglePairIsShown(t *testing.T) {
	s := snapshotOf(manyPairs(1)[:1], 2, time.Now())
	s.Pairs[0].Status, s.Pairs[0].Reasons, s.Pairs[0].Note = replication.Synced, nil, ""
	o := &ui.Output{Format: ui.Table, OutTTY: true, Size: func() ui.Size { return ui.Size{Columns: 60, Lines: 12} }}
	p := View{}.page(o, s)
	if len(p.rows) != 1 || p.hidden != "" || len(p.facts) == 0 {
		t.Errorf("%d rows, hidden %q, %d facts; want the pair with its facts", len(p.rows), p.hidden, len(p.facts))
	}
	if cut := p.cut(12); !slices.ContainsFunc(cut, func(l ui.Text) bool { return strings.HasPrefix(string(l), "team-00") }) {
		t.Errorf("--watch leaves it out:\n%s", cut)
	}
}

// A pipe has no screen, also where the shell exports the size of its terminal.
func TestAPipeHasAllPairs(t *testing.T) {
	all := manyPairs(40)
	size := func() ui.Size { return ui.Size{Columns: 80, Lines: 24} }
	for _, tty := range []bool{true, false} {
		p := View{}.page(&ui.Output{Format: ui.Table, OutTTY: tty, Size: size}, snapshotOf(all, len(all), time.Now()))
		want := len(all)
		if tty {
			want = 1
		}
		if len(p.rows) != want {
			t.Errorf("terminal %v: %d rows, want %d", tty, len(p.rows), want)
		}
	}
}

func TestWatchDrawsWithinTheScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		all := manyPairs(40)
		var out bytes.Buffer
		size := ui.Size{Columns: 50, Lines: 20}
		env := cmdline.NewEnv(cmdline.Streams{Out: &out, Err: &out, OutTTY: true, OutSize: func() ui.Size { return size }, Now: time.Now,
			LookupEnv: func(name string) (string, bool) {
				if name == "NO_COLOR" {
					return "1", true
				}
				return "", false
			}})
		frames := 0
		err := View{}.Watch(ctx, env, 5*time.Second, func(context.Context) (Snapshot, error) {
			if frames++; frames == 3 {
				size = ui.Size{Columns: 40, Lines: 10} // as of a window that is made smaller
			}
			if frames == 4 {
				stop()
			}
			return snapshotOf(all, 3, time.Now()), nil
		})
		text := out.String()
		if err != nil || frames != 4 || !strings.HasPrefix(text, enterScreen) || !strings.HasSuffix(text, leaveScreen) {
			t.Fatalf("error %v after %d frames, %q", err, frames, text)
		}
		text = strings.TrimSuffix(strings.TrimPrefix(text, enterScreen), leaveScreen)
		if strings.Contains(text, "\x1b[2J") {
			t.Error("the screen is cleared, which flickers")
		}
		shown := strings.Split(text, home)[1:]
		if len(shown) != 3 {
			t.Fatalf("%d frames", len(shown))
		}
		for i, frame := range shown {
			lines := strings.Split(strings.TrimSuffix(frame, clearBelow), "\r\n")
			columns, height := 50, 20
			if i == 2 {
				columns, height = 40, 10
			}
			if len(lines) != height {
				t.Errorf("%d lines in a height of %d:\n%s", len(lines), height, frame)
			}
			at := time.Date(2000, 1, 1, 0, 0, 5*i, 0, time.UTC).Format("2006-01-02 15:04:05")
			if !strings.HasPrefix(lines[0], "sync-status at "+at) {
				t.Errorf("title %q, want the time %s in it", lines[0], at)
			}
			if !strings.Contains(frame, "… and ") {
				t.Errorf("nothing says what isn't shown:\n%s", frame)
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, clearLine)); n > columns || !strings.HasSuffix(line, clearLine) {
					t.Errorf("%d characters of %d in %q", n, columns, line)
				}
			}
		}
	})
}

func TestWatchInAPipeIsOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var out bytes.Buffer
		env := cmdline.NewEnv(cmdline.Streams{Out: &out, Err: &out, Now: time.Now, LookupEnv: func(string) (string, bool) { return "", false }})
		frames := 0
		err := View{}.Watch(ctx, env, time.Minute, func(context.Context) (Snapshot, error) {
			if frames++; frames == 3 {
				stop()
			}
			return snapshotOf(manyPairs(1), 1, time.Now()), errors.New("one record is damaged")
		})
		if text := out.String(); err != nil || strings.Contains(text, "\x1b") || strings.Count(text, "\nteam-00 ") != 12 ||
			!strings.Contains(text, "\n\nsync-status at 2000-01-01 00:01:00 UTC, every 1m\n") || strings.Count(text, "Error: one record is damaged\n") != 2 {
			t.Errorf("error %v, got\n%s", err, text)
		}
	})
}

func TestWatchEndsWhenNothingCanBeRead(t *testing.T) {
	var out bytes.Buffer
	env := cmdline.NewEnv(cmdline.Streams{Out: &out, Err: &out, Now: time.Now, LookupEnv: func(string) (string, bool) { return "", false }})
	closed := errors.New("closed")
	if err := (View{}).Watch(t.Context(), env, time.Minute, func(context.Context) (Snapshot, error) { return Snapshot{}, closed }); !errors.Is(err, closed) {
		t.Errorf("error %v", err)
	}
}
