package cli

import (
	"context"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/plans"
)

func newPlanCmd(env *cmdline.Env) *cobra.Command {
	var opts plans.Options
	cmd := &cobra.Command{
		Use:     "plan [PAIR...]",
		Short:   "Show what the next pass would do, and change nothing",
		GroupID: cmdline.GroupCheck,
		Long: `Show what the next pass would do, in its order, with the view of the safety
brake: a plan with deletions that wait for approval, or would, ends with code 7, and
one that lacks objects which could not be read with code 3. A long plan is grouped by
kind and lists the first creations and updates of each; -o wide lists all.`,
		Example: `  chef-sync-ctl plan engineering
  chef-sync-ctl plan eu/engineering --full
  chef-sync-ctl plan --summary
  chef-sync-ctl plan engineering -o markdown
  chef-sync-ctl plan engineering -o json --exit-code`,
	}
	cmd.Flags().BoolVar(&opts.Full, "full", false, "plan a full compare that reads both sides, as resync does")
	cmd.Flags().BoolVar(&opts.Prune, "prune", false, "plan what resync --prune would delete: whatever the primary doesn't have")
	cmd.Flags().BoolVar(&opts.All, "all", false, "also show objects that nothing would happen to")
	cmd.Flags().BoolVar(&opts.Summary, "summary", false, "a line for each pair, and totals")
	cmd.Flags().BoolVar(&opts.ExitCode, "exit-code", false, "end with code 6 if something would be written")
	env.TakePairs(cmd)
	cmd.RunE = env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		return plans.Show(ctx, env, a, pairs, opts)
	})
	return cmd
}
