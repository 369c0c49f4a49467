package changeserver

import (
	"context"
	"slices"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
	"chefsync/pkg/assembly"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Sources returns the sources that pairs read, to be scanned where the primary serves no
// feed; with nil all sources.
func Sources(a *app.App, pairs []app.Pair) []daemon.Source {
	ids := app.PairIDs(pairs)
	var sources []daemon.Source
	for _, s := range a.Sources() {
		if pairs != nil && !slices.ContainsFunc(s.Pairs, func(id replication.PairID) bool { return slices.Contains(ids, id) }) {
			continue
		}
		sources = append(sources, daemon.Source{
			Name: s.Org, Every: a.Journal.ScanEvery, Pairs: s.Pairs,
			Scan: func(ctx context.Context) (bool, error) { return scanSource(ctx, a, s.Org) },
		})
	}
	return sources
}

// scanSource scans a source organization whose changes are found by its journal.
func scanSource(ctx context.Context, a *app.App, org string) (changed bool, err error) {
	needed, err := a.NeedsJournal(ctx, org)
	if err != nil {
		if ctx.Err() == nil {
			a.Log.WarnContext(ctx, "can't tell whether the primary serves a feed", "source", org, "error", err.Error(), "hint",
				fault.HintOf(err))
			a.NoteScanFailed(ctx, org, err)
		}
		return false, err
	}
	if !needed {
		return false, nil
	}
	report, err := a.Scan(ctx, org)
	if assembly.ScannedElsewhere(err) {
		return true, nil // what it found is to be read too
	}
	return report.Begun || report.Changes > 0, err
}
