package control

import (
	"context"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/pkg/replication"
)

// StopTimeout is longer than a lease, so that the lease of a process that died ends in it.
const StopTimeout = 2 * time.Minute

// StopPairs stops each pair, whatever becomes of the others, and returns an answer for
// each that is stopped.
func StopPairs(ctx context.Context, env *cmdline.Env, state replication.State, pairs []app.Pair, reason string) ([]Answer, error) {
	var answers []Answer
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		st, err := state.Pair(ctx, p.ID)
		if err != nil {
			return app.WrapPair(p.ID, err)
		}
		d := replication.DesiredChange{Stop: new(true), At: env.Now()}
		result := ResultStopped
		if st.Desired.Stopped {
			result = ResultAlreadyStopped
		}
		if reason != "" || !st.Desired.Stopped {
			d.Reason = &reason
		}
		if err := state.ChangeDesired(ctx, p.ID, d); err != nil {
			return app.WrapPair(p.ID, err)
		}
		answers = append(answers, Answer{p.ID, result, replication.Stopped})
		return nil
	})
	return answers, failed
}
