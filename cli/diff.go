package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/contentdiff"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/ui"
	"chefsync/pkg/replication"
)

// diffFlags are the flags of diff.
type diffFlags struct {
	nameStatus, showValues bool
}

// diffRow is one difference of one pair.
type diffRow struct {
	Pair replication.PairID `json:"pair"`
	replication.Difference
	Diff string `json:"diff,omitempty"` // unified; absent with --name-status
}

func newDiffCmd(g *globals) *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:     "diff PAIR [OBJECT...]",
		Short:   "Show how a replica differs from the primary",
		GroupID: groupCheck,
		Long: `Show how a replica differs from the primary, of all objects or of the named ones:
A for an object that the replica lacks, D for one that it has too much, M for
other content. Lines with + are the primary's. Ends with code 6 if something
differs.

Values of data bag items stay hidden: whether they differ is shown, what they are
only with --show-values.`,
		Example: `  chef-sync-ctl diff engineering --name-status
  chef-sync-ctl diff eu/engineering /roles/web
  chef-sync-ctl diff eu/engineering data_bags/users/alice --show-values`,
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: g.completePairs,
	}
	cmd.Flags().BoolVar(&f.nameStatus, "name-status", false, "letters and names only")
	cmd.Flags().BoolVar(&f.showValues, "show-values", false, "show the values of data bag items")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		refs, err := parseRefs(args[1:])
		if err != nil {
			return err
		}
		return g.withPairs(func(ctx context.Context, a *app.App, pairs []app.Pair) error {
			rows, failed, err := f.compare(ctx, g, a, pairs, refs)
			if err != nil {
				return fromHere(a, err, "")
			}
			if err := f.emit(g, rows); err != nil {
				return err
			}
			switch {
			case len(rows) > 0:
				return exit.Silent(exit.Differences)
			case failed:
				return exit.Silent(exit.Partial)
			}
			return nil
		})(cmd, args[:1])
	}
	return cmd
}

// compare lists the differences; failed tells that something couldn't be read.
func (f diffFlags) compare(ctx context.Context, g *globals, a *app.App, pairs []app.Pair, refs []replication.Ref) (rows []diffRow, failed bool, err error) {
	rows = []diffRow{}
	for _, p := range pairs {
		engine, err := a.Engine(ctx, p)
		if err != nil {
			return nil, false, err
		}
		var list []replication.Difference
		if len(refs) == 0 {
			reports, err := verifyPairs(ctx, g, a, []app.Pair{p}, false)
			if err != nil {
				return nil, false, err
			}
			list = reports[0].Differences
			for _, u := range reports[0].Unreadable {
				failed = true
				g.output().Note("%s: %s could not be read: %s", p.ID, u.Ref, u.Reason)
			}
		}
		for _, ref := range refs {
			if !p.Manages(ref) {
				return nil, failed, exit.With(exit.NotFound, fmt.Errorf("%s does not belong to the pair %s", ref, p.ID),
					"kinds, include and exclude of the organization decide what does")
			}
			list = append(list, replication.Difference{Ref: ref})
		}
		for _, d := range list {
			row, err := f.row(ctx, engine, d)
			if err != nil {
				return nil, failed, fmt.Errorf("pair %s: %w", p.ID, err)
			}
			if row.Letter != "" {
				rows = append(rows, row)
			}
		}
	}
	return rows, failed, nil
}

// row reads both sides of one object. A letter that is known is kept.
func (f diffFlags) row(ctx context.Context, e *replication.Engine, d replication.Difference) (diffRow, error) {
	row := diffRow{Pair: e.Pair.ID, Difference: d}
	if f.nameStatus && d.Letter != "" {
		return row, nil
	}
	primary, err := body(ctx, e.Source, d.Ref)
	if err != nil {
		return row, err
	}
	replica, err := body(ctx, e.Target, d.Ref)
	if err != nil {
		return row, err
	}
	if d.Letter == "" {
		if primary == nil && replica == nil {
			return row, exit.With(exit.NotFound, fmt.Errorf("%s is on neither side", d.Ref), "")
		}
		row.Letter = letterOf(primary, replica)
	}
	row.Diff, err = contentdiff.Unified(d.Ref, replica, primary, f.showValues)
	if row.Letter == "M" && d.Letter == "" && row.Diff == "" {
		row.Letter = "" // equal
	}
	if f.nameStatus {
		row.Diff = ""
	}
	return row, err
}

func letterOf(primary, replica []byte) string {
	switch {
	case replica == nil:
		return "A"
	case primary == nil:
		return "D"
	}
	return "M"
}

// body reads one object; nil means that the server doesn't have it.
func body(ctx context.Context, r replication.Reader, ref replication.Ref) ([]byte, error) {
	if ref.Kind == replication.DataBag {
		return bagBody(ctx, r, ref)
	}
	o, err := r.Get(ctx, ref)
	if replication.IsAbsent(err) {
		return nil, nil
	}
	return o.Body, err
}

// bagBody finds out by the list whether a bag exists: bags have no content.
func bagBody(ctx context.Context, r replication.Reader, ref replication.Ref) ([]byte, error) {
	bags, err := r.List(ctx, replication.Scope{Kind: replication.DataBag})
	if err != nil || !slices.Contains(bags, ref) {
		return nil, err
	}
	return []byte("{}"), nil
}

func (f diffFlags) emit(g *globals, rows []diffRow) error {
	return g.output().Emit(rows, func(t *ui.Grid) {
		for _, r := range rows {
			t.Line("%s\t%s\t%s", t.Paint(letterColor(r.Letter), r.Letter), r.Pair, ui.Quote(r.Ref.Path()))
			if r.Diff != "" {
				paintDiff(t, r.Diff)
			}
		}
		if len(rows) == 0 {
			g.output().Note("no differences")
		}
	})
}
