package app

import (
	"io"
	"log/slog"

	"chefsync/cli/internal/logstore"
)

// LogStore is the log that sync-log and manager-log show.
func (a *App) LogStore() logstore.Store {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.logs != nil:
	case a.Stack != nil:
		a.logs = a.Stack.Log(a.owner, a.Pairs(), a.Now)
	default:
		a.logs = logstore.NewSQLite(logstore.PathFor(a.files.statePath))
	}
	return a.logs
}

// KeepLog also writes what is logged from now on to the log store.
func (a *App) KeepLog() {
	store := a.LogStore()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.logHandler != nil {
		return
	}
	stderr := a.Log
	a.logHandler = logstore.NewHandler(store, func(err error) { stderr.Warn("the log can't be kept", "error", err.Error()) })
	a.Log = slog.New(slog.NewMultiHandler(stderr.Handler(), a.logHandler))
}

// LogOptions say how the log on stderr looks.
type LogOptions struct {
	Stderr io.Writer
	Format string                    // text or json; with Print it isn't used
	Print  func(logstore.Line) error // writes a line for a terminal; nil for Stderr in Format
	Level  string                    // "" means the configuration's for a daemon, else warn
	Daemon bool
}

// LogOff is the level that shows nothing.
const LogOff = "off"

func (o LogOptions) newHandler(configured string) slog.Handler {
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
	if o.Print != nil {
		return logstore.NewLineHandler(level, o.Print)
	}
	opts := &slog.HandlerOptions{Level: level}
	if o.Format == "json" {
		return slog.NewJSONHandler(o.Stderr, opts)
	}
	return slog.NewTextHandler(o.Stderr, opts)
}
