package pairstatus

import (
	"context"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
)

// Snapshot is what is recorded of pairs, their servers, and the processes that run passes.
type Snapshot struct {
	At time.Time
	Fleet
	Processes Processes
	all       []app.Pair // of the configuration
}

// Read returns a snapshot of pairs. With an error it holds what could be read.
func Read(ctx context.Context, a *app.App, pairs []app.Pair, now time.Time) (Snapshot, error) {
	s := Snapshot{At: now, all: a.Pairs()}
	var failed, unknown error
	s.Fleet, failed = readFleet(ctx, a, pairs, pairs, now)
	if failed != nil && len(s.Pairs) == 0 {
		return s, failed
	}
	s.Processes, unknown = ReadProcesses(ctx, a, now)
	return s, exit.Join(failed, unknown)
}
