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
		Long: `Show the status of the selected pairs, or of all: the number of pairs by status,
whether the daemon is running, which servers respond, and then the pairs, those
that need attention first.

  blocked        needs an operator; retried slowly
  held           deletions wait for approval; everything else is replicated
  unreachable    a server of the pair doesn't respond, or refuses every request
  stale          the source hasn't been read, or no pass has run, for too long
  retrying       something failed and is retried automatically
  drifted        someone changed objects on the replica; they are not repaired
  bootstrapping  the first full comparison is in progress
  stopped        stopped with sync-stop
  waiting        no pass has started yet (bootstrapping in JSON and YAML)
  syncing        a pass is running, or changes wait for the next pass
  synced         everything read from the source has been applied, as of LAG ago

If several statuses apply, the most serious one is shown. All reasons are listed
below the table, each with what to try; pairs with the same reason are grouped.

If the table doesn't fit the terminal, pairs that are waiting, syncing or synced
are only counted, and pairs of a replica with the same status and reason share
one row; --all shows every pair. Columns that don't fit are omitted; -o wide shows
all columns, including additional ones. Piped output contains every pair, in the
order of the configuration.

LAG is how far the replica may be behind: the time since the source was last read
completely with everything applied. It grows while a scan fails or can't read a
kind, while an object is unsynced or a deletion waits for approval, and while a
server of the pair is down. FEED is where changes come from: updated_since, the
change log (journal) that scans and pushes fill, or none, in which case everything
is compared periodically. Name one pair to see why.

Servers are checked every minute by the daemon, and every five minutes by the
manager of a stack. A server without a recent check is unknown. --servers shows
only the servers.`,
		Example: `  chef-sync-ctl sync-status
  chef-sync-ctl sync-status 'eu/*' --problems
  chef-sync-ctl sync-status --status held,blocked -o wide
  chef-sync-ctl sync-status eu/engineering --watch 5s
  chef-sync-ctl sync-status -o json | jq '.[] | select(.unsynced > 0)'`,
	}
	cmd.Flags().Var(&watch, "watch", "refresh the output every 2s, or at the given interval, as in --watch 5s")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	cmd.Flags().BoolVar(&view.ServersOnly, "servers", false, "show only the Chef Servers")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with a nonzero code unless all pairs are in sync; see: help exit-codes")
	cmd.Flags().BoolVar(&view.All, "all", false, "show all pairs, even if they don't fit the terminal")
	cmd.Flags().BoolVar(&view.Problems, "problems", false, "only pairs that are not synced, syncing or waiting for their first pass")
	cmd.Flags().StringSliceVar(&view.Statuses, "status", nil, "only pairs with this `status`; separate several with commas")
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
