package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
)

func newEnvironmentCmd(root *cobra.Command) *cobra.Command {
	name := func(flag string) string { return cmdline.EnvName(root.PersistentFlags().Lookup(flag)) }
	return &cobra.Command{
		Use:   "environment",
		Short: "Environment variables",
		Long: fmt.Sprintf(`The global flags can be set with environment variables: %s followed by the name
of the flag in capitals, with _ for -. So can --parallel of run, --listen of
serve-changes and web, and --token-file of web. The command line takes precedence. All
other flags are read from the command line only.

  %-24s --output json
  %-24s --config /srv/chef-sync.toml

Also honored:

  CHEF_PROFILE             the profile of ~/.chef/credentials
  CHEF_CREDENTIALS_FILE    a file to use instead of ~/.chef/credentials
  NO_COLOR, TERM=dumb      no color
  COLUMNS, LINES           the size to fit tables into, instead of the terminal's
  HTTPS_PROXY, NO_PROXY    the proxy for requests to Chef Servers`,
			cmdline.EnvPrefix, name("output")+"=json", name("config")+"=/srv/…"),
	}
}
