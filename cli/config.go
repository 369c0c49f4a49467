package cli

import (
	"github.com/spf13/cobra"

	"chefsync/cli/internal/ui"
)

func newConfigCmd(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Show the configuration in use",
		GroupID: groupConfig,
		Example: "  chef-sync-ctl config show",
		Args:    args(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShowCmd(g))
	return cmd
}

func newConfigShowCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Check the configuration and show each value with its origin",
		Long: `Check the configuration and show each value in use with its origin: a line of the
file, an environment variable, a profile, or the default. Keys are shown by where
they are kept, never themselves.`,
		Example: "  chef-sync-ctl config show\n  chef-sync-ctl config show -c /srv/chef-sync.toml -o json",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			defer a.Close()
			for _, w := range a.Warnings() {
				g.output().Note("Warning: %s", w)
			}
			settings := a.Effective()
			return g.output().Emit(settings, func(t *ui.Grid) {
				t.Head("KEY", "VALUE", "ORIGIN")
				for _, s := range settings {
					t.Row(s.Key, orDash(s.Value), s.Origin)
				}
			})
		},
	}
}
