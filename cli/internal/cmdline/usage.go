package cmdline

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/config"
)

// ColorsErrors reports whether errors are colored, as output is that goes to the same
// terminal.
func (env *Env) ColorsErrors() bool {
	onErr := *env
	onErr.OutTTY = env.ErrTTY
	return onErr.useColor()
}

// UnknownCommand refuses a word where a command is expected, and names the nearest ones.
func UnknownCommand(cmd *cobra.Command, word string) error {
	hint := cmd.CommandPath() + " --help"
	if near := nearCommands(cmd, word); len(near) > 0 {
		hint = cmd.CommandPath() + " " + strings.Join(near, ", or "+cmd.CommandPath()+" ")
	}
	if cmd.HasParent() {
		return exit.Usagef(hint, "%q is not a command of %s", word, cmd.CommandPath())
	}
	return exit.Usagef(hint, "%q is not a command", word)
}

// nearCommands returns the names of commands that a word may mean. Aliases and words that
// a command lists in SuggestFor count as its name.
func nearCommands(cmd *cobra.Command, word string) (near []string) {
	word = strings.ToLower(word)
	names := map[string]string{}
	var words []string
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		for _, w := range slices.Concat([]string{c.Name()}, c.Aliases, c.SuggestFor) {
			names[w], words = c.Name(), append(words, w)
			if strings.HasPrefix(w, word) && !slices.Contains(near, c.Name()) {
				near = append(near, c.Name())
			}
		}
	}
	if name := names[config.DidYouMean(word, words)]; len(near) == 0 && name != "" {
		near = append(near, name)
	}
	return near
}

// FlagError says what is wrong with a flag, and names the nearest one.
func FlagError(cmd *cobra.Command, err error) error {
	help := cmd.CommandPath() + " --help"
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := "--" + unknown.GetSpecifiedName()
		if shorts := unknown.GetSpecifiedShortnames(); shorts != "" {
			name = "-" + unknown.GetSpecifiedName()
		} else if near := nearFlag(cmd, unknown.GetSpecifiedName()); near != "" {
			help = "--" + near + "; for all flags, see: " + help
		}
		return exit.Usagef(help, "unknown flag: %s", name)
	case errors.As(err, &empty):
		_, usage := pflag.UnquoteUsage(empty.GetFlag())
		return exit.Usagef(help, "--%s needs a value: %s", empty.GetFlag().Name, usage)
	case errors.As(err, &invalid):
		return exit.Usagef(help, "--%s can't be %q: %s", invalid.GetFlag().Name, invalid.GetValue(), valueCause(invalid))
	}
	return exit.Usagef(help, "%w", err)
}

// valueCause says why a flag doesn't take a value.
func valueCause(err *pflag.InvalidValueError) string {
	var number *strconv.NumError
	switch {
	case !errors.As(err, &number):
		return errors.Unwrap(err).Error()
	case err.GetFlag().Value.Type() == "bool":
		return "expected true or false"
	}
	return "expected a whole number"
}

// nearFlag returns the flag of a command that a wrong name may mean, or "".
func nearFlag(cmd *cobra.Command, name string) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return config.DidYouMean(name, names)
}

// CheckArgs wraps a check of cobra so that a wrong number of arguments is a usage error.
func CheckArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return argumentsError(cmd, args)
		}
		return nil
	}
}

// argumentsError says which argument is missing, or which one is too much. Cmd.Use names
// the arguments.
func argumentsError(cmd *cobra.Command, args []string) error {
	_, usage, _ := strings.Cut(cmd.Use, " ")
	arguments := strings.Fields(usage)
	required := slices.DeleteFunc(slices.Clone(arguments), func(w string) bool { return !isRequired(w) })
	hint := firstExample(cmd)
	if len(args) < len(required) {
		return exit.Usagef(hint, "%s needs %s", cmd.Name(), describeArgument(required[len(args)]))
	}
	takes := "no arguments"
	if len(arguments) > 0 {
		takes = strings.Join(arguments, " ")
	}
	unexpected := args[min(len(arguments), len(args)-1)]
	return exit.Usagef(hint, "unexpected argument %q: %s takes %s", unexpected, cmd.Name(), takes)
}

// isRequired reports whether a word of a usage is an argument that must be given.
func isRequired(word string) bool {
	return !strings.HasPrefix(word, "[") && !strings.HasSuffix(word, "]") && !strings.HasPrefix(word, "-")
}

// describeArgument says what an argument is, by its word in a usage.
func describeArgument(word string) string {
	name := strings.TrimSuffix(word, "...")
	what := map[string]string{
		"PAIR":   "a PAIR: engineering, or eu/engineering (chef-sync-ctl sync-status lists them)",
		"ORG":    "an organization, such as engineering",
		"OBJECT": "an object, such as roles/web",
		"FILE":   "a file",
	}[name]
	if what == "" {
		return fmt.Sprintf("an argument: %s", name)
	}
	return what
}

// firstExample returns the first command line of a command's examples, or its usage.
func firstExample(cmd *cobra.Command) string {
	for line := range strings.Lines(cmd.Example) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return cmd.UseLine()
}
