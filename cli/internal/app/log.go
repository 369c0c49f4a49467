package app

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"chefsync/cli/internal/stack"
	"chefsync/pkg/state"
)

// Log is what sync-log and manager-log read.
type Log interface {
	// Lines returns the lines that one of the queries selects, oldest first and
	// with growing IDs. All calls are given the same queries. A limit takes the
	// newest lines. Each further call returns the lines that have come since,
	// whatever the limit.
	Lines(ctx context.Context, queries ...state.LogQuery) ([]state.LogLine, error)
}

// ReadLog opens the log. It belongs to one reader. Window is how far back it is
// read where no time is asked for, 0 for all of it; every is how often a reader
// that follows may look.
func (a *App) ReadLog(ctx context.Context) (l Log, window, every time.Duration, err error) {
	if a.Stack != nil {
		return a.Stack.Logs(a.Pairs(), a.Now), stack.LogWindow, stack.LogEvery, nil
	}
	s, err := a.files.open(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	return &fileLog{read: s.Logs}, 0, fileLogEvery, nil
}

// fileLogEvery is how often the log on this machine is looked at.
const fileLogEvery = 500 * time.Millisecond

// fileLog reads the log beside a state file. Each query has a place of its own up
// to which it was answered: between two of them other processes write.
type fileLog struct {
	read func(context.Context, state.LogQuery) ([]state.LogLine, error)
	last []int64 // of each query; nil before the first call
}

// Lines implements Log.
func (f *fileLog) Lines(ctx context.Context, queries ...state.LogQuery) ([]state.LogLine, error) {
	lines := []state.LogLine{}
	limit, last := 0, make([]int64, len(queries))
	for i, q := range queries {
		if f.last != nil {
			q.AfterID, q.Limit = f.last[i], 0
			last[i] = f.last[i]
		}
		got, err := f.read(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(got) > 0 {
			last[i] = got[len(got)-1].ID
		}
		lines, limit = append(lines, got...), q.Limit
	}
	f.last = last
	slices.SortFunc(lines, func(a, b state.LogLine) int { return cmp.Compare(a.ID, b.ID) })
	if limit > 0 && len(lines) > limit {
		lines = lines[len(lines)-limit:]
	}
	return lines, nil
}

// KeepLog also writes the log where sync-log and manager-log find it from now on,
// and returns the logger.
func (a *App) KeepLog(ctx context.Context) (*slog.Logger, error) {
	var store state.LogStore
	if a.Stack != nil {
		store = a.Stack.KeepLog(a.owner)
	} else if s, err := a.files.open(ctx); err == nil {
		store = s
	} else {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.logs == nil {
		stderr := a.Log
		a.logs = state.NewLogHandler(store, state.LogOptions{Warn: func(err error) { stderr.Warn("the log can't be kept", "error", err.Error()) }})
		a.Log = slog.New(both{stderr.Handler(), a.logs})
	}
	return a.Log, nil
}

// LogOptions say how the log on stderr looks.
type LogOptions struct {
	Stderr io.Writer
	Format string // text or json
	Level  string // "" means the configuration's for a daemon, else warn
	Daemon bool
}

// LogOff is the level that shows nothing.
const LogOff = "off"

func (o LogOptions) handler(configured string) slog.Handler {
	word := o.Level
	if word == "" && o.Daemon {
		word = configured
	}
	if word == LogOff {
		return slog.DiscardHandler
	}
	level := slog.LevelWarn
	if word != "" {
		_ = level.UnmarshalText([]byte(word)) // checked with the flags or the configuration
	}
	opts := &slog.HandlerOptions{Level: level}
	if o.Format == "json" {
		return slog.NewJSONHandler(o.Stderr, opts)
	}
	return slog.NewTextHandler(o.Stderr, opts)
}

// both sends records to two handlers.
type both struct{ a, b slog.Handler }

func (h both) Enabled(ctx context.Context, l slog.Level) bool {
	return h.a.Enabled(ctx, l) || h.b.Enabled(ctx, l)
}

func (h both) Handle(ctx context.Context, r slog.Record) error {
	var failed error
	for _, each := range []slog.Handler{h.a, h.b} {
		if each.Enabled(ctx, r.Level) {
			if err := each.Handle(ctx, r.Clone()); err != nil {
				failed = err
			}
		}
	}
	return failed
}

func (h both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{h.a.WithAttrs(attrs), h.b.WithAttrs(attrs)}
}

func (h both) WithGroup(name string) slog.Handler {
	return both{h.a.WithGroup(name), h.b.WithGroup(name)}
}
