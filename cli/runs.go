package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/runlist"
	"chefsync/cli/internal/ui"
)

func newRunsCmd(env *cmdline.Env) *cobra.Command {
	limit := 20
	var wide bool
	var filter runlist.Filter
	cmd := &cobra.Command{
		Use:     "runs [PAIR [RUN]]",
		Short:   "List passes and verifications, newest first",
		GroupID: cmdline.GroupLook,
		Long: `List the passes and verifications of all pairs, or of one, newest first. Polls
that found nothing to do are not recorded. With the ID of a run, show that run in
full. The objects that it changed, or that a verification found, are in the log:
sync-log PAIR --run RUN.

A run whose process died or lost its lease has the outcome died and shows what it
last recorded; the next pass continues its work.

TRIGGER is what started a run:
  schedule   the pair's interval, or a verification that was due
  scan       a scan of the primary found changes
  push       the primary's data collector reported a change
  operator   sync-start or resync requested it
  recovery   a server that had failed responds again
  manual     a command ran it: run --once, verify, or an event that you sent`,
		Example: `  chef-sync-ctl runs
  chef-sync-ctl runs --failed --since 1d
  chef-sync-ctl runs engineering
  chef-sync-ctl runs eu/engineering -n 100 -o jsonl`,
		Args: cmdline.CheckArgs(cobra.MaximumNArgs(2)),
	}
	cmd.Flags().IntVarP(&limit, "number", "n", limit, "show at most `N` runs; 0 for all")
	env.TakePairs(cmd)
	cmd.Flags().Var(&filter.Since, "since", "only runs that began within this duration, such as 1d")
	cmd.Flags().BoolVar(&filter.Failed, "failed", false, "only runs with the outcome failed, died, held, partial or differs")
	cmd.Flags().BoolVar(&wide, "wide", false, "show all counts of each run; same as -o wide")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 0 {
			return exit.Usagef("--number 0 for all", "--number can't be %d", limit)
		}
		return env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
			if len(args) == 2 {
				return showRun(ctx, env, a, pairs, args[1])
			}
			if limit == 0 {
				limit = runlist.All
			}
			if wide && env.Format == ui.Table {
				env.Format = ui.Wide
			}
			runs, failed := filter.List(ctx, a, pairs, limit, env.Now())
			if len(runs) == 0 && failed != nil {
				return failed
			}
			return cmp.Or(runlist.Print(env, runs, true), failed)
		})(cmd, args[:min(len(args), 1)])
	}
	return cmd
}

// showRun finds one run by its id.
func showRun(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, id string) error {
	runs, failed := runlist.List(ctx, a, pairs, runlist.All)
	for _, r := range runs {
		if r.ID == id {
			return env.Output().Emit(r, func(t *ui.Grid) { runlist.Describe(t, r, env.Now()) })
		}
	}
	if failed != nil {
		return failed // it may be among these
	}
	return exit.With(exit.NotFound, fmt.Errorf("there is no run %s", id), "chef-sync-ctl runs "+pairs[0].ID.String())
}
