package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
)

func newEnvironmentCmd(*cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "environment",
		Short: "Environment variables",
		Long: fmt.Sprintf(`Every flag can be set with an environment variable: %s followed by the name of the
flag in capitals, with _ for -. The command line takes precedence.

  %-24s --output json
  %-24s --config /srv/chef-sync.toml

Also honored:

  CHEF_PROFILE             the profile of ~/.chef/credentials
  CHEF_CREDENTIALS_FILE    a file to use instead of ~/.chef/credentials
  NO_COLOR, TERM=dumb      no color
  COLUMNS, LINES           the size to fit tables into, instead of the terminal's
  HTTPS_PROXY, NO_PROXY    the proxy for requests to Chef Servers`,
			cmdline.EnvPrefix, cmdline.EnvName("output")+"=json", cmdline.EnvName("config")+"=/srv/…"),
	}
}
