package cmdline

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chefsync/cli/internal/exit"
)

// EnvPrefix is the prefix of the environment variables that set flags.
const EnvPrefix = "CHEF_SYNC_"

// fromEnvironment annotates the flags that environment variables set.
const fromEnvironment = "from-environment"

// EnvName returns the environment variable that sets a flag, "" for none. Flags that say
// what a command is to do, to what, or that it need not ask have none: a variable that is
// set for one command would be so for all.
func EnvName(f *pflag.Flag) string {
	if _, ok := f.Annotations[fromEnvironment]; !ok {
		return ""
	}
	return envName(f)
}

func envName(f *pflag.Flag) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

func takeFromEnvironment(f *pflag.Flag) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[fromEnvironment] = nil
}

// TakeFromEnvironment lets environment variables set flags of a command.
func TakeFromEnvironment(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		takeFromEnvironment(cmd.Flags().Lookup(name))
	}
}

// SetFlagsFromEnvironment sets the flags that weren't given by environment variables.
// Variables of flags that have none are named, and ignored.
func (env *Env) SetFlagsFromEnvironment(cmd *cobra.Command) error {
	var failed error
	var ignored []*pflag.Flag
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		v, ok := env.LookupEnv(envName(f))
		switch {
		case !ok || v == "" || f.Changed || f.Name == "help" || failed != nil:
		case EnvName(f) == "":
			ignored = append(ignored, f)
		default:
			if err := cmd.Flags().Set(f.Name, v); err != nil {
				failed = exit.Usagef("correct or unset the variable", "environment variable %s: %v", EnvName(f), err)
			}
		}
	})
	for _, f := range ignored {
		env.Output().Note("Warning: %s has no effect; write --%s where it is meant", envName(f), f.Name)
	}
	return failed
}
