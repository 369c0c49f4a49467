package cli

import (
	"context"
	"fmt"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/replication"
)

// pollEvery is how often a waiting command looks at the state.
const pollEvery = 200 * time.Millisecond

// wait polls until done says so, or fails when the time that is left of a timeout
// is over.
func wait(ctx context.Context, left, timeout time.Duration, what string, done func(context.Context) (bool, error)) error {
	deadline := time.NewTimer(left)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return exit.With(exit.Temporary, fmt.Errorf("%s did not happen within %s", what, timeout), "look at it with: chef-sync-ctl sync-status")
		case <-tick.C:
		}
	}
}

// waitEach waits for each of the pairs, all in the same time, also when another
// fails.
func waitEach(ctx context.Context, pairs []app.Pair, timeout time.Duration, what string, done func(context.Context, replication.PairID) (bool, error)) error {
	end := time.Now().Add(timeout)
	return app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		return wait(ctx, time.Until(end), timeout, what+p.ID.String(), func(ctx context.Context) (bool, error) { return done(ctx, p.ID) })
	})
}
