package manager

import (
	"context"
	"slices"
	"time"

	"chefsync/functions/internal/invoke"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// startProbe makes the sync function record whether the servers answer, and doesn't
// wait for it. The manager itself may have no route to them.
func (h *Handler) startProbe(ctx context.Context, fleet *assembly.Fleet) error {
	if len(fleet.Pairs()) == 0 {
		return nil
	}
	return invoke.Send(ctx, h.lambda, h.Resources.Sync, cloud.SyncEvent{Task: cloud.TaskProbe})
}

// readServers returns the records of the servers.
func (h *Handler) readServers(ctx context.Context, fleet *assembly.Fleet) ([]health.Server, error) {
	store, err := fleet.Health(ctx)
	if err != nil {
		return nil, err
	}
	return store.Servers(ctx)
}

// downServers returns the servers that didn't answer the last probes, of those that
// pairs use which aren't stopped.
func downServers(servers []health.Server, fleet *assembly.Fleet, records map[replication.PairID]replication.PairState, now time.Time) []health.Server {
	pairs := slices.DeleteFunc(slices.Clone(fleet.Pairs()), func(p config.PairConfig) bool { return records[p.ID].Desired.Stopped })
	used := fleet.ServersOf(pairs)
	return slices.DeleteFunc(slices.Clone(servers), func(s health.Server) bool {
		return !isDown(s, now) || !slices.ContainsFunc(used, func(u assembly.CheckedServer) bool { return u.Name == s.Name })
	})
}

// isDown reports whether a recent record says that a server is down.
func isDown(s health.Server, now time.Time) bool { return s.Down() && isRecent(s, now) }

// isRecent reports whether a record of a server is recent.
func isRecent(s health.Server, now time.Time) bool {
	return now.Sub(s.CheckedAt).Abs() <= 3*assessEvery
}

// downServersOf returns the servers of a pair that are down.
func downServersOf(down []health.Server, p config.PairConfig) []health.Server {
	return slices.DeleteFunc(slices.Clone(down), func(s health.Server) bool {
		return s.Name != "primary" && s.Name != p.Replica.Name
	})
}

// addDownServer counts the time since a server is down as time without a success of its
// pairs: a pass without work sends its replica nothing, and succeeds.
func (a *assessment) addDownServer(s health.Server, now time.Time) {
	age := now.Sub(s.DownSince)
	a.successAge, a.goodPassAge = max(a.successAge, age), max(a.goodPassAge, age)
	a.findingsOf("server", s.Name)("a server is unreachable; its pairs aren't replicated", s.DownSince, "since", s.DownSince, "error", s.Error, "hint", s.Hint)
}
