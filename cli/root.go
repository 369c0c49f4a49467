package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
)

func newRootCmd(env *cmdline.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "chef-sync-ctl",
		Short: "Replicate Chef Infra Server objects from a primary to replicas",
		Long: `chef-sync-ctl copies cookbooks, environments, roles and data bags from one
primary Chef Infra Server to one or more replicas, continuously and per organization.

An argument called PAIR selects pairs:

  ORG              all pairs of an organization
  REPLICA/ORG      one pair
  REPLICA/         all pairs of a replica
  'eu/*' '*/team-07' '*/web-??'
                   all pairs that the pattern matches

--replica NAME selects among them those of a replica. Commands that only read
take all pairs without an argument; those that change something want --all for
that.`,
		Example: `  # see it work, with two servers in memory
  chef-sync-ctl demo

  # set up
  chef-sync-ctl init
  chef-sync-ctl prepare-org engineering --side primary
  chef-sync-ctl doctor

  # replicate continuously, and see how it goes
  chef-sync-ctl run
  chef-sync-ctl sync-status`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := env.SetFlagsFromEnvironment(cmd); err != nil {
				return err
			}
			return env.CheckFlags()
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
		SuggestionsMinimumDistance: 2,
	}
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	env.AddFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.Usagef(cmd.CommandPath()+" --help", "%w", err)
	})
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(ui.Formats(), cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"},
		cobra.ShellCompDirectiveNoFileComp))
	root.AddGroup(
		&cobra.Group{ID: cmdline.GroupSync, Title: "Replicate:"},
		&cobra.Group{ID: cmdline.GroupLook, Title: "Look:"},
		&cobra.Group{ID: cmdline.GroupCheck, Title: "Compare:"},
		&cobra.Group{ID: cmdline.GroupConfig, Title: "Set up:"},
	)
	root.SetHelpCommandGroupID(cmdline.GroupConfig)
	root.SetCompletionCommandGroupID(cmdline.GroupConfig)
	root.AddCommand(allCommands(env)...)
	root.AddCommand(newExitCodesCmd(), newEnvironmentCmd(root), newSelectionCmd())
	refuseUnknownHelp(root)
	refuseUnknownShell(root)
	return root
}

// refuseUnknownHelp lets the help command, which answers everything with help,
// fail for what isn't there.
func refuseUnknownHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	help.Example = "  chef-sync-ctl help sync-status\n  chef-sync-ctl help exit-codes"
	help.Args = func(_ *cobra.Command, args []string) error {
		if cmd, rest, _ := root.Find(args); cmd != nil && len(rest) > 0 {
			return unknownCommand(cmd, rest[0])
		}
		return nil
	}
}

// refuseUnknownShell lets the completion command, which answers everything with
// help, fail for a shell that it doesn't know.
func refuseUnknownShell(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	var shells []string
	for _, c := range completion.Commands() {
		shells = append(shells, c.Name())
		c.Args, c.Example = cmdline.CheckArgs(cobra.NoArgs), "  "+c.CommandPath()
	}
	completion.Example = "  chef-sync-ctl completion bash > /etc/bash_completion.d/chef-sync-ctl"
	completion.Args = cobra.ArbitraryArgs
	completion.RunE = func(cmd *cobra.Command, words []string) error {
		if len(words) == 0 {
			return cmd.Help()
		}
		return exit.Usagef(cmd.CommandPath()+" --help", "%q is not a shell that is known: expected one of %s", words[0],
			strings.Join(shells, ", "))
	}
}

func unknownCommand(cmd *cobra.Command, word string) error {
	hint := cmd.CommandPath() + " --help"
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		hint = cmd.CommandPath() + " " + strings.Join(near, ", or "+cmd.CommandPath()+" ")
	}
	return exit.Usagef(hint, "%q is not a command", word)
}

// allCommands are all commands, in the order of help.
func allCommands(env *cmdline.Env) []*cobra.Command {
	return []*cobra.Command{
		newRunCmd(env), newSyncStartCmd(env), newSyncStopCmd(env), newServeChangesCmd(env),
		newSyncStatusCmd(env), newSyncLogCmd(env), newManagerLogCmd(env), newUnsyncedObjectsCmd(env), newRunsCmd(env), newWebCmd(env),
		newPlanCmd(env), newDiffCmd(env), newVerifyCmd(env), newResyncCmd(env),
		newInitCmd(env), newPrepareOrgCmd(env), newDoctorCmd(env), newConfigCmd(env), newNotifyTestCmd(env), newStateCmd(env), newDemoCmd(env), newVersionCmd(env),
	}
}
