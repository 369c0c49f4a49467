package cli

import "github.com/spf13/cobra"

func newSelectionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "selection",
		Short: "Which objects are replicated",
		Long: `Each [[organization]] in the configuration selects the objects to replicate, by
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
unsynced object. After a change of the selection, the next pass compares everything.`,
	}
}
