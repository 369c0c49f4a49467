// Package sync is the function that does one pass for one pair. The manager sends it
// events; so do scans, pushes and people.
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

// New makes the handler of an environment.
func New(e *environment.Environment) *Handler { return &Handler{e} }

// Handle does what an event asks for. What went wrong with a server or an object
// is an answer: the table says it and a later event tries again. What could
// not be written there is an error of the function, which alarms.
func (h *Handler) Handle(ctx context.Context, event cloud.SyncEvent) (cloud.SyncResult, error) {
	if event.Task == cloud.TaskProbe {
		return h.probe(ctx)
	}
	fleet, pair, err := h.pair(ctx, event.Pair)
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
		return h.pass(ctx, fleet, pair, event)
	case cloud.TaskVerify:
		return h.verify(ctx, fleet, pair, event.Trigger)
	case cloud.TaskDoctor:
		return cloud.SyncResult{Checks: examine(ctx, fleet, pair)}, nil
	}
	return cloud.SyncResult{}, fmt.Errorf("the event asks for the task %q, which this version doesn't know", event.Task)
}

// pair finds a pair. One that isn't known may have been deployed a moment ago.
func (h *Handler) pair(ctx context.Context, id replication.PairID) (*assembly.Fleet, config.PairConfig, error) {
	fleet, pair, err := h.known(ctx, id, false)
	var unknown *assembly.UnknownPairError
	if errors.As(err, &unknown) {
		return h.known(ctx, id, true)
	}
	return fleet, pair, err
}

func (h *Handler) known(ctx context.Context, id replication.PairID, fresh bool) (*assembly.Fleet, config.PairConfig, error) {
	fleet, err := h.Fleet(ctx, fresh)
	if err != nil {
		return nil, config.PairConfig{}, err
	}
	pairs, err := fleet.Select(id.String())
	if err != nil {
		return nil, config.PairConfig{}, err
	}
	return fleet, pairs[0], nil
}

func (h *Handler) pass(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig, event cloud.SyncEvent) (cloud.SyncResult, error) {
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
		run, err = h.passes(ctx, fleet, engine, options)
	}
	h.measure(run)
	result := cloud.SyncResult{Run: &run}
	var leased *replication.LeasedError
	if err == nil || errors.As(err, &leased) {
		return result, nil
	}
	failed, unrecorded := h.unable(ctx, fleet, pair, err)
	failed.Run = &run
	return failed, unrecorded
}

// maxPasses bounds the passes of one event.
const maxPasses = 10

// passes does a pass, and where changes are pushed, further ones until one finds no
// work: of a change that is pushed while a pass of the pair runs nobody else tells the
// pair. It returns the first run, for which the event was.
func (h *Handler) passes(ctx context.Context, fleet *assembly.Fleet, engine *replication.Engine, o replication.PassOptions) (replication.Run, error) {
	first, err := engine.Pass(ctx, o)
	if err != nil || fleet.Journal.Token.IsZero() {
		return first, err
	}
	o.Trigger, o.Full = cloud.TriggerPush, false
	ended := func(r replication.Run) bool {
		return r.Mode != "" && (r.Outcome == replication.OutcomeDone || r.Outcome == replication.OutcomeHeld || r.Left > 0)
	}
	for n, last := 1, first; n < maxPasses && ended(last); n++ {
		if last, err = engine.Pass(ctx, o); last.Mode != "" {
			h.measure(last)
		}
		if err != nil {
			h.Log.Warn("what was pushed meanwhile is left to the next pass", "pair", engine.Pair.ID.String(), "error", err.Error())
		}
	}
	return first, nil
}

// unable is the answer for work that failed. After a refusal the keys are read
// again next time. The failure is in the table unless the table itself is the
// trouble.
func (h *Handler) unable(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig, err error) (cloud.SyncResult, error) {
	if fault.ClassOf(err) == fault.Denied {
		fleet.Forget()
	}
	result := cloud.SyncResult{Error: err.Error(), Hint: fault.HintOf(err), Class: fault.ClassOf(err)}
	readable, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	state, stateErr := fleet.State(readable)
	if stateErr == nil {
		_, stateErr = state.Pair(readable, pair.ID)
	}
	if stateErr != nil {
		return result, fmt.Errorf("pair %s: %w", pair.ID, stateErr)
	}
	return result, nil
}

// measure writes what a pass did. A poll without work writes nothing: a line for
// each would be most of the log's price.
func (h *Handler) measure(run replication.Run) {
	if run.Mode == "" {
		return
	}
	c := run.Counts
	failed := 0.0
	if run.Outcome == replication.OutcomeFailed {
		failed = 1
	}
	err := h.Metrics.Write(h.Now(), map[string]metrics.Value{
		"Applied":          {Number: float64(c.Created + c.Updated), Unit: metrics.Count},
		"Deleted":          {Number: float64(c.Deleted), Unit: metrics.Count},
		"Failed":           {Number: failed, Unit: metrics.Count},
		"UploadedBytes":    {Number: float64(c.Uploaded), Unit: metrics.Bytes},
		"PassMilliseconds": {Number: float64(run.Ended.Sub(run.Started).Milliseconds()), Unit: metrics.Milliseconds},
	})
	if err != nil {
		h.Log.Warn("metrics can't be written", "error", err.Error())
	}
}

// verify reads both sides and compares them, and repairs what drifted where the
// configuration wants that.
func (h *Handler) verify(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig, trigger replication.Trigger) (cloud.SyncResult, error) {
	log := h.Log.With("pair", pair.ID.String())
	engine, err := fleet.Engine(ctx, pair)
	if err != nil {
		log.Warn("verification failed", "error", err.Error(), "hint", fault.HintOf(err))
		return h.unable(ctx, fleet, pair, err)
	}
	options := replication.VerifyOptions{Trigger: cmp.Or(trigger, cloud.TriggerManual), Repair: pair.Drift == replication.DriftRepair}
	options.Deadline, _ = ctx.Deadline()
	if options.Portion, err = h.portion(ctx, fleet, pair, options.Trigger); err != nil {
		return h.unable(ctx, fleet, pair, err)
	}
	report, err := engine.Verify(ctx, options)
	var leased *replication.LeasedError
	if errors.As(err, &leased) {
		log.Info("the verification waits: another process works on the pair", "owner", leased.Lease.Owner, "until", leased.Lease.Expires.UTC().Format(time.RFC3339))
		return h.unable(ctx, fleet, pair, err)
	}
	if err != nil {
		log.Warn("verification failed", "error", err.Error(), "hint", fault.HintOf(err))
		return h.unable(ctx, fleet, pair, err)
	}
	partial := report.Outcome == replication.OutcomePartial
	equal, differ := report.Equal() && !partial, report.Differ()
	switch {
	case partial:
		log.Info("a part of the verification is done; the rest is left to the next turn", "differences", differ)
	case equal:
		log.Info("verified: both sides are equal")
	default:
		log.Warn("verification found differences", "differences", differ, "unreadable", len(report.Unreadable))
	}
	return cloud.SyncResult{Equal: &equal, Differ: differ, Repaired: len(report.Repaired)}, nil
}

// portion reports whether a verification that the manager starts is to check a portion of the
// files: they are due, and the objects are not.
func (h *Handler) portion(ctx context.Context, fleet *assembly.Fleet, pair config.PairConfig, trigger replication.Trigger) (bool, error) {
	if trigger != cloud.TriggerSchedule {
		return false, nil
	}
	state, err := fleet.State(ctx)
	if err != nil {
		return false, err
	}
	st, err := state.Pair(ctx, pair.ID)
	now := h.Now()
	return st.Progress.FilesDue(pair.FilesEvery, now) && !st.Progress.VerifyDue(pair.VerifyEvery, now), err
}
