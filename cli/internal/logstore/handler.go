package logstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// minLevel is the minimum level that is kept.
const minLevel = slog.LevelInfo

// limits say when waiting lines are written, and how many may wait.
type limits struct {
	interval time.Duration // the longest that a line waits
	batch    int           // the number of waiting lines that are written at once
	queue    int           // the number of lines that may wait; further ones are lost
}

func defaultLimits() limits { return limits{interval: time.Second, batch: 500, queue: 20_000} }

// appender is the part of a [Store] that a handler needs.
type appender interface {
	Append(ctx context.Context, lines []Line) error
}

// Handler is a [slog.Handler] that writes lines of level INFO and above to a [Store] in
// the background. A slow or failing store never holds up who logs: lines wait, and
// when too many wait, new ones are lost and counted.
//
// It keeps values out of the log: of attributes it takes those of the fixed keys
// (pair, run, kind, object, action, seq, outcome, error) and short scalars under
// any other key. Anything else, such as bytes, maps, structs, and text that is
// long, of several lines or looks like JSON, is left out, and its key is listed
// under "refused". Groups become prefixes: "group.key".
type Handler struct {
	slog.Handler
	out *writer
}

// NewHandler starts a handler. Close it to write what waits. It calls warn once when
// the store fails, and again when it fails after it has worked.
func NewHandler(store Store, warn func(error)) *Handler {
	return newHandler(store, defaultLimits(), warn)
}

func newHandler(store appender, l limits, warn func(error)) *Handler {
	w := &writer{store: store, limits: l, warn: warn, full: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go w.writeBatches()
	return &Handler{out: w, Handler: &lineHandler{level: minLevel, write: w.enqueueLine}}
}

// Close writes what waits and stops the handler. The error is that of the last
// write. Lines that come later are lost.
func (h *Handler) Close() error { return h.out.closeQueue() }

var (
	errQueueFull = errors.New("too many log lines are waiting to be written")
	errClosed    = errors.New("the log is closed")
)

// writeTimeout is how long one write of the log may take.
const writeTimeout = 15 * time.Second

// writer is the queue of lines of a handler, and the goroutine that writes them.
type writer struct {
	store  appender
	limits limits
	warn   func(error)
	full   chan struct{} // a batch waits
	stop   chan struct{}
	done   chan struct{}

	mu     sync.Mutex
	queue  []Line
	lost   int
	closed bool

	// Of run alone, and of close after it.
	warned bool
	last   error
}

func (w *writer) enqueueLine(l Line) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return errClosed
	case len(w.queue) >= w.limits.queue:
		w.lost++
		return errQueueFull
	}
	w.queue = append(w.queue, l)
	if len(w.queue) >= w.limits.batch {
		select {
		case w.full <- struct{}{}:
		default:
		}
	}
	return nil
}

func (w *writer) writeBatches() {
	defer close(w.done)
	tick := time.NewTicker(w.limits.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.writeQueue()
		case <-w.full:
			if !w.warned { // a failing store is tried once a tick
				w.writeQueue()
			}
		case <-w.stop:
			w.writeQueue()
			return
		}
	}
}

func (w *writer) closeQueue() error {
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

// writeQueue writes all that waits. Lines that can't be written wait on, in front.
func (w *writer) writeQueue() {
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
		write = append(slices.Clone(lines), Line{Time: newest.Time, Level: slog.LevelWarn,
			Message: fmt.Sprintf("%d log lines were lost: they came faster than they could be written", lost)})
	}
	w.last = w.store.Append(ctx, write)
	if w.last == nil {
		w.warned = false
		return
	}
	if !w.warned {
		w.warned = true
		w.warn(fmt.Errorf("log lines are not being kept: %w", w.last))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(lines, w.queue...)
	w.lost += lost
	if over := len(w.queue) - w.limits.queue; over > 0 {
		w.queue = w.queue[:w.limits.queue]
		w.lost += over
	}
}
