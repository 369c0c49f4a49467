package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-lambda-go/cfn"

	"chefsync/functions/internal/environment"
	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/schedule"
	"chefsync/pkg/status"
)

// handler answers cloud.ManagerEvents, and CloudFormation about its
// cloud.ConfigurationResource.
type handler struct {
	*environment.Environment
	// group remembers, while the environment is warm, what it has read.
	group       *schedule.Group
	functions   schedule.Invoker
	concurrency concurrency
	reserved    *sync.Once // in each environment, since a deployment of the function may undo it
}

// summary is what a turn did, for who asked for it.
type summary struct {
	Pairs     int             `json:"pairs"`
	Findings  int             `json:"findings"`
	Verifying int             `json:"verifying"`
	Schedules schedule.Report `json:"schedules"`
}

func (h handler) handle(ctx context.Context, raw json.RawMessage) (any, error) {
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
	case kind.Task == cloud.TaskManage:
		return h.manage(ctx)
	case kind.Task == cloud.TaskReconcile:
		fleet, err := h.Fleet(ctx, true)
		if err != nil {
			return nil, err
		}
		report, err := h.reconcile(ctx, fleet)
		return summary{Pairs: len(fleet.Pairs()), Schedules: report}, err
	}
	return nil, fmt.Errorf("the event asks for the task %q, which this version doesn't know", kind.Task)
}

// manage is one turn. What fails doesn't keep the rest from being done.
func (h handler) manage(ctx context.Context) (summary, error) {
	fleet, err := h.Fleet(ctx, true)
	if err != nil {
		h.Log.Error("the configuration can't be used", "error", err.Error(), "hint", replication.HintOf(err))
		return summary{}, err
	}
	h.reserved.Do(func() { h.reserve(ctx, fleet.Config) })
	var s summary
	s.Pairs = len(fleet.Pairs())
	watchErr := h.watch(ctx, fleet, &s)
	report, scheduleErr := h.reconcile(ctx, fleet)
	s.Schedules = report
	return s, errors.Join(watchErr, scheduleErr, h.heartbeat(ctx, s.Pairs))
}

// heartbeat records that a turn ended, whatever came of it.
func (h handler) heartbeat(ctx context.Context, pairs int) error {
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

// watch looks at all pairs, says what is to be said and starts what is due.
func (h handler) watch(ctx context.Context, fleet *assembly.Fleet, s *summary) error {
	records, err := h.records(ctx, fleet)
	if err != nil {
		h.Log.Error("the pairs can't be looked after", "error", err.Error(), "hint", replication.HintOf(err))
		return err
	}
	scanned, scansErr := h.scans(ctx, fleet, records)
	now := h.Now()
	down, downErr := h.downServers(ctx, fleet, records, now)
	o := oversee(fleet.Pairs(), records, scanned, down, status.ToleranceFor(fleet.Journal.ScanEvery, cloud.NoteEvery), now)
	s.Findings = len(o.findings)
	for _, f := range o.findings {
		if f.due(now) {
			h.Log.With(f.about()...).Warn(f.message, f.attrs...)
		}
	}
	failed := []error{scansErr, downErr}
	for _, id := range o.verify {
		if err := h.startVerify(ctx, id); err != nil {
			h.Log.Warn("a verification can't be started", "pair", id.String(), "error", err.Error())
			failed = append(failed, err)
			continue
		}
		s.Verifying++
		h.Log.Info("verification started", "pair", id.String())
	}
	for _, server := range down {
		h.sayDown(server, now)
	}
	failed = append(failed, h.startProbe(ctx, fleet))
	if err := h.Metrics.Write(now, o.metrics()); err != nil {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (h handler) records(ctx context.Context, fleet *assembly.Fleet) (map[replication.PairID]replication.PairState, error) {
	state, err := fleet.State(ctx)
	if err != nil {
		return nil, err
	}
	all, err := state.Pairs(ctx)
	if err != nil {
		return nil, err
	}
	records := make(map[replication.PairID]replication.PairState, len(all))
	for _, st := range all {
		records[st.ID] = st
	}
	return records, nil
}

// scansAtOnce bounds the records of scans that are read at once.
const scansAtOnce = 8

// scans reads how the sources of pairs that scans feed were scanned last.
func (h handler) scans(ctx context.Context, fleet *assembly.Fleet, records map[replication.PairID]replication.PairState) (scans, error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	found, free := scans{}, make(chan struct{}, scansAtOnce)
	for _, s := range fleet.Sources() {
		if !slices.ContainsFunc(s.Pairs, func(id replication.PairID) bool { return readsScans(records[id]) }) {
			continue
		}
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			last, err := fleet.LastScan(ctx, s.Org)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				h.Log.Error("how a source was scanned can't be read", "source", s.Org, "error", err.Error(), "hint", replication.HintOf(err))
				failed = append(failed, err)
				return
			}
			found[s.Org] = last
		})
	}
	all.Wait()
	return found, errors.Join(failed...)
}

// about is what a finding concerns, for the log.
func (f finding) about() []any {
	if f.source != "" {
		return []any{"source", f.source}
	}
	return []any{"pair", f.pair.String()}
}

// startVerify leaves the work to the sync function and doesn't wait for it.
func (h handler) startVerify(ctx context.Context, id replication.PairID) error {
	event, err := json.Marshal(cloud.SyncEvent{Pair: id, Task: cloud.TaskVerify, Trigger: cloud.TriggerSchedule})
	if err != nil {
		return err
	}
	return h.functions.Invoke(ctx, h.Resources.SyncARN, event)
}
