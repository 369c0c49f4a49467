package cli

import "github.com/spf13/cobra"

func newSelectionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "selection",
		Short: "Which objects are replicated",
		Long: `An [[organization]] of the configuration says which of its objects are
replicated: by kind, and by name.

  kinds   = ["cookbooks", "environments", "roles", "data_bags"]
  include = ["cookbooks/base-*", "roles/*"]
  exclude = ["data_bags/secrets", "data_bags/users/*_keys", "cookbooks/test_*"]

Further kinds are policies, policy_groups and cookbook_artifacts. They go
together: groups need the policies that they use, and policies the artifacts
that they lock.

A pattern is KIND/NAME, cookbooks/NAME/VERSION or data_bags/BAG/ITEM. In names,
* stands for any characters but / and ? for one. A pattern without VERSION is for
all versions, one without ITEM for the bag and all its items.

With include, only what it names is replicated. What exclude names never is. An
item that is included brings its bag along; a policy in a policy group is
replicated when both are selected.

What isn't selected is never read, written or deleted, on either side, whatever
prune says. What was replicated before it was excluded stays on the replica as it
is. A data bag that is deleted on the primary stays while items that aren't
selected are in it, and is listed among the unsynced objects. After a change of
the selection, the next pass compares everything.`,
	}
}
