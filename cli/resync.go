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
		Long: `Request a full comparison: the next pass reads every object on both sides and
repairs what differs on the replica, including changes that others made there. If
interrupted, it resumes where it stopped. The brake and the prune rule apply as
always. "chef-sync-ctl run" does the work; until then, sync-status shows it as
pending.

With objects, only those are compared, at most ` + fmt.Sprint(replication.MaxResyncObjects) + `. Write an object as its path, such
as cookbooks/users/1.0.0, roles/web or data_bags/users/alice; a data bag includes all
its items. Start the path with a slash if it could also be a pair. You can omit the
pair if there is only one.

With --prune, the pass also deletes every object that the primary doesn't have, once
and subject to the brake, as prune = "all" always does: objects that others created
on the replica, and objects that were deleted on the primary while replication had
lost its state.

To see what it would do: chef-sync-ctl plan PAIR --full, or --prune`,
		Example: `  chef-sync-ctl resync eu/engineering
  chef-sync-ctl resync engineering --yes --wait 30m
  chef-sync-ctl resync eu/engineering --prune
  chef-sync-ctl resync eu/engineering cookbooks/users/1.0.0 --yes
  chef-sync-ctl resync /data_bags/users /roles/web --yes`,
	}
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "don't ask")
	cmd.Flags().BoolVar(&f.prune, "prune", false, "delete everything on the replica that the primary doesn't have")
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
			return exit.Usagef("leave out the objects or --prune", "--prune can't be used with objects")
		}
		if err := env.Confirm(ctx, f.yes, f.confirmQuestion(refs)+app.PairNames(pairs)); err != nil {
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
		return "Delete everything on the replica that the primary doesn't have, and compare and repair all of "
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
	since := env.Now()
	stopped := map[replication.PairID]bool{}
	answers, failed := control.ChangePairs(ctx, a, pairs, func(p app.Pair, st replication.PairState) (control.Answer, replication.DesiredChange, error) {
		stopped[p.ID] = st.Desired.Stopped
		change, err := newDesiredChange(st, refs, since)
		change.Prune = f.prune
		answer := control.Answer{Pair: p.ID, Result: control.ResultResyncRequested, Status: st.Status()}
		if len(refs) > 0 {
			answer.Result = control.ResultObjectsRequested
		}
		return answer, change, app.WrapPair(p.ID, err)
	})
	for _, c := range answers {
		if stopped[c.Pair] {
			env.Output().Note("%s is stopped: the comparison waits for sync-start", c.Pair)
		}
	}
	var late error
	if timeout := time.Duration(f.wait); failed == nil && timeout > 0 {
		if late = control.CheckPassesRun(ctx, a, since); late == nil {
			late = control.WaitSynced(ctx, a, pairs, since, timeout)
		}
	}
	control.SetStatuses(ctx, a, answers, env.Now())
	return cmp.Or(control.Print(env, answers, failed), failed, late)
}

// newDesiredChange asks for a full comparison, or for one of objects. Those that were asked for
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
