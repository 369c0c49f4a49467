package runner

import (
	"context"
	"fmt"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/stack"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
)

// notRunByStack refuses pairs that a stack replicates by itself: two clocks for one
// pair would only be in each other's way.
func notRunByStack(ctx context.Context, a *app.App, pairs []app.Pair) error {
	if a.Stack == nil {
		return nil
	}
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		st, err := state.Pair(ctx, p.ID)
		if err != nil {
			return app.WrapPair(p.ID, err)
		}
		if !st.Desired.Stopped {
			return exit.With(exit.Locked, fmt.Errorf("stack %s already replicates the pair %s", a.Stack.Stack, p.ID),
				"chef-sync-ctl run --once, or first: chef-sync-ctl sync-stop "+p.ID.String())
		}
	}
	return nil
}

// runRemote lets the stack's function do one pass for each pair.
func (opts Options) runRemote(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair) error {
	results := make([]daemon.Result, len(pairs))
	app.ForEachParallel(pairs, opts.Parallel, func(i int, p app.Pair) {
		results[i] = remotePass(ctx, a.Stack, cloud.SyncEvent{Pair: p.ID, Trigger: cloud.TriggerManual, Full: opts.Full})
	})
	return showResults(ctx, env, a, pairs, results, nil)
}

func remotePass(ctx context.Context, s *stack.Stack, event cloud.SyncEvent) daemon.Result {
	answer, err := s.InvokeSync(ctx, event)
	res := daemon.Result{Run: replication.Run{Pair: event.Pair, Trigger: event.Trigger, Outcome: replication.OutcomeFailed}, Err: err, Begun: true}
	if answer.Run != nil {
		res.Run = *answer.Run
	}
	return res
}
