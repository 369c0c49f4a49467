package changeserver

import (
	"context"
	"slices"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
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
			Name: s.Org, Every: a.ChangeLog.ScanEvery, Pairs: s.Pairs,
			Scan:  func(ctx context.Context) (bool, error) { return scanSource(ctx, a, s.Org) },
			Begun: func(ctx context.Context) bool { return hasChangeLog(ctx, a, s.Space) },
		})
	}
	return sources
}

// scanSource scans a source organization whose changes are found by its change log.
func scanSource(ctx context.Context, a *app.App, org string) (changed bool, err error) {
	scan, err := a.ScanIfNeeded(ctx, org)
	if err != nil && !scan.Needed && ctx.Err() == nil {
		a.Log.WarnContext(ctx, "can't determine whether the primary serves updated_since", "source", org, "error", err.Error(), "hint", fault.HintOf(err))
	}
	return scan.Elsewhere || scan.Begun || scan.Changes > 0, err // a scan of another process may have found changes
}

// hasChangeLog reports whether the change log of a source is known to have begun.
func hasChangeLog(ctx context.Context, a *app.App, space string) bool {
	logs, err := a.ChangeLogs(ctx)
	if err != nil {
		return false
	}
	head, err := logs.Head(ctx, space)
	return err == nil && head.Epoch != ""
}
