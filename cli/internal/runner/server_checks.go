package runner

import (
	"context"
	"fmt"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/daemon"
	"chefsync/cli/internal/exit"
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
// have needed them all. The error names those that don't.
func checkServers(ctx context.Context, a *app.App, pairs []app.Pair) error {
	if a.Stack != nil || ctx.Err() != nil {
		return nil
	}
	records, err := a.CheckServers(ctx, a.ServersOf(pairs))
	if err != nil {
		a.Log.Warn("the results of server checks can't be recorded", "error", err.Error())
	}
	var down []error
	for _, r := range records {
		if r.Down() {
			down = append(down, exit.With(exit.Temporary, fmt.Errorf("server %s can't be used: %s", r.Name, r.Error), r.Hint))
		}
	}
	return exit.Join(down...)
}
