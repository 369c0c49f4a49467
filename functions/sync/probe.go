package sync

import (
	"context"
	"errors"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
)

// probe records whether each server of the configuration answers: this function is
// in the network that reaches them. Most passes find nothing to do and don't touch
// their replica.
func (h *Handler) probe(ctx context.Context) (cloud.SyncResult, error) {
	fleet, err := h.Fleet(ctx, false)
	if err != nil {
		h.Log.Error("the configuration can't be used", "error", err.Error(), "hint", fault.HintOf(err))
		return cloud.SyncResult{}, err
	}
	limited, cancel := environment.Within(ctx)
	defer cancel()
	_, err = fleet.CheckServers(limited, fleet.ServersOf(fleet.Pairs()))
	return cloud.SyncResult{}, errors.Join(err, limited.Err())
}
