package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
)

func newTickCmd(env *cmdline.Env) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:     "tick",
		Short:   "Fire the schedules of a stack on an emulator that doesn't",
		GroupID: cmdline.GroupSync,
		Long: `Fire the schedules of a stack on an emulator of AWS that keeps schedules but never
fires them, as LocalStack does: for ever, each at its rate, or with --once all that
are enabled, one time. Events are only put into the queues of the functions;
sync-status and sync-log show what comes of them.

On AWS itself, EventBridge Scheduler does this, and the command refuses.`,
		Example: `  chef-sync-ctl tick --stack chef-sync
  chef-sync-ctl tick --stack chef-sync --once`,
		Args: cmdline.CheckArgs(cobra.NoArgs),
	}
	cmd.Flags().BoolVar(&once, "once", false, "fire what is due, then end")
	cmd.PreRun = func(*cobra.Command, []string) {
		env.Daemon = !once
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if env.Stack == "" {
			return exit.Usagef("add --stack NAME", "only a stack has schedules")
		}
		a, err := env.Open(cmd.Context())
		if err != nil {
			return err
		}
		defer a.Close()
		return fire(cmd.Context(), env, a, once)
	}
	return cmd
}

func fire(ctx context.Context, env *cmdline.Env, a *app.App, once bool) error {
	tick, err := a.Stack.Tick(a.Log, env.Now)
	if err != nil {
		return err
	}
	if !once {
		tick.Run(ctx)
		return nil
	}
	fired, failed := tick.Once(ctx) // the others, when some can't be
	if len(fired) == 0 && failed != nil {
		return failed
	}
	err = env.Output().Emit(fired, func(t *ui.Grid) {
		for _, name := range fired {
			t.Line("fired %s", name)
		}
		if len(fired) == 0 {
			t.Line("no schedule is enabled")
		}
	})
	return errors.Join(failed, err)
}
