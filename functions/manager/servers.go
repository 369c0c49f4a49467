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

// startProbe has the sync function record whether the servers answer, and doesn't
// wait for it. The manager itself may have no way to them.
func (h *Handler) startProbe(ctx context.Context, fleet *assembly.Fleet) error {
	if len(fleet.Pairs()) == 0 {
		return nil
	}
	return invoke.Send(ctx, h.functions, h.Resources.Sync, cloud.SyncEvent{Task: cloud.TaskProbe})
}

// downServers returns the servers that don't answer, by the records of the probes
// before, of those that the pairs use that aren't stopped.
func (h *Handler) downServers(ctx context.Context, fleet *assembly.Fleet, records map[replication.PairID]replication.PairState,
	now time.Time,
) ([]health.Server, error) {
	store, err := fleet.Health(ctx)
	if err != nil {
		return nil, err
	}
	servers, err := store.Servers(ctx)
	if err != nil {
		return nil, err
	}
	pairs := slices.DeleteFunc(slices.Clone(fleet.Pairs()), func(p config.PairConfig) bool { return records[p.ID].Desired.Stopped })
	used := fleet.ServersOf(pairs)
	return slices.DeleteFunc(servers, func(s health.Server) bool {
		return !downNow(s, now) || !slices.ContainsFunc(used, func(u assembly.CheckedServer) bool { return u.Name == s.Name })
	}), nil
}

// downNow reports whether a server is down, by a record that is recent enough to say
// anything of now.
func downNow(s health.Server, now time.Time) bool {
	return s.Down() && now.Sub(s.CheckedAt).Abs() <= 3*period
}

// downOf returns those servers of a pair that are down.
func downOf(down []health.Server, p config.PairConfig) []health.Server {
	return slices.DeleteFunc(slices.Clone(down), func(s health.Server) bool {
		return s.Name != "primary" && s.Name != p.Replica.Name
	})
}

// down takes a server that doesn't answer for the lack of any success of its pairs:
// those that find nothing to do don't touch their replica.
func (o *overview) down(s health.Server, now time.Time) {
	age := now.Sub(s.DownSince)
	o.oldest, o.goodPass = max(o.oldest, age), max(o.goodPass, age)
}

// sayDown says that a server is down, when that is news and then hourly.
func (h *Handler) sayDown(s health.Server, now time.Time) {
	if (finding{since: s.DownSince}).due(now) {
		h.Log.Warn("a server is unreachable; its pairs aren't replicated", "server", s.Name, "since", s.DownSince, "error", s.Error, "hint", s.Hint)
	}
}
