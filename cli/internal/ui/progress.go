package ui

import (
	"fmt"
	"sync"
	"time"

	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// Progress is one status line on a terminal, written over itself. Where stderr
// is no terminal it writes nothing.
type Progress struct {
	out   *Output
	label string

	mu    sync.Mutex
	shown int // characters on the line
	last  time.Time
	done  bool
}

// Progress starts a status line.
func (o *Output) Progress(label string) *Progress {
	return &Progress{out: o, label: label, done: !o.ErrTTY || o.Quiet}
}

// Observe shows an event of the engine. It may be called concurrently.
func (p *Progress) Observe(e replication.ProgressEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.out.Now()
	if p.done || now.Sub(p.last) < 100*time.Millisecond && e.Done != e.Total {
		return
	}
	p.last = now
	line := p.label + ": " + string(e.Phase)
	switch {
	case e.Total > 0:
		line += fmt.Sprintf(" %d/%d (%d%%)", e.Done, e.Total, 100*e.Done/e.Total)
	case e.Done > 0:
		line += fmt.Sprintf(" %d", e.Done)
	}
	if e.Ref != (object.Ref{}) {
		line += " " + e.Ref.Path()
	}
	p.writeLine(string(Safe(line)))
}

// usualWidth is the longest line where the width of the terminal is unknown.
const usualWidth = 78

// writeLine cuts the line to the terminal: a wrapped one can't be written over. The
// last column stays free, since some terminals wrap when it is filled.
func (p *Progress) writeLine(line string) {
	limit := usualWidth
	if p.out.ErrWidth != nil {
		if columns := p.out.ErrWidth(); columns > 0 {
			limit = min(limit, columns-1)
		}
	}
	switch runes := []rune(line); {
	case limit < 1:
		line = ""
	case len(runes) > limit:
		line = string(runes[:limit-1]) + "…"
	}
	fmt.Fprintf(p.out.Err, "\r\x1b[K%s", line)
	p.shown = len(line)
}

// End removes the line. Observe does nothing afterwards.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown > 0 {
		fmt.Fprint(p.out.Err, "\r\x1b[K")
		p.shown = 0
	}
	p.done = true
}
