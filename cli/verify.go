package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

func newVerifyCmd(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify PAIR...",
		Short:   "Read everything on both sides and compare it",
		GroupID: groupCheck,
		Long: `Read every object on both sides and compare it. Nothing is written. Ends with
code 0 only when all was read and is equal, with 6 for differences, and with 3
when something could not be read.`,
		Example: `  chef-sync-ctl verify engineering
  chef-sync-ctl verify eu/engineering -o json`,
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: g.completePairs,
	}
	cmd.RunE = g.withPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
		reports, err := verifyPairs(ctx, g, a, pairs)
		if err != nil {
			return err
		}
		err = g.output().Emit(reports, func(t *ui.Grid) {
			for _, r := range reports {
				showReport(t, r)
			}
		})
		if err != nil {
			return err
		}
		return exit.Silent(verdict(reports))
	})
	return cmd
}

func verifyPairs(ctx context.Context, g *globals, a *app.App, pairs []app.Pair) ([]replication.Report, error) {
	reports := []replication.Report{}
	for _, p := range pairs {
		engine, err := a.Engine(ctx, p)
		if err != nil {
			return nil, err
		}
		progress := g.output().Progress(p.ID.String())
		engine.Observe = progress.Observe
		r, err := engine.Verify(ctx)
		progress.End()
		if err != nil {
			return nil, fmt.Errorf("pair %s: %w", p.ID, err)
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// verdict is the exit code for what a verification found.
func verdict(reports []replication.Report) exit.Code {
	code := exit.OK
	for _, r := range reports {
		switch {
		case len(r.Differences) > 0:
			return exit.Differences
		case len(r.Unreadable) > 0:
			code = exit.Partial
		}
	}
	return code
}

func showReport(t *ui.Grid, r replication.Report) {
	t.Line("%s, read at %s", t.Paint(ui.Bold, r.Pair.String()), ui.Stamp(r.At))
	t.Head("KIND", "EQUAL", "REPLICA", "PRIMARY")
	for _, k := range r.Kinds {
		ratio := fmt.Sprintf("%d/%d", k.Equal, k.Primary)
		color := ui.Green
		if k.Equal != k.Primary {
			color = ui.Red
		}
		t.Row(kindWord(k.Kind), t.Paint(color, ratio), fmt.Sprint(k.Replica), fmt.Sprint(k.Primary))
	}
	for _, d := range r.Differences {
		t.Line("%s  %s  %s", t.Paint(letterColor(d.Letter), d.Letter), ui.Quote(d.Ref.Path()), d.Note)
	}
	for _, u := range r.Unreadable {
		t.Line("%s  %s  could not be read: %s", t.Paint(ui.Yellow, "?"), ui.Quote(u.Ref.Path()), u.Reason)
	}
	if n := len(r.Extras); n > 0 {
		t.Line("%s only on the replica, not put there by replication, left alone", ui.Plural(n, "object"))
	}
	switch {
	case r.Equal():
		t.Line("%s", t.Paint(ui.Green, "equal"))
	case len(r.Differences) > 0:
		t.Line("%s. Try: chef-sync-ctl diff %s", t.Paint(ui.Red, ui.Plural(len(r.Differences), "difference")), r.Pair)
	default:
		t.Line("%s", t.Paint(ui.Yellow, "not everything could be read; nothing is known to differ"))
	}
}

// kindWord is a kind as the configuration calls it.
func kindWord(k replication.Kind) string { return string(k) + "s" }

func letterColor(letter string) ui.Color {
	switch letter {
	case "A":
		return ui.Green
	case "D":
		return ui.Red
	}
	return ui.Cyan
}
