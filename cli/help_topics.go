package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/help"
	"chefsync/cli/internal/pairstatus"
)

// helpTopics returns the help that belongs to no command.
func helpTopics(root *cobra.Command) []*cobra.Command {
	variable := func(flag string) string { return cmdline.EnvName(root.PersistentFlags().Lookup(flag)) }
	return []*cobra.Command{
		{Use: "exit-codes", Short: "Exit codes of all commands",
			Long: "The exit codes of all commands:\n\n" + exit.Table() + exitCodesHelp + pairstatus.ExitCodesHelp},
		{Use: "environment", Short: "Environment variables",
			Long: fmt.Sprintf(environmentHelp, cmdline.EnvPrefix, variable("output")+"=json", variable("config")+"=/srv/…")},
		{Use: "selection", Short: "Which objects are replicated", Long: selectionHelp},
		{Use: "global-flags", Short: "Flags that all commands share", Long: help.GlobalFlagsText(root.PersistentFlags())},
	}
}

const exitCodesHelp = `

A command for several pairs continues with the others if one fails, and shows what
it did. Its exit code is that of the first failure; 3 and 6 are used only if there
is no other, since the work was done.

`

const environmentHelp = `The global flags can be set with environment variables: %s followed by the name
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
  HTTPS_PROXY, NO_PROXY    the proxy for requests to Chef Servers`

const selectionHelp = `Each [[organization]] in the configuration selects the objects to replicate, by
kind and by name.

  kinds   = ["cookbooks", "environments", "roles", "data_bags"]
  include = ["cookbooks/base-*", "roles/*"]
  exclude = ["data_bags/secrets", "data_bags/users/*_keys", "cookbooks/test_*"]

The other kinds are policies, policy_groups and cookbook_artifacts. Replicate them
together: policy groups need the policies that they use, and policies need the
artifacts that they lock.

A pattern is KIND/NAME, cookbooks/NAME/VERSION or data_bags/BAG/ITEM. In names,
* matches any characters except /, and ? matches one. A pattern without VERSION
matches all versions; a pattern without ITEM matches the bag and all its items.

If include is set, only objects that match it are replicated. Objects that match
exclude are never replicated. An included item includes its bag; a policy in a
policy group is replicated if both are selected.

Objects that aren't selected are never read, written or deleted on either side,
whatever prune is set to. An object that was replicated before it was excluded
stays on the replica unchanged. A data bag that is deleted on the primary stays on
the replica while it contains items that aren't selected, and is listed as an
unsynced object. After a change of the selection, the next pass compares everything.`
