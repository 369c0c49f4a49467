package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/doctor"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

func newDoctorCmd(env *cmdline.Env) *cobra.Command {
	var purge, yes, failed bool
	cmd := &cobra.Command{
		Use:     "doctor [PAIR|REPLICA...]",
		Short:   "Check everything that replication needs",
		GroupID: cmdline.GroupConfig,
		Long: `Check the configuration, keys, servers, clocks, permissions, feeds, state, stage and
pairs, and show what to try for each failure. Nothing is changed on any server. With
arguments, only the selected pairs and what they need are checked; --failed shows
only what failed.

Without an admin's key, not all permissions on a replica can be checked; those that
were not checked are listed. The exit code is that of the first failure; see help
exit-codes.

On a stack, the table, functions, logs and dead letters are checked, and the servers
from the stack's function. --purge instead empties the queue of dead letters: events
that no function processed and that later events have superseded.

If the primary doesn't serve updated_since, the settings that make it push its
changes are shown.`,
		Example: "  chef-sync-ctl doctor\n  chef-sync-ctl doctor eu --failed\n  chef-sync-ctl doctor -o json | jq '.checks[] | select(.state==\"fail\")'",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if purge && len(args) > 0 {
				return exit.Usagef(cmd.UseLine(), "--purge takes no pairs")
			}
			if purge {
				return env.WithApp(func(ctx context.Context, a *app.App) error { return purgeDeadLetters(ctx, env, a, yes) })(cmd, args)
			}
			checks, closed := runChecks(cmd.Context(), env, args)
			d := doctor.NewDiagnosis(checks)
			if failed {
				d.Checks = doctor.Failures(d.Checks)
			}
			if err := env.Output().Emit(d, func(t *ui.Grid) { doctor.ShowDiagnosis(t, d) }); err != nil {
				return err
			}
			if closed != nil {
				return exit.Silent(exit.Of(closed))
			}
			return exit.Silent(doctor.ExitCode(d))
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		pairs, _ := env.CompletePairs(cmd, args, word)
		replicas, directive := env.CompleteReplicas(cmd, args, word)
		return append(replicas, pairs...), directive
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "show only failed checks, and the counts of all")
	cmd.Flags().BoolVar(&purge, "purge", false, "empty the queue of dead letters of a stack instead of checking")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --purge: don't ask")
	return cmd
}

// runChecks runs all checks. A configuration or a stack that can't be opened is a
// check too, and then there are no others.
func runChecks(ctx context.Context, env *cmdline.Env, args []string) (checks []doctor.Check, closed error) {
	conf := &doctor.List{Group: "configuration"}
	a, err := env.Open(ctx)
	if err != nil {
		conf.Fail("read", exit.Hint(err), err)
		return conf.Checks, err
	}
	defer a.Close()
	conf.OK("read", "%s", a.File)
	pairs, err := selectForDoctor(a, args)
	if err != nil {
		conf.Fail("arguments", exit.Hint(err), err)
		return conf.Checks, err
	}
	return doctor.Run{App: a, Pairs: pairs, Some: len(args) > 0, Now: env.Now}.Checks(ctx, conf), nil
}

// selectForDoctor finds the pairs that arguments name, as for all commands; the name of
// a replica means all its pairs.
func selectForDoctor(a *app.App, args []string) ([]app.Pair, error) {
	all := a.Pairs()
	if len(args) == 0 {
		return all, nil
	}
	chosen := map[replication.PairID]bool{}
	for _, arg := range args {
		pairs, err := a.Select(arg)
		for _, p := range all {
			if p.ID.Replica == arg {
				pairs, err = append(pairs, p), nil
			}
		}
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			chosen[p.ID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p app.Pair) bool { return !chosen[p.ID] }), nil
}

// purgeDeadLetters empties the queue of the events that no function processed.
func purgeDeadLetters(ctx context.Context, env *cmdline.Env, a *app.App, yes bool) error {
	if a.Stack == nil || a.Stack.DeadLetters == "" {
		return exit.Usagef("name a stack: --stack NAME", "only a stack on AWS has dead letters")
	}
	n, err := a.Stack.DeadLetterCount(ctx)
	if err != nil {
		return err
	}
	if n == 0 {
		env.Output().Note("there are no dead letters")
		return nil
	}
	if err := env.Confirm(ctx, yes, fmt.Sprintf("Delete about %s from the queue of dead letters of stack %s", ui.Plural(n, "event"),
		a.Stack.Stack)); err != nil {
		return err
	}
	if err := a.Stack.PurgeDeadLetters(ctx); err != nil {
		return err
	}
	env.Output().Note("deleted about %s; AWS may take a minute to do it", ui.Plural(n, "event"))
	return nil
}
