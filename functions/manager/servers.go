package main

import (
	"context"
	"encoding/json"
	"time"

	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/health"
)

// startProbe has the sync function record whether the servers answer, and doesn't
// wait for it. The manager itself may have no way to them.
func (h handler) startProbe(ctx context.Context, fleet *assembly.Fleet) error {
	if len(fleet.Pairs()) == 0 {
		return nil
	}
	event, err := json.Marshal(cloud.SyncEvent{Task: cloud.TaskProbe})
	if err != nil {
		return err
	}
	return h.functions.Invoke(ctx, h.Resources.SyncARN, event)
}

// watchServers says which servers of the configuration are down, by the records of
// the probes before.
func (h handler) watchServers(ctx context.Context, fleet *assembly.Fleet, now time.Time) error {
	store, err := fleet.Health(ctx)
	if err != nil {
		return err
	}
	records, err := store.Servers(ctx)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, s := range fleet.ServersOf(fleet.Pairs()) {
		used[s.Name] = true
	}
	for _, r := range records {
		if used[r.Name] && downNow(r, now) && (finding{since: r.DownSince}).due(now) {
			h.Log.Warn("a server is unreachable; its pairs aren't replicated", "server", r.Name, "since", r.DownSince, "error", r.Error, "hint", r.Hint)
		}
	}
	return nil
}

// downNow reports whether a server is down, by a record that is recent enough to say
// anything of now.
func downNow(r health.Server, now time.Time) bool {
	return r.Down() && now.Sub(r.CheckedAt).Abs() <= 3*period
}
