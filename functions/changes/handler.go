// Package changes is the function that scans the organizations of a primary that
// serves no updated_since.
package changes

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"chefsync/functions/internal/environment"
	"chefsync/functions/internal/invoke"
	"chefsync/functions/internal/metrics"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
)

// Handler answers cloud.ChangesEvents. Make it with New.
type Handler struct {
	*environment.Environment
	lambda *lambda.Client
}

// New returns the handler of an environment.
func New(e *environment.Environment) *Handler {
	return &Handler{Environment: e, lambda: lambda.NewFromConfig(e.AWS)}
}

// Handle scans an organization, unless the primary serves its changes itself, and
// starts the pairs that read it. An unreachable server is part of the result and not
// an error: the scan is recorded as failed, and the next one tries again.
func (h *Handler) Handle(ctx context.Context, event cloud.ChangesEvent) (cloud.ChangesResult, error) {
	org := event.Source
	result := cloud.ChangesResult{Source: org}
	if org == "" {
		return result, errors.New("the event names no source organization")
	}
	fleet, err := h.FleetWith(ctx, func(fleet *assembly.Fleet) error {
		_, err := fleet.Source(org)
		return err
	})
	if err != nil {
		h.Log.Error("the organization can't be scanned", "source", org, "error", err.Error(), "hint", fault.HintOf(err))
		return result, err
	}
	whole := ctx
	ctx, cancel := environment.WithMargin(ctx)
	defer cancel()
	began := h.Now()
	report, err := fleet.ScanIfNeeded(ctx, org)
	if !report.Needed {
		return h.finishResult(result, err), nil
	}
	result.Busy = report.Elsewhere
	if result.Busy && report.Listed == 0 { // another scanner holds the lease
		return h.finishResult(result, nil), nil
	}
	result.Changes, result.Newest, result.Partial = report.Changes, report.Head.Newest, len(report.Failed)
	h.WriteMetrics(map[string]metrics.Value{
		"Noted":            {Number: float64(report.Changes), Unit: metrics.Count},
		"ScanMilliseconds": {Number: float64(h.Now().Sub(began).Milliseconds()), Unit: metrics.Milliseconds},
	})
	if report.Begun || report.Changes > 0 {
		h.Log.Info("scan found changes", "source", org, "changes", report.Changes, "listed", report.Listed, "newest", report.Head.Newest)
		invoke.StartPairs(whole, h.Environment, h.lambda, fleet, org, cloud.TriggerScan) // even when the scan ran out of time
	}
	return h.finishResult(result, err), nil
}

// finishResult sets the end and the error of a result.
func (h *Handler) finishResult(result cloud.ChangesResult, err error) cloud.ChangesResult {
	result.Ended = h.Now().UTC()
	if err != nil {
		result.Error, result.Hint = err.Error(), fault.HintOf(err)
		h.Log.Error("the scan failed", "source", result.Source, "error", result.Error, "hint", result.Hint)
	}
	return result
}
