package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// LogStore takes log lines. [SQLite] is one.
type LogStore interface {
	AppendLogs(ctx context.Context, lines []LogLine) error
}

// LogOptions tune a [LogHandler]. Zero fields mean what their comments say.
type LogOptions struct {
	Level slog.Leveler    // the least level that is kept: Info
	Every time.Duration   // the longest that a line waits to be written: a second
	Batch int             // so many waiting lines are written at once: 500
	Queue int             // so many lines may wait; what comes then is lost: 20,000
	Warn  func(err error) // told once when the store fails, until it works again: nobody
}

// LogHandler is a [slog.Handler] that writes to a [LogStore] in the background.
// A slow or failing store never holds up who logs: lines wait, and when too many
// wait, new ones are lost and counted.
//
// It keeps values out of the log: of attributes it takes those of the fixed keys
// (pair, run, kind, object, action, seq, outcome, error) and short scalars under
// any other key. Anything else, such as bytes, maps, structs, and text that is
// long, of several lines or looks like JSON, is left out, and its key is listed
// under "refused". Groups become prefixes: "group.key".
type LogHandler struct {
	out    *logWriter
	level  slog.Leveler
	prefix string
	preset lineAttrs
}

var _ slog.Handler = (*LogHandler)(nil)

// NewLogHandler starts a handler. Close it to write what waits.
func NewLogHandler(store LogStore, o LogOptions) *LogHandler {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Batch <= 0 {
		o.Batch = 500
	}
	if o.Queue <= 0 {
		o.Queue = 20_000
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	w := &logWriter{store: store, o: o, full: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return &LogHandler{out: w, level: o.Level}
}

// Enabled implements [slog.Handler].
func (h *LogHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements [slog.Handler]. It returns at once, and an error only when
// the line was lost.
func (h *LogHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := h.preset.clone()
	r.Attrs(func(a slog.Attr) bool {
		attrs.add(h.prefix, a)
		return true
	})
	return h.out.add(attrs.line(r))
}

// WithAttrs implements [slog.Handler].
func (h *LogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.preset = h.preset.clone()
	for _, a := range attrs {
		next.preset.add(h.prefix, a)
	}
	return &next
}

// WithGroup implements [slog.Handler].
func (h *LogHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.prefix += name + "."
	return &next
}

// Close writes what waits and stops the handler. The error is that of the last
// write. Lines that come later are lost.
func (h *LogHandler) Close() error { return h.out.close() }

var (
	errLogQueueFull = errors.New("too many log lines wait to be written")
	errLogClosed    = errors.New("the log is closed")
)

// writeTimeout is how long one write of the log may take.
const writeTimeout = 15 * time.Second

type logWriter struct {
	store LogStore
	o     LogOptions
	full  chan struct{} // a batch waits
	stop  chan struct{}
	done  chan struct{}

	mu     sync.Mutex
	queue  []LogLine
	lost   int
	closed bool

	// Of run alone, and of close after it.
	warned bool
	last   error
}

func (w *logWriter) add(l LogLine) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return errLogClosed
	case len(w.queue) >= w.o.Queue:
		w.lost++
		return errLogQueueFull
	}
	w.queue = append(w.queue, l)
	if len(w.queue) >= w.o.Batch {
		select {
		case w.full <- struct{}{}:
		default:
		}
	}
	return nil
}

func (w *logWriter) run() {
	defer close(w.done)
	tick := time.NewTicker(w.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.flush()
		case <-w.full:
			if !w.warned { // a failing store is tried once a tick
				w.flush()
			}
		case <-w.stop:
			w.flush()
			return
		}
	}
}

func (w *logWriter) close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	if first {
		close(w.stop)
	}
	<-w.done
	return w.last
}

// flush writes all that waits. Lines that can't be written wait on, in front.
func (w *logWriter) flush() {
	w.mu.Lock()
	lines, lost := w.queue, w.lost
	w.queue, w.lost = nil, 0
	w.mu.Unlock()
	if len(lines) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	write := lines
	if lost > 0 {
		newest := lines[len(lines)-1]
		write = append(slices.Clone(lines), LogLine{Time: newest.Time, Level: slog.LevelWarn, Message: fmt.Sprintf("%d log lines were lost: they came faster than they could be written", lost)})
	}
	w.last = w.store.AppendLogs(ctx, write)
	if w.last == nil {
		w.warned = false
		return
	}
	if !w.warned {
		w.warned = true
		w.o.Warn(fmt.Errorf("log lines are not being kept: %w", w.last))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(lines, w.queue...)
	w.lost += lost
	if over := len(w.queue) - w.o.Queue; over > 0 {
		w.queue = w.queue[:w.o.Queue]
		w.lost += over
	}
}
