package cmdline

import (
	"github.com/spf13/cobra"
)

// The groups of commands in help.
const (
	GroupSync   = "sync"
	GroupLook   = "look"
	GroupCheck  = "check"
	GroupConfig = "config"
)

// CheckArgs wraps a check of cobra so that a wrong number of arguments is a usage error.
func CheckArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return argumentsError(cmd, args)
		}
		return nil
	}
}
