package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"chefsync/functions/internal/environment"
	"chefsync/functions/internal/metrics"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/replication"
	"chefsync/pkg/schedule"
)

// handler answers cloud.ChangesEvents and requests to the function's URL. An
// environment has one invocation at a time.
type handler struct {
	*environment.Environment
	functions schedule.Invoker

	fleet   *assembly.Fleet // that web was made of
	web     http.Handler
	made    time.Time
	changed map[string]bool // organizations that the request at work named
}

func (h *handler) handle(ctx context.Context, raw json.RawMessage) (any, error) {
	var kind struct {
		Source         string          `json:"source"`
		RequestContext json.RawMessage `json:"requestContext"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, fmt.Errorf("the event can't be read: %w", err)
	}
	switch {
	case len(kind.RequestContext) > 0:
		var request events.LambdaFunctionURLRequest
		if err := json.Unmarshal(raw, &request); err != nil {
			return nil, fmt.Errorf("the request can't be read: %w", err)
		}
		return h.answer(ctx, request)
	case kind.Source != "":
		return h.scan(ctx, kind.Source)
	}
	return nil, fmt.Errorf("the event names no source organization, and isn't a request to the function's URL")
}

// scan scans an organization, unless the primary serves its changes itself, and
// wakes the pairs that have something to do. That a server can't be reached is an
// answer: the journal says so, and the next schedule tries again.
func (h *handler) scan(ctx context.Context, org string) (cloud.ChangesResult, error) {
	result := cloud.ChangesResult{Source: org}
	fleet, err := h.source(ctx, org)
	if err != nil {
		h.Log.Error("the organization can't be scanned", "source", org, "error", err.Error(), "hint", replication.HintOf(err))
		return result, err
	}
	whole := ctx
	ctx, cancel := environment.Within(ctx)
	defer cancel()
	needed, err := fleet.NeedsJournal(ctx, org)
	if err != nil {
		fleet.NoteScanFailed(ctx, org, err) // the manager must see it
	}
	if err != nil || !needed {
		return h.scanned(result, err), nil
	}
	began := h.Now()
	report, err := fleet.Scan(ctx, org)
	result.Busy = assembly.ScannedElsewhere(err)
	if result.Busy {
		err = nil
	}
	if result.Busy && report.Listed == 0 { // another scanner holds the lease
		return h.scanned(result, nil), nil
	}
	result.Changes, result.Newest, result.Partial = report.Changes, report.Head.Newest, len(report.Failed)
	h.measure(map[string]metrics.Value{
		"Noted":            {Number: float64(report.Changes), Unit: metrics.Count},
		"ScanMilliseconds": {Number: float64(h.Now().Sub(began).Milliseconds()), Unit: metrics.Milliseconds},
	})
	if report.Begun || report.Changes > 0 {
		h.Log.Info("scan found changes", "source", org, "changes", report.Changes, "listed", report.Listed, "newest", report.Head.Newest)
		h.wake(whole, fleet, org, cloud.TriggerScan) // even when the scan ran out of its time
	}
	return h.scanned(result, err), nil
}

// scanned ends a result.
func (h *handler) scanned(result cloud.ChangesResult, err error) cloud.ChangesResult {
	result.Ended = h.Now().UTC()
	if err != nil {
		result.Error, result.Hint = err.Error(), replication.HintOf(err)
		h.Log.Error("the scan failed", "source", result.Source, "error", result.Error, "hint", result.Hint)
	}
	return result
}

// source is the fleet that has an organization. One that isn't known may have
// been deployed a moment ago.
func (h *handler) source(ctx context.Context, org string) (*assembly.Fleet, error) {
	fleet, err := h.Fleet(ctx, false)
	if err != nil {
		return nil, err
	}
	if _, err := fleet.Source(org); err == nil {
		return fleet, nil
	}
	if fleet, err = h.Fleet(ctx, true); err != nil {
		return nil, err
	}
	_, err = fleet.Source(org)
	return fleet, err
}

// wakers is how many pairs are woken at once.
const wakers = 8

// wake lets the pairs of an organization look at its journal now. One that can't
// be woken looks at its next schedule.
func (h *handler) wake(ctx context.Context, fleet *assembly.Fleet, org, trigger string) {
	source, err := fleet.Source(org)
	if err != nil {
		return
	}
	var all sync.WaitGroup
	free := make(chan struct{}, wakers)
	for _, id := range source.Pairs {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			if err := h.wakePair(ctx, fleet, id, trigger); err != nil {
				h.Log.Warn("a pair can't be woken; its schedule does it", "pair", id.String(), "error", err.Error(), "hint", replication.HintOf(err))
			}
		})
	}
	all.Wait()
}

// wakePair invokes the function of a pair, unless it is at work or stopped. A pass
// at work looks again when it is done (functions/sync), so a thousand changes in a
// row don't invoke it a thousand times. Behind a verification that is about to
// record what it found, as behind a pass that fails, the schedule looks.
func (h *handler) wakePair(ctx context.Context, fleet *assembly.Fleet, id replication.PairID, trigger string) error {
	state, err := fleet.State(ctx)
	if err != nil {
		return err
	}
	pair, err := state.Pair(ctx, id)
	if err != nil {
		return err
	}
	if pair.Lease.HeldAt(h.Now()) || pair.Desired.Stopped {
		return nil
	}
	event, err := json.Marshal(cloud.SyncEvent{Pair: id, Trigger: trigger})
	if err != nil {
		return err
	}
	return h.functions.Invoke(ctx, h.Resources.Sync, event)
}

func (h *handler) measure(values map[string]metrics.Value) {
	if err := h.Metrics.Write(h.Now(), values); err != nil {
		h.Log.Warn("metrics can't be written", "error", err.Error())
	}
}
