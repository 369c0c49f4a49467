package logstore

import (
	"context"
	"log/slog"
)

// lineHandler hands each record over as a line.
type lineHandler struct {
	level  slog.Level
	write  func(Line) error
	prefix string
	preset lineAttrs
}

// NewLineHandler returns a [slog.Handler] that hands each record of at least a level over as
// a line, with what a [Handler] keeps of it.
func NewLineHandler(level slog.Level, write func(Line) error) slog.Handler {
	return &lineHandler{level: level, write: write}
}

// Enabled implements [slog.Handler].
func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// Handle implements [slog.Handler].
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := h.preset.cloneAttrs()
	r.Attrs(func(a slog.Attr) bool {
		attrs.addAttr(h.prefix, a)
		return true
	})
	return h.write(attrs.newLine(r))
}

// WithAttrs implements [slog.Handler].
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.preset = h.preset.cloneAttrs()
	for _, a := range attrs {
		next.preset.addAttr(h.prefix, a)
	}
	return &next
}

// WithGroup implements [slog.Handler].
func (h *lineHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.prefix += name + "."
	return &next
}
