package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/help"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/config"
)

func newRootCmd(env *cmdline.Env) *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "chef-sync-ctl",
		Short: "Replicate Chef Infra Server objects from a primary to replicas",
		Long: `chef-sync-ctl continuously copies cookbooks, environments, roles and data bags
from one primary Chef Infra Server to one or more replicas. A pair is one
organization on one replica.

A PAIR argument selects pairs:

  ORG              all pairs of an organization
  REPLICA/ORG      one pair
  REPLICA/         all pairs of a replica
  'eu/*' '*/team-07' '*/web-??'
                   all pairs that the pattern matches

--replica NAME narrows the selection to one replica. Without an argument, commands
that only read act on all pairs; commands that change something require --all.`,
		Example: `  # see it work, with two servers in memory
  chef-sync-ctl demo

  # set up
  chef-sync-ctl init
  chef-sync-ctl prepare-org --all
  chef-sync-ctl doctor

  # replicate continuously, and check the status
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
			if version && len(args) == 0 {
				return printVersion(env)
			}
			return helpOrUnknown(cmd, args)
		},
	}
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	env.AddFlags(root.PersistentFlags())
	root.Flags().BoolVarP(&version, "version", "v", false, "print the version of this program")
	root.SetFlagErrorFunc(cmdline.FlagError)
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(ui.Formats(), cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"},
		cobra.ShellCompDirectiveNoFileComp))
	root.AddGroup(
		&cobra.Group{ID: cmdline.GroupSync, Title: "Replicate:"},
		&cobra.Group{ID: cmdline.GroupLook, Title: "Inspect:"},
		&cobra.Group{ID: cmdline.GroupCheck, Title: "Compare:"},
		&cobra.Group{ID: cmdline.GroupConfig, Title: "Set up:"},
	)
	root.SetHelpCommandGroupID(cmdline.GroupConfig)
	root.SetCompletionCommandGroupID(cmdline.GroupConfig)
	root.AddCommand(allCommands(env)...)
	root.AddCommand(helpTopics(root)...)
	refuseUnknownHelp(root)
	refuseUnknownShell(root)
	for _, c := range root.Commands() {
		words := otherNames()[c.Name()]
		c.Aliases, c.SuggestFor = append(c.Aliases, words.aliases...), append(c.SuggestFor, words.meant...)
		if c.HasSubCommands() && c.Name() != "completion" {
			c.Args, c.RunE = cobra.ArbitraryArgs, helpOrUnknown
		}
		if words.withoutAWS {
			help.WithoutAWS(c)
		}
	}
	env.InstallCompletion(root)
	help.Install(root)
	return root
}

// names are further names of a command.
type names struct {
	aliases    []string // work
	meant      []string // are not commands, but mean it
	withoutAWS bool     // flags about AWS mean nothing to it
}

// otherNames returns the further names of commands: those that other programs use, and
// those of the previous product that are no more.
func otherNames() map[string]names {
	return map[string]names{
		"sync-status":      {aliases: []string{"status"}, meant: []string{"ps", "list", "pairs", "health", "get", "show"}},
		"sync-log":         {aliases: []string{"log", "logs"}, meant: []string{"tail", "events"}},
		"sync-start":       {aliases: []string{"start"}, meant: []string{"resume", "enable", "approve", "up"}},
		"sync-stop":        {aliases: []string{"stop"}, meant: []string{"pause", "disable", "suspend", "down"}},
		"unsynced-objects": {aliases: []string{"unsynced"}, meant: []string{"failed", "errors", "retry"}},
		"runs":             {meant: []string{"history", "passes"}},
		"run":              {meant: []string{"daemon", "sync", "replicate", "once"}},
		"resync":           {meant: []string{"repair", "force", "reset"}},
		"undo":             {meant: []string{"rollback", "revert", "restore"}},
		"verify":           {meant: []string{"compare"}},
		"config":           {meant: []string{"show-config", "validate", "check", "settings"}},
		"prepare-org":      {meant: []string{"prepare", "bootstrap"}},
		"init":             {meant: []string{"setup", "new", "create"}, withoutAWS: true},
		"doctor":           {meant: []string{"test", "diagnose"}},
		"state":            {meant: []string{"export", "import", "move", "migrate"}},
		"demo":             {withoutAWS: true},
		"version":          {withoutAWS: true},
		"help":             {withoutAWS: true},
		"completion":       {withoutAWS: true},
	}
}

// helpOrUnknown shows the help of a command that has others below it, or refuses a word
// that is none of them.
func helpOrUnknown(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return cmd.Help()
	case !cmd.HasParent() && args[0] == "reconfigure":
		return exit.Usagef("restart chef-sync-ctl run, or send it SIGHUP", "reconfigure isn't needed: %s is read when run starts, and again on SIGHUP",
			config.FileName)
	}
	return cmdline.UnknownCommand(cmd, args[0])
}

// refuseUnknownHelp lets the help command, which answers everything with help,
// fail for what isn't there.
func refuseUnknownHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	cmd, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	cmd.Example = "  chef-sync-ctl help sync-status\n  chef-sync-ctl help exit-codes"
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if cmd, rest, _ := root.Find(args); cmd != nil && len(rest) > 0 {
			return cmdline.UnknownCommand(cmd, rest[0])
		}
		return nil
	}
}

// refuseUnknownShell lets the completion command, which answers everything with
// help, fail for a shell that it doesn't know.
func refuseUnknownShell(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	parent, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	var shells []string
	for _, c := range parent.Commands() {
		shells = append(shells, c.Name())
		c.Args, c.Example = cmdline.CheckArgs(cobra.NoArgs), "  "+c.CommandPath()
	}
	parent.Use += " " + strings.Join(shells, "|")
	parent.Long = "Write the script that completes the words of this program's command lines in a\n" +
		"shell. The help of each shell's command says how to load it."
	parent.Example = "  chef-sync-ctl completion bash > /etc/bash_completion.d/chef-sync-ctl"
	parent.Args = cobra.ArbitraryArgs
	parent.RunE = func(cmd *cobra.Command, words []string) error {
		if len(words) == 0 {
			return cmd.Help()
		}
		return exit.Usagef(cmd.CommandPath()+" --help", "%q is not a supported shell: expected one of %s", words[0],
			strings.Join(shells, ", "))
	}
}

// allCommands are all commands, in the order of help.
func allCommands(env *cmdline.Env) []*cobra.Command {
	return []*cobra.Command{
		newRunCmd(env), newSyncStartCmd(env), newSyncStopCmd(env), newServeChangesCmd(env),
		newSyncStatusCmd(env), newSyncLogCmd(env), newManagerLogCmd(env), newUnsyncedObjectsCmd(env), newRunsCmd(env), newWebCmd(env),
		newPlanCmd(env), newDiffCmd(env), newVerifyCmd(env), newResyncCmd(env), newUndoCmd(env),
		newInitCmd(env), newPrepareOrgCmd(env), newDoctorCmd(env), newConfigCmd(env), newNotifyTestCmd(env), newStateCmd(env),
		newDemoCmd(env, executeArgs), newVersionCmd(env),
	}
}
