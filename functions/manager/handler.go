// Package manager is the function that invokes all others and assesses all pairs. Each
// minute it reads the records of all pairs and scans, and invokes the other functions
// for what is due. Every few minutes it assesses the pairs, writes metrics, starts
// verifications and probes of servers, and logs what an operator should know. It also
// stores a deployed configuration for the other functions. manager-log shows its log.
package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/cfn"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"chefsync/functions/internal/environment"
	"chefsync/functions/internal/invoke"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/changelog"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// Handler handles cloud.ManagerEvents, and events of CloudFormation about the
// cloud.ConfigurationResource. Make it with New. An environment has one invocation at
// a time.
type Handler struct {
	*environment.Environment
	lambda              *lambda.Client
	events              *eventbridge.Client
	managed             time.Time // when this environment assessed the pairs last
	concurrencyReserved bool      // by this environment: a deployment of the function may have undone it
}

// New returns the handler of an environment.
func New(e *environment.Environment) *Handler {
	return &Handler{Environment: e, lambda: lambda.NewFromConfig(e.AWS), events: eventbridge.NewFromConfig(e.AWS)}
}

// Summary is what a run of the manager did.
type Summary struct {
	Pairs     int `json:"pairs"`
	Synced    int `json:"synced"`  // passes that were started
	Scanned   int `json:"scanned"` // likewise scans
	Findings  int `json:"findings"`
	Verifying int `json:"verifying"`
}

// Handle runs the task of an event.
func (h *Handler) Handle(ctx context.Context, raw json.RawMessage) (any, error) {
	ctx, cancel := environment.WithMargin(ctx)
	defer cancel()
	var kind struct{ RequestType, Task string }
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, fmt.Errorf("the event can't be read: %w", err)
	}
	switch {
	case kind.RequestType != "":
		var event cfn.Event
		if err := json.Unmarshal(raw, &event); err != nil {
			return nil, fmt.Errorf("the event of CloudFormation can't be read: %w", err)
		}
		return cfn.LambdaWrap(h.handleResourceEvent)(ctx, event)
	case kind.Task == cloud.TaskDispatch:
		return h.runTask(ctx, true)
	case kind.Task == cloud.TaskManage:
		return h.runTask(ctx, false)
	}
	return nil, fmt.Errorf("the event asks for the task %q, which this version doesn't know", kind.Task)
}

// runTask reads the records once, and with dispatch starts what is due; every few
// minutes, and without dispatch, it assesses the pairs. A failure doesn't keep the rest
// from being done.
func (h *Handler) runTask(ctx context.Context, dispatch bool) (Summary, error) {
	fleet, err := h.Fleet(ctx, true)
	if err != nil {
		h.Log.Error("the configuration can't be used", "error", err.Error(), "hint", fault.HintOf(err))
		return Summary{}, err
	}
	s := Summary{Pairs: len(fleet.Pairs())}
	f, err := h.readFacts(ctx, fleet)
	if err != nil {
		h.Log.Error("the records can't be read", "error", err.Error(), "hint", fault.HintOf(err))
	}
	failed := []error{err}
	if f.records != nil && dispatch {
		failed = append(failed, h.dispatchDue(ctx, fleet, f, &s))
	}
	if dispatch && f.now.Before(h.managed.Add(cloud.ManagerEvery-slack)) {
		return s, errors.Join(failed...)
	}
	h.managed = f.now
	if !h.concurrencyReserved {
		h.concurrencyReserved = true
		h.reserveWebConcurrency(ctx, fleet.Config)
	}
	if f.records != nil {
		failed = append(failed, h.managePairs(ctx, fleet, f, &s))
	}
	return s, errors.Join(append(failed, h.recordHeartbeat(ctx, s.Pairs))...)
}

// readFacts reads the records of all pairs and of the last scans of their sources. If some
// can't be read, it returns the others with the error.
func (h *Handler) readFacts(ctx context.Context, fleet *assembly.Fleet) (facts, error) {
	f := facts{now: h.Now(), every: fleet.ChangeLog.ScanEvery}
	state, err := fleet.State(ctx)
	if err != nil {
		return f, err
	}
	var ids []replication.PairID
	for _, p := range fleet.Pairs() {
		ids = append(ids, p.ID)
	}
	if f.records, f.unread, err = replication.ReadPairs(ctx, state, ids); err != nil {
		return f, err
	}
	var failed []error
	for _, id := range ids {
		failed = append(failed, f.unread[id])
	}
	f.scans, err = fleet.LastScans(ctx)
	f.complete = err == nil
	return f, errors.Join(append(failed, err)...)
}

// recordHeartbeat records that the manager has assessed the pairs.
func (h *Handler) recordHeartbeat(ctx context.Context, pairs int) error {
	store, err := h.Backend.Health(ctx)
	if err == nil {
		now := h.Now().UTC()
		err = store.SaveProcess(ctx, health.Process{Role: health.RoleManager, Owner: h.Resources.Stack, Seen: now, Pairs: pairs})
	}
	if err != nil {
		h.Log.Warn("the heartbeat can't be recorded", "error", err.Error())
	}
	return err
}

// managePairs assesses all pairs, logs the findings, writes metrics, starts the
// verifications that are due and a probe of the servers, and publishes what changed.
func (h *Handler) managePairs(ctx context.Context, fleet *assembly.Fleet, f facts, s *Summary) error {
	servers, serversErr := h.readServers(ctx, fleet)
	down := downServers(servers, fleet, f.records, f.now)
	a := assessPairs(f.readable(fleet.Pairs()), f.records, relevantScans(fleet, f), down, status.ToleranceFor(fleet.ChangeLog.ScanEvery, cloud.RecordEvery), f.now)
	s.Findings = len(a.findings)
	for _, finding := range a.findings {
		if finding.shouldLog(f.now) {
			h.Log.Warn(finding.message, finding.attrs...)
		}
	}
	failed := []error{serversErr}
	for _, id := range a.verify {
		err := invoke.Send(ctx, h.lambda, h.Resources.Sync, cloud.SyncEvent{Pair: id, Task: cloud.TaskVerify, Trigger: cloud.TriggerSchedule})
		if err != nil {
			h.Log.Warn("a verification can't be started", "pair", id.String(), "error", err.Error())
			failed = append(failed, err)
			continue
		}
		s.Verifying++
		h.Log.Info("verification started", "pair", id.String())
	}
	failed = append(failed, h.startProbe(ctx, fleet), h.Metrics.Write(f.now, a.metricValues()))
	if serversErr == nil && f.complete { // else pairs would seem to have changed
		failed = append(failed, h.notify(ctx, fleet, f, servers, a.reports))
	}
	return errors.Join(failed...)
}

// relevantScans returns the last scans of the sources whose scans some pair follows. A
// source that was never scanned has the zero record.
func relevantScans(fleet *assembly.Fleet, f facts) lastScans {
	relevant := lastScans{}
	for _, s := range fleet.Sources() {
		if slices.ContainsFunc(s.Pairs, func(id replication.PairID) bool { return followsScans(f.records[id]) }) {
			relevant[s.Org] = f.scans[s.Org]
		}
	}
	return relevant
}

// followsScans reports whether a pair isn't stopped and its changes are found by scans.
func followsScans(st replication.PairState) bool {
	return st.Progress.Feed == changelog.Name && !st.Desired.Stopped
}
