package cli

import (
	"github.com/spf13/cobra"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/pairstatus"
)

func newExitCodesCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "The exit codes of all commands",
		Long: "The exit codes of all commands:\n\n" + exit.Table() + `

A command for several pairs works on each, also when it fails with another, and
shows what it did. Its code is that of the first failure; 3 and 6 count less than
the others, since the work was done.

` + pairstatus.ExitCodesHelp,
	}
}
