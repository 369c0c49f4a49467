package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/control"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
)

func newSyncStopCmd(env *cmdline.Env) *cobra.Command {
	var reason string
	var noWait bool
	timeout := ui.Duration(control.StopTimeout)
	cmd := &cobra.Command{
		Use:     "sync-stop PAIR...",
		Short:   "Stop replicating pairs, and wait until running passes have ended",
		GroupID: cmdline.GroupSync,
		Long: `Stop replicating pairs. A running pass finishes the objects that it is writing and
keeps its position. After the command has returned with exit code 0, nothing is
written to the replica for these pairs until sync-start.`,
		Example: `  chef-sync-ctl sync-stop --replica eu --reason "maintenance of eu until noon"
  chef-sync-ctl sync-stop eu/engineering --wait 10m`,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "the reason, shown by sync-status")
	cmd.Flags().Var(&timeout, "wait", "how long to wait for a running pass")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "don't wait: a running pass may still write for a moment")
	env.TakePairs(cmd)
	cmd.RunE = env.WithNamedPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		answers, failed := control.StopPairs(ctx, env, a, pairs, reason)
		pairs = control.PairsWithAnswer(pairs, answers)
		var busy error
		if !noWait {
			busy = control.WaitIdle(ctx, env, a, pairs, time.Duration(timeout))
		}
		if err := control.Print(env, answers, failed); err != nil {
			return err
		}
		if busy != nil {
			busy = exit.With(exit.Of(busy), fmt.Errorf("the pairs are stopped, but a pass may still be running: %w", busy),
				"no new pass will start; to wait for this one, run the same command again")
		}
		return exit.Join(failed, busy)
	})
	return cmd
}
