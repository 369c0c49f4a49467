package pairstatus

import (
	"cmp"
	"context"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
)

// Snapshot is what is recorded of pairs, their servers, and the processes that run passes.
type Snapshot struct {
	At        time.Time
	Rows      []PairRow
	Servers   []ServerRow
	Processes Processes
	all       []app.Pair // of the configuration
}

// Read returns a snapshot of pairs. With an error it holds what could be read.
func Read(ctx context.Context, a *app.App, pairs []app.Pair, now time.Time) (Snapshot, error) {
	s := Snapshot{At: now, all: a.Pairs()}
	var unread, failed error
	s.Servers, unread = ReadServers(ctx, a, pairs, now)
	s.Rows, failed = ReadPairs(ctx, a, pairs, s.Servers, now)
	if failed = cmp.Or(failed, unread); failed != nil && len(s.Rows) == 0 {
		return s, failed
	}
	var err error
	s.Processes, err = ReadProcesses(ctx, a, now)
	return s, exit.Join(failed, err)
}
