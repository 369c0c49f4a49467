// Package manager is the function that starts all others and looks after all pairs.
// Each minute it reads the records of all pairs and scans and invokes the other
// functions for what is due; now and then it assesses the pairs, writes metrics,
// starts verifications and probes of servers, and says what an operator should know.
// It also brings a deployed configuration to the other functions. What it logs is what
// manager-log shows.
package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/cfn"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"chefsync/functions/internal/environment"
	"chefsync/functions/internal/invoke"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/fault"
	"chefsync/pkg/feed/journal"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// Handler answers cloud.ManagerEvents, and CloudFormation about its
// cloud.ConfigurationResource. Make it with New. An environment has one invocation at
// a time.
type Handler struct {
	*environment.Environment
	functions functionsAPI
	sleep     func(context.Context, time.Duration) error
	managed   time.Time // when this environment assessed the pairs last
	reserved  bool      // by this environment: a deployment of the function may have undone it
}

// functionsAPI is what the manager needs of AWS Lambda. *lambda.Client is one.
type functionsAPI interface {
	invoke.API
	PutFunctionConcurrency(context.Context, *lambda.PutFunctionConcurrencyInput, ...func(*lambda.Options)) (*lambda.PutFunctionConcurrencyOutput, error)
	DeleteFunctionConcurrency(context.Context, *lambda.DeleteFunctionConcurrencyInput, ...func(*lambda.Options)) (*lambda.DeleteFunctionConcurrencyOutput, error)
}

// New makes the handler of an environment.
func New(e *environment.Environment) *Handler {
	return &Handler{Environment: e, functions: lambda.NewFromConfig(e.AWS), sleep: sleep}
}

// Summary is what a turn did, for whoever asked for it.
type Summary struct {
	Pairs     int `json:"pairs"`
	Synced    int `json:"synced"`  // passes that were started
	Scanned   int `json:"scanned"` // likewise scans
	Findings  int `json:"findings"`
	Verifying int `json:"verifying"`
}

// Handle does what an event asks for.
func (h *Handler) Handle(ctx context.Context, raw json.RawMessage) (any, error) {
	ctx, cancel := environment.Within(ctx)
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
		return cfn.LambdaWrap(h.configure)(ctx, event)
	case kind.Task == cloud.TaskDispatch:
		return h.turn(ctx, true)
	case kind.Task == cloud.TaskManage:
		return h.turn(ctx, false)
	}
	return nil, fmt.Errorf("the event asks for the task %q, which this version doesn't know", kind.Task)
}

// turn reads the records once and does what they call for. What fails doesn't keep
// the rest from being done.
func (h *Handler) turn(ctx context.Context, dispatch bool) (Summary, error) {
	fleet, err := h.Fleet(ctx, true)
	if err != nil {
		h.Log.Error("the configuration can't be used", "error", err.Error(), "hint", fault.HintOf(err))
		return Summary{}, err
	}
	s := Summary{Pairs: len(fleet.Pairs())}
	f, err := h.read(ctx, fleet)
	if err != nil {
		h.Log.Error("the records can't be read", "error", err.Error(), "hint", fault.HintOf(err))
	}
	failed := []error{err}
	if f.records != nil && dispatch {
		failed = append(failed, h.dispatch(ctx, fleet, f, &s))
	}
	if dispatch && f.now.Before(h.managed.Add(cloud.ManagerEvery-slack)) {
		return s, errors.Join(failed...)
	}
	h.managed = f.now
	if !h.reserved {
		h.reserved = true
		h.reserve(ctx, fleet.Config)
	}
	if f.records != nil {
		failed = append(failed, h.manage(ctx, fleet, f, &s))
	}
	return s, errors.Join(append(failed, h.heartbeat(ctx, s.Pairs))...)
}

// read reads the records of all pairs and of the scans of their sources. Without the
// records of the pairs nothing is known; a scan that is missing counts as none.
func (h *Handler) read(ctx context.Context, fleet *assembly.Fleet) (facts, error) {
	f := facts{now: h.Now(), every: fleet.Journal.ScanEvery}
	state, err := fleet.State(ctx)
	if err != nil {
		return f, err
	}
	all, err := state.Pairs(ctx)
	if err != nil {
		return f, err
	}
	f.records = make(map[replication.PairID]replication.PairState, len(all))
	for _, st := range all {
		f.records[st.ID] = st
	}
	f.scans, err = fleet.LastScans(ctx)
	return f, err
}

// heartbeat records that the pairs were assessed, whatever came of it.
func (h *Handler) heartbeat(ctx context.Context, pairs int) error {
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

// manage assesses all pairs, says what is to be said and starts what is due.
func (h *Handler) manage(ctx context.Context, fleet *assembly.Fleet, f facts, s *Summary) error {
	down, downErr := h.downServers(ctx, fleet, f.records, f.now)
	o := oversee(fleet.Pairs(), f.records, scansRead(fleet, f), down, status.ToleranceFor(fleet.Journal.ScanEvery, cloud.NoteEvery), f.now)
	s.Findings = len(o.findings)
	for _, finding := range o.findings {
		if finding.due(f.now) {
			h.Log.With(finding.about()...).Warn(finding.message, finding.attrs...)
		}
	}
	failed := []error{downErr}
	for _, id := range o.verify {
		err := invoke.Send(ctx, h.functions, h.Resources.Sync, cloud.SyncEvent{Pair: id, Task: cloud.TaskVerify, Trigger: cloud.TriggerSchedule})
		if err != nil {
			h.Log.Warn("a verification can't be started", "pair", id.String(), "error", err.Error())
			failed = append(failed, err)
			continue
		}
		s.Verifying++
		h.Log.Info("verification started", "pair", id.String())
	}
	for _, server := range down {
		h.sayDown(server, f.now)
	}
	failed = append(failed, h.startProbe(ctx, fleet), h.Metrics.Write(f.now, o.metrics()))
	return errors.Join(failed...)
}

// scansRead returns how the sources were scanned last whose scans some pair reads.
// A source that was never scanned has the zero record.
func scansRead(fleet *assembly.Fleet, f facts) scans {
	read := scans{}
	for _, s := range fleet.Sources() {
		if slices.ContainsFunc(s.Pairs, func(id replication.PairID) bool { return readsScans(f.records[id]) }) {
			read[s.Org] = f.scans[s.Org]
		}
	}
	return read
}

// readsScans reports whether scans find the changes of a pair that isn't stopped.
func readsScans(st replication.PairState) bool {
	return st.Progress.Feed == journal.Name && !st.Desired.Stopped
}

// about is what a finding concerns, for the log.
func (f finding) about() []any {
	if f.source != "" {
		return []any{"source", f.source}
	}
	return []any{"pair", f.pair.String()}
}
