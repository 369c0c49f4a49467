package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"chefsync/functions/internal/invoke"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
)

const (
	// batchSize is how many events are sent in a second: a thousand scans that begin at
	// once would be a burst of requests to the primary.
	batchSize = 50
	// sendConcurrency is how many of them are sent at once.
	sendConcurrency = 10
)

// invocation is an event for a function.
type invocation struct {
	function    string // its name
	description string // for messages
	event       any
}

// dispatchDue starts the passes and scans that are due. It ends before the manager is
// invoked again, which starts the rest.
func (h *Handler) dispatchDue(ctx context.Context, fleet *assembly.Fleet, f facts, s *Summary) error {
	ctx, cancel := context.WithTimeout(ctx, cloud.DispatchEvery-slack/3)
	defer cancel()
	var events []invocation
	if h.Resources.Changes != "" {
		for _, e := range f.scanDue(fleet.Sources()) {
			events = append(events, invocation{h.Resources.Changes, "scan of " + e.Source, e})
		}
		s.Scanned = len(events)
	}
	for _, e := range f.syncDue(f.readable(fleet.Pairs())) {
		events = append(events, invocation{h.Resources.Sync, "pass of " + e.Pair.String(), e})
	}
	s.Synced = len(events) - s.Scanned
	err := h.sendEvents(ctx, events)
	if err != nil {
		h.Log.Error("not everything due was started; the next run of the manager starts the rest", "error", err.Error(), "hint", fault.HintOf(err))
	}
	return err
}

// sendEvents sends events in batches, one a second. If one can't be sent, the others
// are sent all the same.
func (h *Handler) sendEvents(ctx context.Context, events []invocation) error {
	var failed []error
	for batch := range slices.Chunk(events, batchSize) {
		if &batch[0] != &events[0] {
			if err := sleepContext(ctx, time.Second); err != nil {
				return errors.Join(append(failed, err)...)
			}
		}
		failed = append(failed, h.sendBatch(ctx, batch)...)
	}
	return errors.Join(failed...)
}

func (h *Handler) sendBatch(ctx context.Context, batch []invocation) []error {
	failed := make([]error, len(batch))
	var group errgroup.Group
	group.SetLimit(sendConcurrency)
	for i, e := range batch {
		group.Go(func() error {
			if err := invoke.Send(ctx, h.lambda, e.function, e.event); err != nil {
				failed[i] = fmt.Errorf("start the %s: %w", e.description, err)
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in failed
	return failed
}

// sleepContext sleeps, or returns early with the error of the context.
func sleepContext(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
