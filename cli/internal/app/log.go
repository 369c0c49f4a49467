package app

import (
	"context"
	"io"
	"log/slog"

	"chefsync/pkg/state"
)

// KeepLog also writes the log into the state from now on, for sync-log and
// manager-log, and returns the logger.
func (a *App) KeepLog(ctx context.Context) (*slog.Logger, error) {
	store, err := a.Logs(ctx)
	if err != nil {
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
