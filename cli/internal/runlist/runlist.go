// Package runlist lists and shows the runs of pairs.
package runlist

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// All is a limit above the number of runs that are kept of a pair.
const All = 1 << 20

// List returns the runs of pairs, newest first, even if those of another can't be read.
func List(ctx context.Context, a *app.App, pairs []app.Pair, limit int, now time.Time) ([]replication.Run, error) {
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	runs := []replication.Run{}
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		list, err := listPairRuns(ctx, a, state, p.ID, limit, now)
		runs = append(runs, list...)
		return app.WrapPair(p.ID, err)
	})
	slices.SortStableFunc(runs, func(a, b replication.Run) int { return b.Started.Compare(a.Started) })
	return runs, failed
}

// listPairRuns lists the runs of a pair as they are to be shown.
func listPairRuns(ctx context.Context, a *app.App, state replication.State, id replication.PairID, limit int,
	now time.Time) ([]replication.Run, error) {
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

// Print prints runs as a table.
func Print(env *cmdline.Env, runs []replication.Run) error {
	return env.Output().Emit(runs, func(t *ui.Grid) {
		if len(runs) == 0 {
			t.Line("no runs yet")
			return
		}
		t.Head("RUN", "PAIR", "STARTED", "TOOK", "TRIGGER", "MODE", "OUTCOME", "CREATED", "UPDATED", "DELETED", "EQUAL", "UNSYNCED")
		for _, r := range runs {
			c := r.Counts
			t.Row(ui.OrDash(r.ID), r.Pair.String(), ui.Stamp(r.Started), FormatDuration(r, env.Now()), r.Trigger, cmp.Or(r.Mode, "poll"),
				OutcomeText(t, r.Outcome),
				strconv.Itoa(c.Created), strconv.Itoa(c.Updated), strconv.Itoa(c.Deleted), strconv.Itoa(c.Equal), strconv.Itoa(max(c.Unsynced, r.Left)))
		}
	})
}

// FormatDuration returns how long a run took, or has been going on by now.
func FormatDuration(r replication.Run, now time.Time) string {
	end := r.Ended
	if end.IsZero() {
		end = now
	}
	if d := end.Sub(r.Started); d < time.Minute {
		return d.Round(10 * time.Millisecond).String()
	}
	return ui.Span(end.Sub(r.Started))
}

// OutcomeText returns an outcome in its color.
func OutcomeText(t *ui.Grid, outcome replication.Outcome) ui.Text {
	switch outcome {
	case replication.OutcomeDone:
		return t.Paint(ui.Green, string(outcome))
	case replication.OutcomeFailed, replication.OutcomeHeld, replication.OutcomeDied:
		return t.Paint(ui.Red, string(outcome))
	}
	return t.Paint(ui.Yellow, string(outcome))
}

// Describe prints all that is recorded of a run.
func Describe(t *ui.Grid, r replication.Run, now time.Time) {
	c := r.Counts
	for _, line := range [][2]any{
		{"run", r.ID}, {"pair", r.Pair.String()}, {"outcome", OutcomeText(t, r.Outcome)}, {"trigger", r.Trigger}, {"mode", r.Mode},
		{"started", ui.Stamp(r.Started)}, {"ended", ui.Stamp(r.Ended)}, {"took", FormatDuration(r, now)},
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
