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
		Long: `Show what the next pass would do, in order, and which deletions the brake would
hold. A long plan is grouped by kind, with the first creations and updates of each;
-o wide lists all. Exits with code 7 if deletions are or would be held for approval,
and with code 3 if some objects could not be read.`,
		Example: `  chef-sync-ctl plan engineering
  chef-sync-ctl plan eu/engineering --full
  chef-sync-ctl plan --summary
  chef-sync-ctl plan engineering -o markdown
  chef-sync-ctl plan engineering -o json --exit-code`,
	}
	cmd.Flags().BoolVar(&opts.Full, "full", false, "plan a full comparison that reads both sides, as resync does")
	cmd.Flags().BoolVar(&opts.Prune, "prune", false, "also plan the deletions of resync --prune: everything that the primary doesn't have")
	cmd.Flags().BoolVar(&opts.All, "all", false, "also show objects that would not be changed")
	cmd.Flags().BoolVar(&opts.Summary, "summary", false, "show one line for each pair, and totals")
	cmd.Flags().BoolVar(&opts.ExitCode, "exit-code", false, "exit with code 6 if something would be written")
	env.TakePairs(cmd)
	cmd.RunE = env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		return plans.Show(ctx, env, a, pairs, opts)
	})
	return cmd
}
