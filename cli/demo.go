package cli

import (
	"context"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/demo"
)

// executor runs a command line of this program.
type executor = func(ctx context.Context, args []string, s cmdline.Streams) int

func newDemoCmd(env *cmdline.Env, execute executor) *cobra.Command {
	opts := demo.Options{Execute: execute}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "See it work: two Chef Servers in memory, one replicated to the other",
		GroupID: cmdline.GroupConfig,
		Long: `Start two Chef Servers in memory that verify every signature, and replicate one to
the other with the commands of this program, each of which is shown with its output:
a first copy in which one object is refused, changes, a deletion by mistake, and a
change on the replica. At the end both sides are compared byte by byte.

With --serve the daemon, the status page and both servers run on until Ctrl-C, and
you can change objects on either side with curl or knife.

Only a temporary folder and addresses of this machine are used.`,
		Example: "  chef-sync-ctl demo\n  chef-sync-ctl demo --serve\n  chef-sync-ctl demo --keep /tmp/demo",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&opts.Keep, "keep", "", "keep configuration, keys, state and stage in this new `folder`")
	cmd.Flags().BoolVar(&opts.Serve, "serve", false, "then run the daemon, the status page and both servers until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return opts.Run(cmd.Context(), env) }
	return cmd
}
