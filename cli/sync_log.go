package cli

import (
	"context"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/logview"
)

func newSyncLogCmd(env *cmdline.Env) *cobra.Command {
	f := logview.Flags{Number: 200}
	cmd := &cobra.Command{
		Use:     "sync-log [PAIR...]",
		Short:   "Show the log of pairs",
		GroupID: cmdline.GroupLook,
		Long: `Show the log of the selected pairs, or of all: what passes did to which object, and
what failed. The log is read from the state, so this works while "chef-sync-ctl run"
is running and after it has ended.`,
		Example: `  chef-sync-ctl sync-log --level warn
  chef-sync-ctl sync-log engineering --since 1h
  chef-sync-ctl sync-log eu/engineering --follow --level warn
  chef-sync-ctl sync-log engineering --object /roles/web -o jsonl`,
	}
	f.Register(cmd)
	cmd.Flags().StringVar(&f.Object, "object", "", "only lines of this object, such as `/roles/web`")
	cmd.Flags().StringVar(&f.Run, "run", "", "only lines of this run")
	env.TakePairs(cmd)
	cmd.RunE = env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		q, err := f.Query(env.Now())
		if err != nil {
			return err
		}
		q.Pairs = app.PairIDs(pairs)
		return f.Show(ctx, env, a, q)
	})
	return cmd
}
