package ui

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"chefsync/pkg/replication"
)

// Progress shows how far the work on some pairs is: on a terminal in one status line,
// elsewhere in a line a minute.
type Progress struct {
	out    *Output
	line   *StatusLine
	amount int // of pairs

	mu    sync.Mutex
	began time.Time
	shown time.Time // when the line was written last
	ended bool
	pairs map[replication.PairID]*pairProgress
}

// pairProgress is how far one pair is.
type pairProgress struct {
	last    replication.ProgressEvent
	first   int       // what was done when the counting began
	since   time.Time // when that was
	objects int       // the most that was done
	written int       // objects that were written or deleted
	ended   bool
}

// NewProgress starts to show the work on n pairs.
func (o *Output) NewProgress(pairs int) *Progress {
	p := &Progress{out: o, line: o.NewStatusLine(), amount: pairs, pairs: map[replication.PairID]*pairProgress{}}
	p.began = o.Now()
	p.shown = p.began
	return p
}

// How often the status line is written, and a line where there is no terminal.
const (
	redrawEvery = 100 * time.Millisecond
	printEvery  = time.Minute
)

// Observe shows an event of the engine. It may be called concurrently.
func (p *Progress) Observe(e replication.ProgressEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	now := p.out.Now()
	p.pairOf(e.Pair).add(e, now)
	switch since := now.Sub(p.shown); {
	case p.line.IsShown() && (since >= redrawEvery || p.shown.Equal(p.began)):
		p.line.Set(p.format(e.Pair, now, p.line.width()))
	case !p.line.IsShown() && since >= printEvery && !p.out.IsData():
		p.out.Note("%s", p.format(e.Pair, now, 0))
	default:
		return
	}
	p.shown = now
}

// EndPair counts a pair as done.
func (p *Progress) EndPair(id replication.PairID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pairOf(id).ended = true
}

// End removes the line. Observe does nothing afterwards.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.line.Clear()
}

// Objects returns how many objects of a pair are done, of how many, and how many of them
// were written or deleted.
func (p *Progress) Objects(id replication.PairID) (done, total, written int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.pairs[id]; w != nil {
		return w.last.Done, w.last.Total, w.written
	}
	return 0, 0, 0
}

func (p *Progress) pairOf(id replication.PairID) *pairProgress {
	if p.pairs[id] == nil {
		p.pairs[id] = &pairProgress{}
	}
	return p.pairs[id]
}

func (w *pairProgress) add(e replication.ProgressEvent, now time.Time) {
	if e.Total != w.last.Total || e.Done < w.last.Done { // other work begins
		w.first, w.since = e.Done, now
	}
	w.last, w.objects = e, max(w.objects, e.Done)
	if e.Phase == replication.PhaseWrite || e.Phase == replication.PhaseDelete {
		w.written++
	}
}

// share is how much of a pair is done, from 0 to 1.
func (w *pairProgress) share() float64 {
	switch {
	case w.ended:
		return 1
	case w.last.Total == 0:
		return 0
	}
	return float64(w.last.Done) / float64(w.last.Total)
}

// state is what a line says.
type state struct {
	what    string
	share   float64
	counts  string
	bytes   int64
	rate    float64 // objects a second
	left    time.Duration
	leftSet bool
}

// stateOf collects what there is to say, with the pair that the newest event is of.
func (p *Progress) stateOf(id replication.PairID, now time.Time) state {
	w := p.pairs[id]
	s := state{what: id.String() + ": " + string(w.last.Phase), bytes: w.last.Bytes}
	if p.amount <= 1 {
		s.share = w.share()
		s.counts = objectCounts(w.last.Done, w.last.Total)
		if took := now.Sub(w.since).Seconds(); took >= 1 {
			s.rate = float64(w.last.Done-w.first) / took
		}
		if s.rate > 0 {
			s.left, s.leftSet = time.Duration(float64(w.last.Total-w.last.Done)/s.rate*float64(time.Second)), true
		}
		return s
	}
	done, objects := 0, 0
	s.bytes = 0
	for _, w := range p.pairs {
		s.share += w.share() / float64(p.amount)
		objects += w.objects
		s.bytes += w.last.Bytes
		if w.ended {
			done++
		}
	}
	s.what = fmt.Sprintf("%s/%s pairs, %s", Number(done), Number(p.amount), s.what)
	s.counts = objectCounts(objects, 0)
	if took := now.Sub(p.began); took >= time.Second {
		s.rate = float64(objects) / took.Seconds()
		if s.share > 0 {
			s.left, s.leftSet = time.Duration(float64(took)*(1-s.share)/s.share), true
		}
	}
	return s
}

func objectCounts(done, total int) string {
	switch {
	case total > 0:
		return Number(done) + "/" + Number(total) + " objects"
	case done > 0:
		return Number(done) + " objects"
	}
	return ""
}

// The width of the bar.
const (
	shortestBar = 6
	longestBar  = 24
)

// format returns a line of at most this width; 0 is any, and a line without a bar. What has
// no room is left out, from the end.
func (p *Progress) format(id replication.PairID, now time.Time, width int) string {
	s := p.stateOf(id, now)
	var words []string
	if s.counts != "" {
		words = append(words, s.counts)
	}
	if s.bytes > 0 {
		words = append(words, Bytes(s.bytes))
	}
	if s.rate > 0 {
		words = append(words, formatRate(s.rate))
	}
	if s.leftSet {
		words = append(words, "ETA "+Span(s.left))
	}
	what := s.what
	if s.share > 0 {
		what += fmt.Sprintf(" %d%%", int(100*s.share))
	}
	for {
		rest := Prefixed(" ", strings.Join(words, ", "))
		if width == 0 {
			return what + Prefixed(",", rest)
		}
		free := width - utf8.RuneCountInString(what+rest) - len(" []")
		switch {
		case s.share > 0 && free >= shortestBar:
			return what + " " + bar(s.share, min(free, longestBar)) + rest
		case free >= -len(" []") || len(words) == 0:
			return what + rest
		}
		words = words[:len(words)-1]
	}
}

func bar(share float64, width int) string {
	full := int(share * float64(width))
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]"
}

func formatRate(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f/s", rate)
	}
	return Number(int(rate)) + "/s"
}
