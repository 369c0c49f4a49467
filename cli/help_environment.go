package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
)

func newEnvironmentCmd(*cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "environment",
		Short: "The environment variables",
		Long: fmt.Sprintf(`Every flag can be set by an environment variable: %s and the flag's name in
capitals, with _ for -. The command line wins.

  %-24s --output json
  %-24s --config /srv/chef-sync.toml

Also honored:

  CHEF_PROFILE             the profile of ~/.chef/credentials
  CHEF_CREDENTIALS_FILE    another file than ~/.chef/credentials
  NO_COLOR, TERM=dumb      no color
  COLUMNS, LINES           the size that tables fit in, where it isn't that of the
                           terminal
  HTTPS_PROXY, NO_PROXY    the proxy towards Chef Servers`,
			cmdline.EnvPrefix, cmdline.EnvName("output")+"=json", cmdline.EnvName("config")+"=/srv/…"),
	}
}
