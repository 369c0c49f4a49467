package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// allRuns is more runs than a state keeps of a pair.
const allRuns = 1 << 20

func newRunsCmd(env *cmdline.Env) *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use:     "runs [PAIR [RUN]]",
		Short:   "List what passes and verifications did, newest first",
		GroupID: cmdline.GroupLook,
		Long: `List what passes and verifications did, newest first, of all pairs unless one is
named. Polls that found nothing to do leave no record. With a run's id, show that one in full. The objects that a
run touched or a verification found are in the log: sync-log PAIR --run RUN.

A run whose process died, or lost its lease, has the outcome died and ends with
what it recorded last; its work is taken up by the next pass.

TRIGGER is what started a run:
  schedule   the pair's interval, or a verification that was due
  scan       a scan of the primary found changes
  push       the primary's data collector told of a change
  operator   the daemon saw what sync-start or resync asked for
  recovery   a server that had failed answers again
  manual     a command that did the run: run --once, verify, or an event by hand`,
		Example: `  chef-sync-ctl runs
  chef-sync-ctl runs engineering
  chef-sync-ctl runs eu/engineering -n 100 -o jsonl`,
		Args:              cmdline.CheckArgs(cobra.MaximumNArgs(2)),
		ValidArgsFunction: env.CompletePairs,
	}
	cmd.Flags().IntVarP(&limit, "number", "n", limit, "at most so many runs; 0 for all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 0 {
			return exit.Usagef("--number 0 for all", "--number can't be %d", limit)
		}
		return env.WithPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
			if len(args) == 2 {
				return showRun(ctx, env, a, pairs, args[1])
			}
			if limit == 0 {
				limit = allRuns
			}
			runs, failed := listRuns(ctx, a, pairs, limit, env.Now())
			if len(runs) == 0 && failed != nil {
				return failed
			}
			return cmp.Or(emitRuns(env, runs[:min(limit, len(runs))]), failed)
		})(cmd, args[:min(len(args), 1)])
	}
	return cmd
}

// listRuns lists the runs of all pairs, newest first, also when those of another can't
// be read.
func listRuns(ctx context.Context, a *app.App, pairs []app.Pair, limit int, now time.Time) ([]replication.Run, error) {
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	runs := []replication.Run{}
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		list, err := runsOf(ctx, a, state, p.ID, limit, now)
		runs = append(runs, list...)
		return app.WrapPair(p.ID, err)
	})
	slices.SortStableFunc(runs, func(a, b replication.Run) int { return b.Started.Compare(a.Started) })
	return runs, failed
}

// runsOf lists the runs of a pair as they are to be shown.
func runsOf(ctx context.Context, a *app.App, state replication.State, id replication.PairID, limit int, now time.Time) ([]replication.Run, error) {
	st, err := state.Pair(ctx, id) // before the runs: see ShownRun
	if err != nil {
		return nil, err
	}
	if a.Abandoned(st.Lease) {
		st.Lease.Owner = ""
	}
	runs, err := state.Runs(ctx, id, limit)
	for i := range runs {
		runs[i] = replication.ShownRun(runs[i], st, now)
	}
	return runs, err
}

func emitRuns(env *cmdline.Env, runs []replication.Run) error {
	return env.Output().Emit(runs, func(t *ui.Grid) {
		if len(runs) == 0 {
			t.Line("no runs yet")
			return
		}
		t.Head("RUN", "PAIR", "STARTED", "TOOK", "TRIGGER", "MODE", "OUTCOME", "CREATED", "UPDATED", "DELETED", "EQUAL", "UNSYNCED")
		for _, r := range runs {
			c := r.Counts
			t.Row(ui.OrDash(r.ID), r.Pair.String(), ui.Stamp(r.Started), took(r, env.Now()), r.Trigger, cmp.Or(r.Mode, "poll"), outcomeWord(t, r.Outcome),
				strconv.Itoa(c.Created), strconv.Itoa(c.Updated), strconv.Itoa(c.Deleted), strconv.Itoa(c.Equal), strconv.Itoa(max(c.Unsynced, r.Left)))
		}
	})
}

func took(r replication.Run, now time.Time) string {
	end := r.Ended
	if end.IsZero() {
		end = now
	}
	if d := end.Sub(r.Started); d < time.Minute {
		return d.Round(10 * time.Millisecond).String()
	}
	return ui.Span(end.Sub(r.Started))
}

func outcomeWord(t *ui.Grid, outcome string) ui.Text {
	switch outcome {
	case replication.OutcomeDone:
		return t.Paint(ui.Green, outcome)
	case replication.OutcomeFailed, replication.OutcomeHeld, replication.OutcomeDied:
		return t.Paint(ui.Red, outcome)
	}
	return t.Paint(ui.Yellow, outcome)
}

// showRun finds one run by its id.
func showRun(ctx context.Context, env *cmdline.Env, a *app.App, pairs []app.Pair, id string) error {
	runs, failed := listRuns(ctx, a, pairs, allRuns, env.Now())
	for _, r := range runs {
		if r.ID == id {
			return env.Output().Emit(r, func(t *ui.Grid) { describeRun(t, r, env.Now()) })
		}
	}
	if failed != nil {
		return failed // it may be among these
	}
	return exit.With(exit.NotFound, fmt.Errorf("there is no run %s", id), "chef-sync-ctl runs "+pairs[0].ID.String())
}

func describeRun(t *ui.Grid, r replication.Run, now time.Time) {
	c := r.Counts
	for _, line := range [][2]any{
		{"run", r.ID}, {"pair", r.Pair.String()}, {"outcome", outcomeWord(t, r.Outcome)}, {"trigger", r.Trigger}, {"mode", r.Mode},
		{"started", ui.Stamp(r.Started)}, {"ended", ui.Stamp(r.Ended)}, {"took", took(r, now)},
		{"position", fmt.Sprintf("%d -> %d", r.From, r.To)},
		{"changes read", strconv.Itoa(c.Changes)}, {"objects read", strconv.Itoa(c.Observed)},
		{"created", strconv.Itoa(c.Created)}, {"updated", strconv.Itoa(c.Updated)}, {"deleted", strconv.Itoa(c.Deleted)},
		{"equal", strconv.Itoa(c.Equal)}, {"unsynced", strconv.Itoa(max(c.Unsynced, r.Left))}, {"changed on the replica", strconv.Itoa(c.Drift)},
		{"staged", ui.Bytes(c.Staged)}, {"uploaded", ui.Bytes(c.Uploaded)},
	} {
		t.Row(fmt.Sprint(line[0], ":"), line[1])
	}
	if r.Error != nil {
		t.Row("error:", r.Error.Message)
		t.Row("try:", r.Error.Hint)
	}
}
