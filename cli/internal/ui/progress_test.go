package ui_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// terminal is what a terminal of the given width shows, with a clock that the test moves.
type terminal struct {
	bytes.Buffer
	now time.Time
	out *ui.Output
}

func newTerminal(columns int) *terminal {
	t := &terminal{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	t.out = &ui.Output{Err: ui.NewLineWriter(&t.Buffer), ErrTTY: true, Format: ui.Table, Now: func() time.Time { return t.now },
		ErrWidth: func() int { return columns }}
	return t
}

// screen applies what was written: lines, and erasures of the last one.
func (t *terminal) screen() string {
	var lines []string
	for line := range strings.SplitSeq(t.String(), "\n") {
		parts := strings.Split(line, "\r\x1b[K")
		lines = append(lines, parts[len(parts)-1])
	}
	return strings.Join(lines, "\n")
}

var eu, us = replication.PairID{Replica: "eu", Org: "big"}, replication.PairID{Replica: "us", Org: "big"}

func TestProgressOfAPairShowsTotalsRateAndTimeLeft(t *testing.T) {
	for columns, want := range map[int]string{
		120: "eu/big: writing 23% [=====                   ] 1,200/5,050 objects, 12.0 MiB, 120/s, ETA 32s",
		80:  "eu/big: writing 23% [==         ] 1,200/5,050 objects, 12.0 MiB, 120/s, ETA 32s",
		60:  "eu/big: writing 23% 1,200/5,050 objects, 12.0 MiB, 120/s",
		20:  "eu/big: writing 23%",
		12:  "eu/big: wr…",
	} {
		s := newTerminal(columns)
		p := s.out.NewProgress(1)
		p.Observe(replication.ProgressEvent{Pair: eu, Phase: replication.PhaseWrite, Total: 5050})
		s.now = s.now.Add(10 * time.Second)
		p.Observe(replication.ProgressEvent{Pair: eu, Phase: replication.PhaseWrite, Done: 1200, Total: 5050, Bytes: 12 << 20})
		if got := s.screen(); got != want || utf8.RuneCountInString(got) >= columns {
			t.Errorf("%d columns: got %q, want %q", columns, got, want)
		}
		p.End()
		p.Observe(replication.ProgressEvent{Pair: eu, Phase: "late"})
		if got := s.screen(); got != "" {
			t.Errorf("the end leaves %q", got)
		}
	}
}

func TestProgressOfSeveralPairsIsOneLine(t *testing.T) {
	s := newTerminal(100)
	p := s.out.NewProgress(4)
	for _, id := range []replication.PairID{eu, us} {
		p.Observe(replication.ProgressEvent{Pair: id, Phase: replication.PhaseWrite, Total: 100})
	}
	p.EndPair(eu)
	s.now = s.now.Add(10 * time.Second)
	p.Observe(replication.ProgressEvent{Pair: us, Phase: replication.PhaseWrite, Done: 50, Total: 100})
	want := "1/4 pairs, us/big: writing 37% [=========               ] 50 objects, 5.0/s, ETA 17s"
	if got := s.screen(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheStatusIsErasedBeforeOtherLines(t *testing.T) {
	s := newTerminal(80)
	p := s.out.NewProgress(1)
	p.Observe(replication.ProgressEvent{Pair: eu, Phase: replication.PhaseRead, Done: 1, Total: 4})
	slog.New(slog.NewTextHandler(s.out.Err, nil)).Error("the pass failed")
	s.out.Note("a note")
	lines := strings.Split(s.screen(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "time=") || lines[1] != "a note" || !strings.HasPrefix(lines[2], "eu/big: reading 25%") {
		t.Errorf("got %q", lines)
	}
	fmt.Fprint(s.out.Err, "Go on? [y/N] ") // a question stays the last line
	if got := s.screen(); !strings.HasSuffix(got, "\nGo on? [y/N] ") {
		t.Errorf("got %q", got)
	}
}

func TestWithoutATerminalProgressIsALineAMinute(t *testing.T) {
	s := newTerminal(80)
	s.out.ErrTTY = false
	p := s.out.NewProgress(1)
	for i := range 150 {
		p.Observe(replication.ProgressEvent{Pair: eu, Phase: replication.PhaseWrite, Done: i, Total: 600})
		s.now = s.now.Add(time.Second)
	}
	p.End()
	want := "eu/big: writing 10%, 60/600 objects, 1.0/s, ETA 9m\neu/big: writing 20%, 120/600 objects, 1.0/s, ETA 8m\n"
	if s.String() != want {
		t.Errorf("got %q, want %q", s.String(), want)
	}
	s.Reset()
	s.out.Format = ui.JSON
	p = s.out.NewProgress(1)
	s.now = s.now.Add(time.Hour)
	p.Observe(replication.ProgressEvent{Pair: eu, Phase: replication.PhaseWrite, Done: 1, Total: 600})
	if s.String() != "" {
		t.Errorf("beside data it writes %q", s.String())
	}
}
