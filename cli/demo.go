package cli

import (
	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/demo"
)

func newDemoCmd(env *cmdline.Env) *cobra.Command {
	var keep string
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "See it work: two Chef Servers in memory, one replicated to the other",
		GroupID: cmdline.GroupConfig,
		Long: `Start two Chef Servers in memory that verify every signature, fill the primary,
replicate it, change and delete things, let one object fail and heal, take the
change feed away and go on by scans and pushes, and compare both sides byte by byte.
Nothing outside a folder of its own is touched and no
network but this machine's own is used.`,
		Example: "  chef-sync-ctl demo\n  chef-sync-ctl demo --keep /tmp/demo",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&keep, "keep", "", "keep configuration, keys, state and stage in this new `folder`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return demo.Run(cmd.Context(), env, keep)
	}
	return cmd
}
