// Package sync is the function that runs one pass for one pair. The manager, scans,
// pushes and operators send it events.
package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"chefsync/functions/internal/environment"
	"chefsync/functions/internal/metrics"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/config"
	"chefsync/pkg/fault"
	"chefsync/pkg/replication"
)

// Handler answers cloud.SyncEvents. Make it with New.
type Handler struct{ *environment.Environment }

// New returns the handler of an environment.
func New(e *environment.Environment) *Handler { return &Handler{e} }

// Handle runs the task of an event. A failure of a server or an object is part of the
// result: it is recorded in the table, and a later event tries again. A failure that
// can't be recorded there is an error of the function, which raises an alarm.
func (h *Handler) Handle(ctx context.Context, event cloud.SyncEvent) (cloud.SyncResult, error) {
	if event.Task == cloud.TaskProbe {
		return h.probeServers(ctx)
	}
	var pair config.PairConfig
	fleet, err := h.FleetWith(ctx, func(fleet *assembly.Fleet) error {
		pairs, err := fleet.Select(event.Pair.String())
		if err == nil {
			pair = pairs[0]
		}
		return err
	})
	var unknown *assembly.UnknownPairError
	switch {
	case errors.As(err, &unknown):
		h.Log.Warn("an event for a pair that isn't configured", "pair", event.Pair.String())
		return cloud.SyncResult{Error: err.Error(), Hint: "add the organization to the configuration and deploy it"}, nil
	case err != nil:
		h.Log.Error("the configuration can't be used", "pair", event.Pair.String(), "error", err.Error(), "hint", fault.HintOf(err))
		return cloud.SyncResult{}, err
	}
	switch event.Task {
	case cloud.TaskPass:
		return h.runPass(ctx, fleet, pair, event)
	case cloud.TaskVerify:
		return h.verifyPair(ctx, fleet, pair, event.Trigger)
	case cloud.TaskDoctor:
		return cloud.SyncResult{Checks: checkPair(ctx, fleet, pair)}, nil
	}
	return cloud.SyncResult{}, fmt.Errorf("the event asks for the task %q, which this version doesn't know", event.Task)
}

// runPass runs the passes of an event.
func (h *Handler) runPass(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig, event cloud.SyncEvent) (cloud.SyncResult, error) {
	options := replication.PassOptions{Trigger: cmp.Or(event.Trigger, cloud.TriggerManual), Full: event.Full}
	options.Deadline, _ = ctx.Deadline()
	if options.Trigger == cloud.TriggerManual {
		fleet.ProbeNow() // somebody may have repaired a server
	}
	var run replication.Run
	engine, err := fleet.Engine(ctx, pair)
	if err != nil {
		run, err = fleet.Fail(ctx, pair, options, err)
	} else {
		run, err = h.runPasses(ctx, fleet, engine, options)
	}
	h.writeMetrics(run)
	result := cloud.SyncResult{Run: &run}
	var leased *replication.LeasedError
	if err == nil || errors.As(err, &leased) {
		return result, nil
	}
	failed, unrecorded := h.failedResult(ctx, fleet, pair, err)
	failed.Run = &run
	return failed, unrecorded
}

// maxPasses bounds the passes of one event.
const maxPasses = 10

// runPasses runs a pass and, where changes are pushed, further ones until one finds no
// work: a change that is pushed while a pass of its pair runs starts no other. It
// returns the first run, which the event asked for.
func (h *Handler) runPasses(ctx context.Context, fleet *assembly.Fleet, engine *replication.Engine, o replication.PassOptions) (replication.Run, error) {
	first, err := engine.Pass(ctx, o)
	if err != nil || fleet.ChangeLog.Token.IsZero() {
		return first, err
	}
	o.Trigger, o.Full = cloud.TriggerPush, false
	mayHaveMissed := func(r replication.Run) bool {
		return r.Mode != "" && (r.Outcome == replication.OutcomeDone || r.Outcome == replication.OutcomeHeld || r.Left > 0)
	}
	for n, last := 1, first; n < maxPasses && mayHaveMissed(last); n++ {
		if last, err = engine.Pass(ctx, o); last.Mode != "" {
			h.writeMetrics(last)
		}
		if err != nil {
			h.Log.Warn("what was pushed meanwhile is left to the next pass", "pair", engine.Pair.ID.String(), "error", err.Error())
		}
	}
	return first, nil
}

// failedResult returns the result of work that failed. After a refusal the keys are read
// again next time. The failure is in the table, unless the table can't be read; then
// that is an error of the function.
func (h *Handler) failedResult(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig, err error) (cloud.SyncResult, error) {
	if fault.ClassOf(err) == fault.Denied {
		fleet.DropClients()
	}
	result := cloud.SyncResult{Error: err.Error(), Hint: fault.HintOf(err), Class: fault.ClassOf(err)}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if _, err := fleet.PairState(ctx, pair.ID); err != nil {
		return result, fmt.Errorf("pair %s: %w", pair.ID, err)
	}
	return result, nil
}

// writeMetrics writes the metrics of a pass. A poll without work writes none: a line for
// each would be most of the cost of the log.
func (h *Handler) writeMetrics(run replication.Run) {
	if run.Mode == "" {
		return
	}
	c := run.Counts
	failed := 0.0
	if run.Outcome == replication.OutcomeFailed {
		failed = 1
	}
	h.WriteMetrics(map[string]metrics.Value{
		"Applied":          {Number: float64(c.Created + c.Updated), Unit: metrics.Count},
		"Deleted":          {Number: float64(c.Deleted), Unit: metrics.Count},
		"Failed":           {Number: failed, Unit: metrics.Count},
		"UploadedBytes":    {Number: float64(c.Uploaded), Unit: metrics.Bytes},
		"PassMilliseconds": {Number: float64(run.Ended.Sub(run.Started).Milliseconds()), Unit: metrics.Milliseconds},
	})
}

// verifyPair compares both sides, and repairs drift where the configuration says so.
func (h *Handler) verifyPair(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig, trigger replication.Trigger) (cloud.SyncResult, error) {
	log := h.Log.With("pair", pair.ID.String())
	engine, err := fleet.Engine(ctx, pair)
	if err != nil {
		log.Warn("verification failed", "error", err.Error(), "hint", fault.HintOf(err))
		return h.failedResult(ctx, fleet, pair, err)
	}
	options := replication.VerifyOptions{Trigger: cmp.Or(trigger, cloud.TriggerManual), Repair: pair.Drift == replication.DriftRepair}
	options.Deadline, _ = ctx.Deadline()
	if options.Portion, err = h.portionDue(ctx, fleet, pair, options.Trigger); err != nil {
		return h.failedResult(ctx, fleet, pair, err)
	}
	report, err := engine.Verify(ctx, options)
	var leased *replication.LeasedError
	if errors.As(err, &leased) {
		log.Info("the verification waits: another process is working on the pair", "owner", leased.Lease.Owner,
			"until", leased.Lease.Expires.UTC().Format(time.RFC3339))
		return h.failedResult(ctx, fleet, pair, err)
	}
	if err != nil {
		log.Warn("verification failed", "error", err.Error(), "hint", fault.HintOf(err))
		return h.failedResult(ctx, fleet, pair, err)
	}
	partial := report.Outcome == replication.OutcomePartial
	equal, differ := report.Equal() && !partial, report.Differ()
	switch {
	case partial:
		log.Info("a part of the verification is done; the next run of the manager starts the rest", "differences", differ)
	case equal:
		log.Info("verified: both sides are equal")
	default:
		log.Warn("verification found differences", "differences", differ, "unreadable", len(report.Unreadable))
	}
	return cloud.SyncResult{Equal: &equal, Differ: differ, Repaired: len(report.Repaired)}, nil
}

// portionDue reports whether a verification that the manager starts checks a portion of
// the files only: they are due, and the objects are not.
func (h *Handler) portionDue(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig, trigger replication.Trigger) (bool, error) {
	if trigger != cloud.TriggerSchedule {
		return false, nil
	}
	st, err := fleet.PairState(ctx, pair.ID)
	now := h.Now()
	return st.Progress.FilesDue(pair.FilesEvery, now) && !st.Progress.VerifyDue(pair.VerifyEvery, now), err
}
