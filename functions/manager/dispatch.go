package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"chefsync/functions/internal/invoke"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
)

const (
	// wave is how many events are sent in a second: a thousand scans that began at
	// once would be a burst for the primary.
	wave = 50
	// senders is how many of them are sent at once.
	senders = 10
)

// event is an event for a function.
type event struct {
	function string // its name
	what     string // for messages
	body     any
}

// dispatch starts the passes and scans that are due.
func (h *Handler) dispatch(ctx context.Context, fleet *assembly.Fleet, f facts, s *Summary) error {
	ctx, cancel := context.WithTimeout(ctx, cloud.DispatchEvery-slack/3) // the next turn goes on
	defer cancel()
	var events []event
	if h.Resources.Changes != "" {
		for _, e := range f.scanDue(fleet.Sources()) {
			events = append(events, event{h.Resources.Changes, "scan of " + e.Source, e})
		}
		s.Scanned = len(events)
	}
	for _, e := range f.syncDue(fleet.Pairs()) {
		events = append(events, event{h.Resources.Sync, "pass of " + e.Pair.String(), e})
	}
	s.Synced = len(events) - s.Scanned
	err := h.send(ctx, events)
	if err != nil {
		h.Log.Error("not all that is due was started; the next turn does it", "error", err.Error(), "hint", fault.HintOf(err))
	}
	return err
}

// send sends events in waves. An event that can't be sent keeps no other from it.
func (h *Handler) send(ctx context.Context, events []event) error {
	var failed []error
	for part := range slices.Chunk(events, wave) {
		if &part[0] != &events[0] {
			if err := h.sleep(ctx, time.Second); err != nil {
				return errors.Join(append(failed, err)...)
			}
		}
		failed = append(failed, h.sendWave(ctx, part)...)
	}
	return errors.Join(failed...)
}

func (h *Handler) sendWave(ctx context.Context, events []event) (failed []error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	free := make(chan struct{}, senders)
	for _, e := range events {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			if err := invoke.Send(ctx, h.functions, e.function, e.body); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, fmt.Errorf("start the %s: %w", e.what, err))
			}
		})
	}
	all.Wait()
	return failed
}

// sleep waits, or returns early with the error of the context.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
