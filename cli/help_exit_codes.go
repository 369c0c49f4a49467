package cli

import (
	"github.com/spf13/cobra"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/pairstatus"
)

func newExitCodesCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "Exit codes of all commands",
		Long: "The exit codes of all commands:\n\n" + exit.Table() + `

A command for several pairs continues with the others if one fails, and shows what
it did. Its exit code is that of the first failure; 3 and 6 are used only if there
is no other, since the work was done.

` + pairstatus.ExitCodesHelp,
	}
}
