package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/control"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/plans"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// undoFlags are the flags of undo.
type undoFlags struct {
	yes, plan bool
	wait      ui.Duration
}

func newUndoCmd(env *cmdline.Env) *cobra.Command {
	f := undoFlags{wait: ui.Duration(control.StopTimeout)}
	cmd := &cobra.Command{
		Use:     "undo PAIR RUN",
		Short:   "Restore the replica to its state before a run, and stop the pair",
		GroupID: cmdline.GroupCheck,
		Long: `Restore what a run, and all runs of the pair after it, wrote or deleted on the
replica. Objects that were created are deleted; objects that were changed or deleted
are written as they were. Everything else on the replica is left unchanged.

The plan is shown first, and alone with --plan. Then the pair is stopped, so that
nothing is replicated until you have corrected the primary and started the pair
again: the next pass compares the restored objects with the primary and replicates
them. An undo is a run and can be undone, too.

What runs replace is kept for 7 days, unless the configuration sets undo = false.
Objects whose backup is no longer available are left unchanged and listed as
unsynced.

Exits with code 0 if everything is restored, and with 3 if something is not, or with
--plan could not be.`,
		Example: `  chef-sync-ctl runs eu/engineering
  chef-sync-ctl undo eu/engineering 20261129T101500.000Z-42 --plan
  chef-sync-ctl undo eu/engineering 20261129T101500.000Z-42
  chef-sync-ctl sync-start eu/engineering`,
		Args: cmdline.CheckArgs(cobra.ExactArgs(2)),
	}
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "don't ask")
	cmd.Flags().BoolVar(&f.plan, "plan", false, "show what would be restored, and change nothing")
	cmd.Flags().Var(&f.wait, "wait", "how long to wait for a running pass")
	cmd.ValidArgsFunction = env.CompletePairs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return env.WithNamedPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
			if len(pairs) != 1 {
				return exit.Usagef("name one of them: "+app.PairNames(pairs), "%s selects %d pairs; a run belongs to one", args[0], len(pairs))
			}
			return app.WrapPair(pairs[0].ID, undoRun(ctx, env, a, pairs[0], args[1], f))
		})(cmd, args[:1])
	}
	return cmd
}

// undoRun shows what an undo would do, and does it unless only the plan is wanted.
func undoRun(ctx context.Context, env *cmdline.Env, a *app.App, p app.Pair, run string, f undoFlags) error {
	a.KeepLog()
	engine, err := a.Engine(ctx, p)
	if err != nil {
		return err
	}
	progress := env.Output().NewProgress(1)
	engine.Observe = progress.Observe
	plan, err := engine.PreviewUndo(ctx, run)
	progress.End()
	switch {
	case errors.Is(err, replication.ErrNoRun):
		return exit.With(exit.NotFound, err, "chef-sync-ctl runs "+p.ID.String())
	case err != nil:
		return err
	}
	if f.plan || plan.Writes() == 0 {
		err := plans.Print(env, plan)
		if err == nil && len(plan.Failed) > 0 {
			err = exit.Silent(exit.Partial) // not everything can be restored
		}
		return err
	}
	if env.Format == ui.Table {
		if err := plans.Print(env, plan); err != nil {
			return err
		}
	}
	question := fmt.Sprintf("Restore %s of %s to before run %s, and stop the pair", ui.Plural(plan.Writes(), "object"), p.ID, run)
	if err := env.Confirm(ctx, f.yes, question); err != nil {
		return err
	}
	if err := stopForUndo(ctx, env, a, p, run, time.Duration(f.wait)); err != nil {
		return err
	}
	return restoreRun(ctx, env, engine, run)
}

// stopForUndo stops the pair and waits until no pass writes.
func stopForUndo(ctx context.Context, env *cmdline.Env, a *app.App, p app.Pair, run string, wait time.Duration) error {
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	if err := state.ChangeDesired(ctx, p.ID, replication.NewUndoRequest(run, env.Now())); err != nil {
		return err
	}
	if err := control.WaitIdle(ctx, env, a, []app.Pair{p}, wait); err != nil {
		return exit.With(exit.Of(err), fmt.Errorf("the pair is stopped, but nothing was restored: %w", err), "try again with the same command")
	}
	return nil
}

// restoreRun does the undo and shows how it ended.
func restoreRun(ctx context.Context, env *cmdline.Env, engine *replication.Engine, run string) error {
	progress := env.Output().NewProgress(1)
	engine.Observe = progress.Observe
	undone, err := engine.Undo(ctx, run, replication.PassOptions{Trigger: replication.TriggerManual})
	progress.End()
	if err != nil {
		return fmt.Errorf("the pair is stopped, but not everything was restored: %w", err)
	}
	err = env.Output().Emit(undone, func(t *ui.Grid) {
		c := undone.Counts
		t.Line("Restored on %s: %d created, %d updated, %d deleted.", undone.Pair, c.Created, c.Updated, c.Deleted)
		if undone.Left > 0 {
			t.Line("%s could not be restored. Try: chef-sync-ctl unsynced-objects %s", ui.Plural(undone.Left, "object"), undone.Pair)
		}
		t.Line("The pair is stopped. Correct the primary, then: chef-sync-ctl sync-start %s", undone.Pair)
	})
	if err == nil && undone.Outcome != replication.OutcomeDone {
		err = exit.Silent(exit.Partial)
	}
	return err
}
