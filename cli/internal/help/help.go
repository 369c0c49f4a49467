// Package help writes the help of commands, for terminals of 80 columns.
package help

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Width is the number of columns that help fits in.
const Width = 80

// noAWS is the annotation of commands that flags about AWS mean nothing to.
const noAWS = "noAWS"

// WithoutAWS marks a command, with those below it, that flags about AWS mean nothing to.
func WithoutAWS(c *cobra.Command) {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[noAWS] = "true"
}

// Install makes a command and all below it show help as Text does.
func Install(root *cobra.Command) {
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { _, _ = io.WriteString(c.OutOrStdout(), Text(c)) })
	root.SetUsageFunc(func(c *cobra.Command) error {
		_, err := io.WriteString(c.OutOrStderr(), usage(c))
		return err
	})
}

// Text returns the help of a command. No line is wider than Width, unless a word is.
func Text(c *cobra.Command) string {
	text := c.Long
	if text == "" {
		text = c.Short
	}
	text = strings.TrimSpace(reflow(text)) + "\n"
	if c.Runnable() || c.HasSubCommands() {
		text += "\n" + usage(c)
	}
	return text
}

// usage returns how a command is called: its arguments, examples, commands and flags.
func usage(c *cobra.Command) string {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND\n", c.CommandPath())
	} else {
		b.WriteString(continued("  " + c.UseLine()))
	}
	if len(c.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAliases:\n  %s\n", strings.Join(c.Aliases, ", "))
	}
	if c.HasExample() {
		b.WriteString("\nExamples:\n")
		for line := range strings.Lines(strings.TrimRight(c.Example, "\n")) {
			b.WriteString(continued(strings.TrimRight(line, "\n")))
		}
	}
	writeCommands(&b, c)
	if flags := c.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
		b.WriteString("\nFlags:\n" + flags.FlagUsagesWrapped(Width))
	}
	if names := GlobalFlags(c); len(names) > 0 {
		b.WriteString("\nGlobal flags, described in " + c.Root().Name() + " help global-flags:\n" +
			wrapWords("  ", strings.Join(names, ", ")))
	}
	return b.String()
}

// writeCommands lists the commands and topics below a command, by group.
func writeCommands(b *strings.Builder, c *cobra.Command) {
	list := func(title, group string, topics bool) {
		begun := false
		for _, sub := range c.Commands() {
			if sub.Hidden || sub.IsAdditionalHelpTopicCommand() != topics || sub.GroupID != group {
				continue
			}
			if !begun {
				begun = true
				fmt.Fprintf(b, "\n%s\n", title)
			}
			b.WriteString(hanging(fmt.Sprintf("  %-*s ", sub.NamePadding(), sub.Name()), sub.Short))
		}
	}
	for _, g := range c.Groups() {
		list(g.Title, g.ID, false)
	}
	list("Commands:", "", false)
	list("Help topics:", "", true)
}

// GlobalFlags returns the flags that a command shares with all others and that mean
// something to it, in their short form.
func GlobalFlags(c *cobra.Command) (names []string) {
	withoutAWS := false
	for up := c; up != nil; up = up.Parent() {
		withoutAWS = withoutAWS || up.Annotations[noAWS] != ""
	}
	c.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		switch {
		case f.Hidden || withoutAWS && isAboutAWS(f):
		case f.Shorthand != "":
			names = append(names, "-"+f.Shorthand+"/--"+f.Name)
		default:
			names = append(names, "--"+f.Name)
		}
	})
	return names
}

// isAboutAWS reports whether a flag is about a stack on AWS, or how to sign in there.
func isAboutAWS(f *pflag.Flag) bool {
	return f.Name == "stack" || f.Name == "profile" || f.Name == "region"
}

// GlobalFlagsText explains the flags that all commands share.
func GlobalFlagsText(flags *pflag.FlagSet) string {
	all, aws := pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.VisitAll(func(f *pflag.Flag) {
		if isAboutAWS(f) {
			aws.AddFlag(f)
		} else {
			all.AddFlag(f)
		}
	})
	return "All commands:\n\n" + all.FlagUsagesWrapped(Width) + "\nCommands that open the configuration, to work on a stack on AWS:\n\n" +
		aws.FlagUsagesWrapped(Width)
}
