package pairstatus

import (
	"context"
	"slices"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/status"
)

// Snapshot is what is recorded of pairs, their servers, and the processes that run passes.
type Snapshot struct {
	At time.Time
	Fleet
	Processes Processes
	StateFile string // "" on a stack
}

// Read returns a snapshot of pairs. With an error it holds what could be read.
func Read(ctx context.Context, a *app.App, pairs []app.Pair, now time.Time) (Snapshot, error) {
	s := Snapshot{At: now}
	if a.Stack == nil {
		s.StateFile = a.StatePath
	}
	var failed, unknown error
	s.Fleet, failed = readFleet(ctx, a, pairs, pairs, now)
	if failed != nil && len(s.Pairs) == 0 {
		return s, failed
	}
	s.Processes, unknown = ReadProcesses(ctx, a, now)
	return s, exit.Join(failed, unknown)
}

// stateIsNew reports whether nothing is recorded of any pair of the configuration: the state
// file is new, was lost, or is another one than before.
func (s Snapshot) stateIsNew() bool {
	return s.StateFile != "" && len(s.Pairs) > 0 && len(s.Pairs) == len(s.all) && !slices.ContainsFunc(s.Pairs, func(r PairRow) bool {
		return !slices.ContainsFunc(r.Reasons, func(why status.Reason) bool { return why.Cause == status.CauseNeverRun })
	})
}
