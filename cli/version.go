package cli

import (
	"github.com/spf13/cobra"

	"chefsync/cli/internal/buildinfo"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
)

func newVersionCmd(env *cmdline.Env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		GroupID: cmdline.GroupConfig,
		Example: "  chef-sync-ctl version\n  chef-sync-ctl version -o json",
		Args:    cmdline.CheckArgs(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { return printVersion(env) },
	}
}

// printVersion prints the version, as chef-sync-ctl --version does too.
func printVersion(env *cmdline.Env) error {
	v := buildinfo.Read()
	return env.Output().Emit(v, func(t *ui.Grid) {
		line := "chef-sync-ctl " + v.Version
		if v.Revision != "" {
			line += " (commit " + v.Revision + ", " + v.Time + ")"
		}
		t.Line("%s %s %s", line, v.Go, v.Platform)
	})
}
