package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/control"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
	"chefsync/pkg/replication"
)

// resyncFlags are the flags of resync.
type resyncFlags struct {
	yes, prune bool
	wait       ui.Duration
}

func newResyncCmd(env *cmdline.Env) *cobra.Command {
	var f resyncFlags
	cmd := &cobra.Command{
		Use:     "resync [PAIR...] [OBJECT...]",
		Short:   "Compare everything, or the named objects, and repair what differs",
		GroupID: cmdline.GroupCheck,
		Long: `Ask for a full compare: the next pass reads every object on both sides and
repairs what differs on the replica, also what was changed there by hand. It
goes on where it was if it is interrupted. The safety brake and the prune rule
hold as always. "chef-sync-ctl run" does the work; until it has, sync-status shows
it as pending.

With objects, only these are compared, ` + fmt.Sprint(replication.MaxResyncObjects) + ` at most. An object is written as its path,
such as cookbooks/users/1.0.0, roles/web or data_bags/users/alice; a data bag stands
for itself and all its items. Begin it with a slash where it could be a pair too. The
pair may be left out if there is only one.

With --prune, it also deletes whatever the primary doesn't have, once and under the
safety brake, as prune = "all" does always: what others put on the replica, and
what was deleted on the primary while replication had lost its state.

See first what it would do with: chef-sync-ctl plan PAIR --full, or --prune`,
		Example: `  chef-sync-ctl resync eu/engineering
  chef-sync-ctl resync engineering --yes --wait 30m
  chef-sync-ctl resync eu/engineering --prune
  chef-sync-ctl resync eu/engineering cookbooks/users/1.0.0 --yes
  chef-sync-ctl resync /data_bags/users /roles/web --yes`,
	}
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "don't ask")
	cmd.Flags().BoolVar(&f.prune, "prune", false, "delete on the replica whatever the primary doesn't have")
	cmd.Flags().Var(&f.wait, "wait", "wait until the pairs are in sync, at most this long")
	env.TakePairs(cmd)
	cmd.RunE = env.WithObjectsIf(func() bool { return true }, func(ctx context.Context, a *app.App, pairs []app.Pair, objects cmdline.Objects) error {
		refs := objects.Refs
		if len(objects.Patterns) > 0 {
			return exit.Usagef("name each object, or leave them out to compare everything", "resync takes objects, not patterns such as %s", objects.Patterns[0])
		}
		if err := checkSelected(pairs, refs); err != nil {
			return err
		}
		if f.prune && len(refs) > 0 {
			return exit.Usagef("leave the objects out, or --prune", "--prune is about all of a pair")
		}
		if err := env.Confirm(f.yes, f.confirmQuestion(refs)+app.PairNames(pairs)); err != nil {
			return err
		}
		return resyncPairs(ctx, env, a, pairs, refs, f)
	})
	return cmd
}

// confirmQuestion is what is asked before.
func (f resyncFlags) confirmQuestion(refs []object.Ref) string {
	switch {
	case f.prune:
		return "Delete on the replica whatever the primary doesn't have, and compare and repair all of "
	case len(refs) > 0:
		return "Compare and repair " + ui.Plural(len(refs), "object") + " of "
	}
	return "Compare and repair all of "
}

// checkSelected fails if a pair doesn't replicate an object.
func checkSelected(pairs []app.Pair, refs []object.Ref) error {
	for _, p := range pairs {
		for _, r := range refs {
			if !p.Manages(r) {
				return exit.With(exit.NotFound, fmt.Errorf("%s isn't selected for replication by the pair %s", r, p.ID),
					"chef-sync-ctl help selection")
			}
		}
	}
	return nil
}

func resyncPairs(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, refs []object.Ref, f resyncFlags) error {
	state, err := control.StateAsOfScans(ctx, a)
	if err != nil {
		return err
	}
	since := env.Now()
	var answers []control.Answer
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		st, err := state.Pair(ctx, p.ID)
		if err != nil {
			return app.WrapPair(p.ID, err)
		}
		change, err := newDesiredChange(st, refs, since)
		if err != nil {
			return app.WrapPair(p.ID, err)
		}
		change.Prune = f.prune
		if err := state.ChangeDesired(ctx, p.ID, change); err != nil {
			return app.WrapPair(p.ID, err)
		}
		if st.Desired.Stopped {
			env.Output().Note("%s is stopped: it compares after sync-start", p.ID)
		}
		result := control.ResultResyncRequested
		if len(refs) > 0 {
			result = control.ResultObjectsRequested
		}
		answers = append(answers, control.Answer{Pair: p.ID, Result: result, Status: st.Status()})
		return nil
	})
	var late error
	if timeout := time.Duration(f.wait); failed == nil && timeout > 0 {
		if late = control.CheckPassesRun(ctx, a, since); late == nil {
			late = control.WaitSynced(ctx, state, pairs, since, timeout)
		}
	}
	control.SetStatuses(ctx, a, answers, env.Now())
	return cmp.Or(control.Print(env, answers, failed), failed, late)
}

// newDesiredChange asks for a full compare, or for one of objects. Those that were asked for
// before and that no pass has compared are asked for again.
func newDesiredChange(st replication.PairState, refs []object.Ref, now time.Time) (replication.DesiredChange, error) {
	if len(refs) == 0 {
		return replication.DesiredChange{Resync: &now, At: now}, nil
	}
	refs = slices.Clone(refs)
	refs = append(refs, st.ObjectsAsked()...)
	slices.SortFunc(refs, object.Compare)
	refs = slices.Compact(refs)
	if len(refs) > replication.MaxResyncObjects {
		return replication.DesiredChange{}, exit.Usagef("wait for the next pass, or compare everything: chef-sync-ctl resync "+st.ID.String(),
			"%d objects would wait for a comparison, at most %d can", len(refs), replication.MaxResyncObjects)
	}
	return replication.DesiredChange{ResyncObjectsAt: &now, ResyncObjects: refs, At: now}, nil
}
