package cli

import (
	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
)

func newConfigCmd(env *cmdline.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Show the configuration in use",
		GroupID: cmdline.GroupConfig,
		Example: "  chef-sync-ctl config show",
	}
	cmd.AddCommand(newConfigShowCmd(env))
	return cmd
}

func newConfigShowCmd(env *cmdline.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Check the configuration and show each value with its origin",
		Long: `Check the configuration and show each value in use with its origin: a line of the
file, an environment variable, a profile, or the default. Keys are shown by where
they are kept, never themselves.`,
		Example: "  chef-sync-ctl config show\n  chef-sync-ctl config show -c /srv/chef-sync.toml -o json",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := env.Open(cmd.Context())
			if err != nil {
				return err
			}
			defer a.Close()
			for _, w := range a.Warnings() {
				env.Output().Note("Warning: %s", w)
			}
			settings := a.Effective()
			return env.Output().Emit(settings, func(t *ui.Grid) {
				t.Head("KEY", "VALUE", "ORIGIN")
				for _, s := range settings {
					t.Row(s.Key, ui.OrDash(s.Value), s.Origin)
				}
			})
		},
	}
}
