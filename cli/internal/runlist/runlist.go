// Package runlist lists and shows the runs of pairs.
package runlist

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// All is a limit above the number of runs that are kept of a pair.
const All = 1 << 20

// Filter selects runs. Its zero value selects all.
type Filter struct {
	Failed bool        // that left something to do or to decide
	Since  ui.Duration // that began not longer ago than this
}

// List returns the runs of pairs that the filter selects.
func (f Filter) List(ctx context.Context, a *app.App, pairs []app.Pair, limit int, now time.Time) ([]replication.Run, error) {
	read := limit
	if f.Failed {
		read = All
	}
	runs, err := List(ctx, a, pairs, read)
	runs = slices.DeleteFunc(runs, func(r replication.Run) bool {
		return f.Failed && !needsAttention(r.Outcome) || f.Since > 0 && r.Started.Before(now.Add(-time.Duration(f.Since)))
	})
	return runs[:min(len(runs), limit)], err
}

func needsAttention(o replication.Outcome) bool {
	switch o {
	case replication.OutcomeFailed, replication.OutcomeDied, replication.OutcomeHeld, replication.OutcomePartial, replication.OutcomeDiffers:
		return true
	}
	return false
}

// List returns the runs of pairs, newest first, even if those of another can't be read.
func List(ctx context.Context, a *app.App, pairs []app.Pair, limit int) ([]replication.Run, error) {
	if _, err := a.State(ctx); err != nil {
		return nil, err // which all pairs would have
	}
	runs := []replication.Run{}
	failed := app.ForEachPair(ctx, pairs, func(p app.Pair) error {
		list, err := a.Runs(ctx, p.ID, limit)
		runs = append(runs, list...)
		return app.WrapPair(p.ID, err)
	})
	slices.SortStableFunc(runs, func(a, b replication.Run) int { return b.Started.Compare(a.Started) })
	return runs, failed
}

// Print prints runs as a table: normally what each changed or, with reasons, why it failed;
// with -o wide all counts.
func Print(env *cmdline.Env, runs []replication.Run, reasons bool) error {
	return env.Output().Emit(runs, func(t *ui.Grid) {
		switch {
		case len(runs) == 0:
			t.Line("no runs yet")
		case env.Format == ui.Wide:
			printCounts(t, runs, env.Now())
		default:
			printResults(t, runs, reasons, env.Now())
		}
	})
}

func printCounts(t *ui.Grid, runs []replication.Run, now time.Time) {
	t.Columns(ui.Column{Name: "RUN"}, ui.Column{Name: "PAIR"}, ui.Column{Name: "STARTED"}, ui.Column{Name: "TOOK"}, ui.Column{Name: "TRIGGER"},
		ui.Column{Name: "MODE"}, ui.Column{Name: "OUTCOME"}, ui.Column{Name: "CREATED", Numeric: true}, ui.Column{Name: "UPDATED", Numeric: true},
		ui.Column{Name: "DELETED", Numeric: true}, ui.Column{Name: "EQUAL", Numeric: true}, ui.Column{Name: "UNSYNCED", Numeric: true})
	for _, r := range runs {
		c := r.Counts
		t.Row(ui.OrDash(r.ID), r.Pair.String(), ui.Stamp(r.Started), FormatDuration(r, now), r.Trigger, cmp.Or(r.Mode, "poll"),
			OutcomeText(t, r.Outcome), c.Created, c.Updated, c.Deleted, c.Equal, max(c.Unsynced, r.Left))
	}
}

func printResults(t *ui.Grid, runs []replication.Run, reasons bool, now time.Time) {
	t.Columns(ui.Column{Name: "STARTED", Drop: 1}, ui.Column{Name: "PAIR"}, ui.Column{Name: "TRIGGER", Drop: 3}, ui.Column{Name: "MODE"},
		ui.Column{Name: "OUTCOME"}, ui.Column{Name: "TOOK", Drop: 2}, ui.Column{Name: "RUN", Drop: 4, OnlyFilled: true},
		ui.Column{Name: "RESULT", Breaks: true})
	for _, r := range runs {
		t.Row(ui.ShortTime(r.Started, now), r.Pair.String(), r.Trigger, cmp.Or(r.Mode, "poll"), OutcomeText(t, r.Outcome),
			FormatDuration(r, now), ui.OrDash(r.ID), resultText(r, reasons))
	}
}

// resultText says what a run did or, with reasons, why it failed.
func resultText(r replication.Run, reasons bool) string {
	if r.Error != nil && reasons {
		return r.Error.Message
	}
	c := r.Counts
	words := countWords([]count{{c.Created, "created"}, {c.Updated, "updated"}, {c.Deleted, "deleted"}, {c.Drift, "changed on the replica"},
		{max(c.Unsynced, r.Left), "unsynced"}})
	if words == "" && c.Equal > 0 {
		return ui.Number(c.Equal) + " equal"
	}
	if words == "" && r.Error == nil {
		return "no changes"
	}
	return words
}

// WhatChanged says what a run changed on the replica.
func WhatChanged(r replication.Run) string {
	c := r.Counts
	return countWords([]count{{c.Created, "created"}, {c.Updated, "updated"}, {c.Deleted, "deleted"}})
}

type count struct {
	n    int
	word string
}

// countWords names the counts that aren't zero.
func countWords(counts []count) string {
	var words []string
	for _, c := range counts {
		if c.n > 0 {
			words = append(words, ui.Number(c.n)+" "+c.word)
		}
	}
	return strings.Join(words, ", ")
}

// FormatDuration returns how long a run took, or has been going on by now.
func FormatDuration(r replication.Run, now time.Time) string {
	end := r.Ended
	if end.IsZero() {
		end = now
	}
	return ui.Took(end.Sub(r.Started))
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
