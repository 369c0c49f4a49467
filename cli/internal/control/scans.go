package control

import (
	"context"

	"chefsync/cli/internal/app"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// scannedState is the state of a stack, with the record of each pair as the newest scan
// of its source leaves it; see status.AsOfScan.
type scannedState struct {
	replication.State
	app *app.App
}

// StateAsOfScans is the state for commands that look at how pairs are now.
func StateAsOfScans(ctx context.Context, a *app.App) (replication.State, error) {
	state, err := a.State(ctx)
	if err != nil || a.Stack == nil {
		return state, err
	}
	return scannedState{state, a}, nil
}

// Pair implements replication.State.
func (s scannedState) Pair(ctx context.Context, id replication.PairID) (replication.PairState, error) {
	st, err := s.State.Pair(ctx, id)
	if err != nil || st.Progress.Feed != changelog.Name {
		return st, err
	}
	pairs, err := s.app.Select(id.String())
	if err != nil {
		return st, err
	}
	last, err := s.app.LastScan(ctx, pairs[0].SourceOrg)
	return status.AsOfScan(st, last), err
}
