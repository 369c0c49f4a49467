package invoke

import (
	"context"
	"sync"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// atOnce bounds the pairs that are started at once.
const atOnce = 8

// Pairs starts a pass of each pair that reads an organization. A pair that can't be
// started is left to the manager's next turn.
func Pairs(ctx context.Context, e *environment.Environment, api API, fleet *assembly.Fleet, org string, trigger replication.Trigger) {
	source, err := fleet.Source(org)
	if err != nil {
		return
	}
	var all sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for _, id := range source.Pairs {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			if err := startPair(ctx, e, api, fleet, id, trigger); err != nil {
				e.Log.Warn("a pair can't be started; the manager does it", "pair", id.String(), "error", err.Error(), "hint", fault.HintOf(err))
			}
		})
	}
	all.Wait()
}

// startPair invokes the function of a pair, unless the pair is stopped or a pass is
// running. That pass looks again when it is done (functions/sync), so a thousand
// changes in a row don't invoke it a thousand times.
func startPair(ctx context.Context, e *environment.Environment, api API, fleet *assembly.Fleet, id replication.PairID, trigger replication.Trigger) error {
	state, err := fleet.State(ctx)
	if err != nil {
		return err
	}
	pair, err := state.Pair(ctx, id)
	if err != nil {
		return err
	}
	if pair.Lease.HeldAt(e.Now()) || pair.Desired.Stopped {
		return nil
	}
	return Send(ctx, api, e.Resources.Sync, cloud.SyncEvent{Pair: id, Trigger: trigger})
}
