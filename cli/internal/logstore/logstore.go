// Package logstore keeps the log that sync-log and manager-log show: in a SQLite file
// on one machine ([SQLite]), or in CloudWatch Logs for a stack (package cloudwatch).
// [Handler] writes to either in the background.
package logstore

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"chefsync/pkg/replication"
)

// Line is one line of the log.
type Line struct {
	ID      int64              `json:"id"` // given by the store, growing
	Time    time.Time          `json:"time"`
	Level   slog.Level         `json:"level"`
	Message string             `json:"msg"`
	Pair    replication.PairID `json:"pair,omitzero"` // zero: of the manager
	Run     string             `json:"run,omitempty"`
	Object  string             `json:"object,omitempty"` // the path of an object
	// Attrs is a JSON object of the other attributes, in the order in which they
	// were given; empty for none.
	Attrs json.RawMessage `json:"attrs,omitempty"`
}

// Query selects lines. Zero fields select everything.
type Query struct {
	Pairs   []replication.PairID
	Manager bool // only lines that belong to no pair
	Since   time.Time
	Level   *slog.Level // at least this level
	Object  string      // the path of an object
	Run     string
	Limit   int // at most this many lines, the newest; below 1 means no limit
}

// Store is a log.
type Store interface {
	// Append writes lines at the end of the log. Their IDs are ignored. One
	// goroutine calls it.
	Append(ctx context.Context, lines []Line) error
	// NewReader returns a reader of the lines that a query selects, for one goroutine.
	NewReader(q Query) Reader
	Close() error
}

// Reader reads a log once, or follows it.
type Reader interface {
	// Lines returns the lines, oldest first and with growing IDs. A limit takes the
	// newest ones. Each further call returns the lines that have come since, whatever
	// the limit.
	Lines(ctx context.Context) ([]Line, error)
	// Window is how far back lines are read where a query gives no time; 0 means
	// all of them.
	Window() time.Duration
	// PollInterval is the time between two calls of Lines by who follows the log.
	PollInterval() time.Duration
}
