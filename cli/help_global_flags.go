package cli

import (
	"github.com/spf13/cobra"

	"chefsync/cli/internal/help"
)

func newGlobalFlagsCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "global-flags",
		Short: "Flags that all commands share",
		Long:  help.GlobalFlagsText(root.PersistentFlags()),
	}
}
