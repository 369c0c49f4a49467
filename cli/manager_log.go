package cli

import (
	"context"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/logview"
)

func newManagerLogCmd(env *cmdline.Env) *cobra.Command {
	f := logview.Flags{Number: 200}
	cmd := &cobra.Command{
		Use:     "manager-log",
		Short:   "Show the log of the synchronization manager",
		GroupID: cmdline.GroupLook,
		Long: `Show the log of the synchronization manager: the lines of "chef-sync-ctl run" that
belong to no pair, such as those about its start and end.`,
		Example: `  chef-sync-ctl manager-log
  chef-sync-ctl manager-log --follow`,
		Args: cmdline.CheckArgs(cobra.NoArgs),
	}
	f.Register(cmd)
	cmd.RunE = env.WithApp(func(ctx context.Context, a *app.App) error {
		q, err := f.Query(env.Now())
		if err != nil {
			return err
		}
		q.Manager = true
		return f.Show(ctx, env, a, q)
	})
	return cmd
}
