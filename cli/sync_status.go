package cli

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/ui"
)

func newSyncStatusCmd(env *cmdline.Env) *cobra.Command {
	var watch ui.Duration
	var view pairstatus.View
	var exitCode bool
	cmd := &cobra.Command{
		Use:     "sync-status [PAIR...]",
		Short:   "Show replication status",
		GroupID: cmdline.GroupLook,
		Long: `Show the status of pairs, of all unless some are selected: how many pairs have
which status, whether the daemon runs, which servers answer, and then the pairs,
those that need you first.

  blocked        needs an operator; retried slowly
  held           deletions wait for approval; everything else is replicated
  unreachable    a server of the pair doesn't answer, or refuses every request
  stale          the source was not read, or no pass ran, for too long
  retrying       something fails; it is tried again by itself
  drifted        what others changed on the replica is known and not repaired
  bootstrapping  the first full compare is under way
  stopped        by sync-stop
  waiting        no pass has begun yet (bootstrapping, in data)
  syncing        a pass is running, or known work waits for the next one
  synced         the source was read, and all that was read is applied, as of
                 LAG ago

The status is that of the worst reason. Below the table all reasons are named,
each with what to try; pairs that share one are named together.

On a terminal, where all pairs would be more than a screenful, those that are
waiting, syncing or synced are only counted, and those of a replica with the
same status for the same reason are one row; --all shows them all. Columns that
don't fit are left out; -o wide shows all, and further ones. In a pipe all pairs
are there, in the order of the configuration.

LAG is the age of the oldest time up to which all of the source was read and
applied. It grows while a scan fails or can't read one kind, while an object is
unsynced or a deletion waits for approval, and while a server of the pair is
down. FEED is where changes come from: updated_since, the journal that scans and
pushes fill, or none: everything is compared now and then. Name one pair to see
why.

Servers are checked once a minute by run, and by the manager of a stack in each
run. One that wasn't checked recently is unknown. --servers shows them alone.`,
		Example: `  chef-sync-ctl sync-status
  chef-sync-ctl sync-status 'eu/*' --problems
  chef-sync-ctl sync-status --status held,blocked -o wide
  chef-sync-ctl sync-status eu/engineering --watch 5s
  chef-sync-ctl sync-status -o json | jq '.[] | select(.unsynced > 0)'`,
	}
	cmd.Flags().Var(&watch, "watch", "show it again and again, every 2s or as in --watch 5s")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	cmd.Flags().BoolVar(&view.ServersOnly, "servers", false, "show the Chef Servers alone")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "end with a code other than 0 unless all pairs are in sync; see: help exit-codes")
	cmd.Flags().BoolVar(&view.All, "all", false, "show all pairs, also where they are more than a screenful")
	cmd.Flags().BoolVar(&view.Problems, "problems", false, "only pairs that are neither synced nor syncing, nor wait for their first pass")
	cmd.Flags().StringSliceVar(&view.Statuses, "status", nil, "only pairs of a `status`; several with commas")
	_ = cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(pairstatus.Statuses(), cobra.ShellCompDirectiveNoFileComp))
	env.TakePairs(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := view.Check(); err != nil {
			return err
		}
		if watch > 0 {
			args = takeInterval(args, &watch)
		}
		return env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
			read := func(ctx context.Context) (pairstatus.Snapshot, error) {
				return pairstatus.Read(ctx, a, pairs, env.Now())
			}
			if watch > 0 {
				return view.Watch(ctx, env, time.Duration(watch), read)
			}
			return showStatus(ctx, env, view, exitCode, read)
		})(cmd, args)
	}
	return cmd
}

func showStatus(ctx context.Context, env *cmdline.Env, view pairstatus.View, exitCode bool, read func(context.Context) (pairstatus.Snapshot, error)) error {
	s, failed := read(ctx)
	if len(s.Pairs) == 0 && failed != nil {
		return failed
	}
	if err := cmp.Or(view.Show(env, s), failed); err != nil || !exitCode {
		return err
	}
	return pairstatus.ExitError(s.Pairs)
}

// takeInterval takes the interval from the arguments: in "--watch 5s" it is one, since the
// value of --watch is optional.
func takeInterval(args []string, watch *ui.Duration) (pairs []string) {
	for _, w := range args {
		if d, err := ui.ParseDuration(w); err == nil && d > 0 {
			*watch = ui.Duration(d)
			continue
		}
		pairs = append(pairs, w)
	}
	return pairs
}
