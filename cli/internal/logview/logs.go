// Package logview shows the log for sync-log and manager-log.
package logview

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/cmdline"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/logline"
	"chefsync/cli/internal/logstore"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/object"
)

// Flags are the flags of a command that shows the log.
type Flags struct {
	follow      bool
	failed      bool
	wide        bool
	since       ui.Duration
	level       string
	Object, Run string
	Number      int
}

// Register adds the flags to a command.
func (f *Flags) Register(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "keep printing new lines as they arrive")
	cmd.Flags().Var(&f.since, "since", "only lines from within this duration, such as 1h")
	cmd.Flags().StringVar(&f.level, "level", "", "only lines of at least this `level`: debug, info, warn or error")
	cmd.Flags().IntVarP(&f.Number, "number", "n", f.Number, "the newest `N` lines; 0 for all")
	cmd.Flags().BoolVar(&f.failed, "failed", false, "only failures; same as --level warn")
	cmd.Flags().BoolVar(&f.wide, "wide", false, "show every attribute; same as -o wide")
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"},
		cobra.ShellCompDirectiveNoFileComp))
}

// Query returns the query that the flags make, of no pair yet.
func (f *Flags) Query(now time.Time) (logstore.Query, error) {
	q := logstore.Query{Run: f.Run, Limit: f.Number}
	if f.Number < 0 {
		return q, exit.Usagef("--number 0 for all", "--number can't be %d", f.Number)
	}
	if f.since > 0 {
		q.Since = now.Add(-time.Duration(f.since))
	}
	if f.failed {
		l := slog.LevelWarn
		q.Level = &l
	}
	if f.level != "" {
		var l slog.Level
		if err := l.UnmarshalText([]byte(f.level)); err != nil {
			return q, exit.Usagef("", "--level can't be %q: expected debug, info, warn or error", f.level)
		}
		q.Level = &l
	}
	if f.Object != "" {
		ref, err := object.ParseRef(f.Object)
		if err != nil {
			return q, exit.Usagef("", "--object: %w", err)
		}
		q.Object = ref.Path()
	}
	return q, nil
}

// Show prints the lines of a query by time, and goes on with --follow.
func (f *Flags) Show(ctx context.Context, env *cmdline.Env, a *app.App, q logstore.Query) error {
	if f.wide && env.Format == ui.Table {
		env.Format = ui.Wide
	}
	log, out := a.LogStore().NewReader(q), env.Output()
	if window := log.Window(); window > 0 && f.since == 0 {
		out.Note("lines of the last %s; see older ones with --since", ui.Span(window))
	}
	if f.follow {
		return followLog(ctx, out, log)
	}
	lines, err := log.Lines(ctx)
	if err != nil {
		return err
	}
	return printLines(out, lines)
}

// followLog prints the lines that are there, and goes on with those that come, until
// the context ends.
func followLog(ctx context.Context, out *ui.Output, log logstore.Reader) error {
	if out.Format == ui.JSON {
		out.Format = ui.JSONL // an endless list has no end to write
	}
	tick := time.NewTicker(log.PollInterval())
	defer tick.Stop()
	for {
		lines, err := log.Lines(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case len(lines) > 0: // an empty list would end the list that goes on
			if err := printLines(out, lines); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func printLines(out *ui.Output, lines []logstore.Line) error {
	return out.Emit(lines, func(t *ui.Grid) {
		for _, l := range lines {
			if out.Format == ui.Wide {
				t.Line("%s", logline.Wide(out, l))
				continue
			}
			t.Line("%s", logline.Short(out, l, out.Now()))
		}
	})
}
