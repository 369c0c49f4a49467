package invoke

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"golang.org/x/sync/errgroup"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// startConcurrency is how many pairs are started at once.
const startConcurrency = 8

// StartPairs starts a pass of each pair that reads an organization. A pair that can't be
// started is left to the next run of the manager.
func StartPairs(ctx context.Context, e *environment.Environment, client *lambda.Client, fleet *assembly.Fleet, org string, trigger replication.Trigger) {
	source, err := fleet.Source(org)
	if err != nil {
		return
	}
	var group errgroup.Group
	group.SetLimit(startConcurrency)
	for _, id := range source.Pairs {
		group.Go(func() error {
			if err := startPair(ctx, e, client, fleet, id, trigger); err != nil {
				e.Log.Warn("a pair can't be started; the manager does it", "pair", id.String(), "error", err.Error(), "hint", fault.HintOf(err))
			}
			return nil
		})
	}
	_ = group.Wait() // errors are logged
}

// startPair invokes the function of a pair, unless the pair is stopped or a pass is
// running. That pass looks again when it is done (functions/sync), so a thousand
// changes in a row don't invoke it a thousand times.
func startPair(ctx context.Context, e *environment.Environment, client *lambda.Client, fleet *assembly.Fleet,
	id replication.PairID, trigger replication.Trigger,
) error {
	pair, err := fleet.PairState(ctx, id)
	if err != nil {
		return err
	}
	if pair.Lease.HeldAt(e.Now()) || pair.Desired.Stopped {
		return nil
	}
	return Send(ctx, client, e.Resources.Sync, cloud.SyncEvent{Pair: id, Trigger: trigger})
}
