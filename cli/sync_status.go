package cli

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/pairstatus"
	"chefsync/cli/internal/ui"
)

func newSyncStatusCmd(env *cmdline.Env) *cobra.Command {
	var watch ui.Duration
	var exitCode, serversOnly bool
	cmd := &cobra.Command{
		Use:     "sync-status [PAIR...]",
		Short:   "Show how the pairs do",
		GroupID: cmdline.GroupLook,
		Long: `Show how the pairs do.

  bootstrapping  the first full compare is under way
  synced         the source was read, and all that was read is applied, as of LAG ago
  syncing        a pass is running, or known work waits for the next one
  retrying       something fails; it is tried again by itself
  drifted        what others changed on the replica is known and was not repaired
  stale          the source was not read, or no pass ran, for too long
  unreachable    the primary or the replica doesn't answer, or refuses every request
  blocked        needs an operator; retried slowly
  held           deletions wait for approval; everything else is replicated
  stopped        sync-stop

The word is that of the worst reason. Below the table all reasons are named, each with
what to try.

LAG is the age of the oldest time up to which all of the source was read and applied.
It grows while a scan fails or can't read one kind, while an object is unsynced or a
deletion waits for approval, and while a server of the pair is down. FEED is where
changes come from: updated_since, the journal that scans and pushes fill, or none:
everything is compared now and then. Name one pair to see why.

SERVERS are checked once a minute by run, and by the manager of a stack in each run.
One that wasn't checked recently is unknown. --servers shows them alone.`,
		Example: `  chef-sync-ctl sync-status
  chef-sync-ctl sync-status eu/engineering --watch
  chef-sync-ctl sync-status -o json | jq '.[] | select(.unsynced > 0)'`,
	}
	cmd.Flags().Var(&watch, "watch", "show it again and again, every 2s or as given")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	cmd.Flags().BoolVar(&serversOnly, "servers", false, "show the Chef Servers alone")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "end with a code other than 0 unless all pairs are in sync; see: help exit-codes")
	env.TakePairs(cmd)
	cmd.RunE = env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		for again := false; ; again = true {
			servers, unread := pairstatus.ReadServers(ctx, a, pairs, env.Now())
			rows, failed := pairstatus.ReadPairs(ctx, a, pairs, servers, env.Now())
			failed = cmp.Or(failed, unread)
			if len(rows) == 0 && failed != nil {
				return failed
			}
			if watch > 0 && env.OutTTY && !env.Output().IsData() {
				fmt.Fprint(env.Out, "\x1b[H\x1b[2J")
			}
			if again && env.Format == ui.YAML {
				fmt.Fprintln(env.Out, "---") // or all times would be one list
			}
			processes, err := pairstatus.ReadProcesses(ctx, a, env.Now())
			failed = exit.Join(failed, err)
			if err := pairstatus.Show(env, rows, servers, serversOnly, processes); err != nil {
				return err
			}
			if watch == 0 || failed != nil {
				if failed == nil && exitCode {
					failed = pairstatus.ExitError(rows)
				}
				return failed
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Duration(watch)):
			}
		}
	})
	return cmd
}
