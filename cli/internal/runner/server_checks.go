package runner

import (
	"context"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
)

// daemonServers are the servers of pairs for the daemon. On a stack, its manager has them
// checked, from where its functions reach them.
func daemonServers(a *app.App, pairs []app.Pair) (all []daemon.Server) {
	if a.Stack != nil {
		return nil
	}
	for _, s := range a.ServersOf(pairs) {
		server := daemon.Server{Name: s.Name, Pairs: s.Pairs, Check: func(ctx context.Context) (bool, error) {
			record, err := a.CheckServer(ctx, s)
			return !record.Down(), err
		}}
		if s.Name == a.Primary.Name {
			for _, source := range a.Sources() {
				server.Sources = append(server.Sources, source.Org)
			}
		}
		all = append(all, server)
	}
	return all
}

// checkServers records whether the servers of pairs answer, after passes that may not
// have needed them all. The status of the pairs says which don't.
func checkServers(ctx context.Context, a *app.App, pairs []app.Pair) {
	if a.Stack != nil || ctx.Err() != nil {
		return
	}
	if _, err := a.CheckServers(ctx, a.ServersOf(pairs)); err != nil {
		a.Log.Warn("the results of server checks can't be recorded", "error", err.Error())
	}
}
