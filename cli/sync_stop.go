package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// stopWait is longer than a lease, so that a holder that died is waited out.
const stopWait = 2 * time.Minute

func newSyncStopCmd(env *cmdline.Env) *cobra.Command {
	var reason string
	var noWait bool
	timeout := ui.Duration(stopWait)
	cmd := &cobra.Command{
		Use:     "sync-stop PAIR...",
		Short:   "Stop replicating pairs, and wait until nothing is written any more",
		GroupID: cmdline.GroupSync,
		Long: `Stop replicating pairs. A pass at work finishes the objects in its hands and
keeps its position. When the command returns with code 0, nothing writes to the
replica for these pairs until sync-start.

On a stack, their schedules are disabled, too. If only that fails, the pairs are
stopped all the same, and the manager of the stack disables the schedules within
minutes.`,
		Example: `  chef-sync-ctl sync-stop engineering --reason "maintenance of eu until noon"
  chef-sync-ctl sync-stop eu/engineering --wait 10m`,
		Args:              cmdline.CheckArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: env.CompletePairs,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for sync-status")
	cmd.Flags().Var(&timeout, "wait", "how long to wait for a running pass")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "don't wait: a running pass may still write for a moment")
	cmd.RunE = env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		state, err := a.State(ctx)
		if err != nil {
			return err
		}
		answers, failed := stopPairs(ctx, env, state, pairs, reason)
		pairs = answered(pairs, answers)
		left := switchSchedules(ctx, a, pairs, false)
		var busy error
		if !noWait {
			busy = waitIdle(ctx, env, a, pairs, time.Duration(timeout))
		}
		if err := emitChanged(env, answers, failed); err != nil {
			return err
		}
		if busy != nil {
			busy = exit.With(exit.Of(busy), fmt.Errorf("the pairs are stopped, but a pass may still be running: %w", busy),
				"no other pass begins; wait for this one with the same command")
		}
		return exit.Join(failed, busy, left)
	})
	return cmd
}

// stopPairs stops each pair, also when another can't be, and answers for those that
// are.
func stopPairs(ctx context.Context, env *cmdline.Env, state replication.State, pairs []app.Pair, reason string) ([]changed, error) {
	var answers []changed
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		st, err := state.Pair(ctx, p.ID)
		if err != nil {
			return app.WrapPair(p.ID, err)
		}
		d := replication.Directive{Stop: new(true), At: env.Now()}
		result := "stopped"
		if st.Desired.Stopped {
			result = resultAlreadyStopped
		}
		if reason != "" || !st.Desired.Stopped {
			d.Reason = &reason
		}
		if err := state.Direct(ctx, p.ID, d); err != nil {
			return app.WrapPair(p.ID, err)
		}
		answers = append(answers, changed{p.ID, result, replication.Stopped})
		return nil
	})
	return answers, failed
}

// waitIdle waits until no process holds a lease of the pairs.
func waitIdle(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, timeout time.Duration) error {
	said := false
	return waitEach(ctx, pairs, timeout, "the end of the pass of ", func(ctx context.Context, id replication.PairID) (bool, error) {
		st, err := a.FreeAbandoned(ctx, id)
		if err != nil || !st.Lease.HeldAt(env.Now()) {
			return err == nil, err
		}
		if !said {
			env.Output().Note("waiting for the pass that runs on %s", st.Lease.Owner)
			said = true
		}
		return false, nil
	})
}
