package control

import (
	"context"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// ChangePairs changes the desired state of each pair as decide says by its record, whatever
// becomes of the others. It returns the answers of those that were changed.
func ChangePairs(ctx context.Context, a *app.App, pairs []app.Pair,
	decide func(p app.Pair, st replication.PairState) (Answer, replication.DesiredChange, error)) ([]Answer, error) {
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	var answers []Answer
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		st, err := readPair(ctx, a, p)
		if err != nil {
			return app.WrapPair(p.ID, err)
		}
		answer, change, err := decide(p, st)
		if err != nil {
			return err
		}
		if err := state.ChangeDesired(ctx, p.ID, change); err != nil {
			return app.WrapPair(p.ID, err)
		}
		answers = append(answers, answer)
		return nil
	})
	return answers, failed
}

// readPair returns the record of a pair; on a stack, as the newest scan of its source leaves
// it: see status.AsOfScan.
func readPair(ctx context.Context, a *app.App, p app.Pair) (replication.PairState, error) {
	st, err := a.PairState(ctx, p.ID)
	if err != nil || a.Stack == nil || st.Progress.Feed != changelog.Name {
		return st, err
	}
	last, err := a.LastScan(ctx, p.SourceOrg)
	return status.AsOfScan(st, last), err
}

// StopTimeout is longer than a lease, so that the lease of a process that died ends in it.
const StopTimeout = 2 * time.Minute

// StopPairs stops each pair, whatever becomes of the others, and returns an answer for
// each that is stopped.
func StopPairs(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, reason string) ([]Answer, error) {
	return ChangePairs(ctx, a, pairs, func(p app.Pair, st replication.PairState) (Answer, replication.DesiredChange, error) {
		answer := Answer{p.ID, ResultStopped, replication.Stopped}
		change := replication.DesiredChange{Stop: new(true), At: env.Now()}
		if st.Desired.Stopped {
			answer.Result = ResultAlreadyStopped
		}
		if reason != "" || !st.Desired.Stopped {
			change.Reason = &reason
		}
		return answer, change, nil
	})
}
