package sync

import (
	"context"
	"errors"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
)

// probeServers records whether each server of the configuration answers. This function
// is in the network that reaches them, and most passes find no work and send their
// replica nothing.
func (h *Handler) probeServers(ctx context.Context) (cloud.SyncResult, error) {
	fleet, err := h.Fleet(ctx, false)
	if err != nil {
		h.Log.Error("the configuration can't be used", "error", err.Error(), "hint", fault.HintOf(err))
		return cloud.SyncResult{}, err
	}
	limited, cancel := environment.WithMargin(ctx)
	defer cancel()
	_, err = fleet.CheckServers(limited, fleet.ServersOf(fleet.Pairs()))
	return cloud.SyncResult{}, errors.Join(err, limited.Err())
}
