package main

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

func newResyncCmd(g *globals) *cobra.Command {
	var yes bool
	var timeout ui.Duration
	cmd := &cobra.Command{
		Use:     "resync PAIR...",
		Short:   "Compare everything and repair what differs",
		GroupID: groupCheck,
		Long: `Ask for a full compare: the next pass reads every object on both sides and
repairs what differs on the replica, also what was changed there by hand. It
goes on where it was if it is interrupted. The safety brake and the prune rule
hold as always. "chef-sync-ctl run" does the work.

See first what it would do with: chef-sync-ctl plan PAIR --full`,
		Example: `  chef-sync-ctl resync eu/engineering
  chef-sync-ctl resync engineering --yes --wait 30m`,
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: g.completePairs,
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	cmd.Flags().Var(&timeout, "wait", "wait until the pairs are in sync, at most this long")
	cmd.RunE = g.withPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		if err := g.confirm(yes, "Compare and repair all of "+namesOf(pairs)); err != nil {
			return err
		}
		return resyncPairs(ctx, g, a, pairs, time.Duration(timeout))
	})
	return cmd
}

func resyncPairs(ctx context.Context, g *globals, a *app.App, pairs []app.Pair, timeout time.Duration) error {
	state, err := a.State(ctx)
	if err != nil {
		return err
	}
	since := g.now()
	var answers []changed
	failed := eachPair(ctx, pairs, func(p app.Pair) error {
		if err := state.Direct(ctx, p.ID, replication.Directive{Resync: &since, At: since}); err != nil {
			return ofPair(p.ID, err)
		}
		st, err := state.Pair(ctx, p.ID)
		if err != nil {
			return ofPair(p.ID, err)
		}
		if st.Desired.Stopped {
			g.output().Note("%s is stopped: it compares after sync-start", p.ID)
		}
		answers = append(answers, changed{p.ID, resultResyncRequested, st.Status()})
		return nil
	})
	var late error
	if failed == nil && timeout > 0 {
		late = waitSynced(ctx, state, pairs, since, timeout)
		withStatus(ctx, state, answers)
	}
	return cmp.Or(emitChanged(g, answers, failed), failed, late)
}
