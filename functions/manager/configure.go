package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/cfn"

	"chefsync/pkg/assembly"
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
	"chefsync/pkg/schedule"
)

// physicalID is that of the configuration, whatever it says: another id would
// make CloudFormation delete the old configuration after an update.
const physicalID = "configuration"

// configure answers CloudFormation. A configuration that is refused changes
// nothing, and CloudFormation goes back to the one before.
func (h handler) configure(ctx context.Context, event cfn.Event) (id string, data map[string]any, err error) {
	if event.RequestType == cfn.RequestDelete {
		report, err := h.group.Clear(ctx)
		h.Log.Info("the stack is being removed; its schedules are deleted", "deleted", len(report.Deleted))
		return physicalID, nil, err
	}
	bucket, _ := event.ResourceProperties["Bucket"].(string)
	key, _ := event.ResourceProperties["Key"].(string)
	if err := h.adopt(ctx, bucket, key); err != nil {
		h.Log.Error("the configuration is refused; nothing was changed", "error", err.Error(), "hint", replication.HintOf(err))
		return physicalID, nil, err
	}
	fleet, err := h.Fleet(ctx, true)
	if err != nil {
		return physicalID, nil, err
	}
	h.reserve(ctx, fleet.Config)
	report, err := h.reconcile(ctx, fleet)
	h.Log.Info("the configuration is in use", "pairs", len(fleet.Pairs()), "schedules", report.String())
	return physicalID, map[string]any{"Pairs": len(fleet.Pairs())}, err
}

// adopt checks a configuration and makes it the one that the functions use.
func (h handler) adopt(ctx context.Context, bucket, key string) error {
	if bucket == "" || key == "" {
		return fmt.Errorf("the resource has no Bucket and Key that say where the configuration is")
	}
	text, err := h.Backend.Text(ctx, bucket, key)
	if err != nil {
		return err
	}
	c, err := config.Loader{}.Parse(config.FileName, text)
	if err != nil {
		return err
	}
	if err := c.CheckAWS(); err != nil {
		return err
	}
	return h.Backend.StoreConfiguration(ctx, text)
}

// reconcile makes the schedules follow the configuration and the operator's
// wishes.
func (h handler) reconcile(ctx context.Context, fleet *assembly.Fleet) (schedule.Report, error) {
	records, err := h.records(ctx, fleet)
	if err != nil {
		return schedule.Report{}, err
	}
	var pairs []schedule.Pair
	for _, p := range fleet.Pairs() {
		pairs = append(pairs, schedule.Pair{ID: p.ID, Interval: p.Interval, Stopped: records[p.ID].Desired.Stopped})
	}
	desired, warnings, err := schedule.Desired(h.Resources, pairs, h.sources(fleet))
	for _, w := range warnings {
		h.Log.Warn(w)
	}
	var report schedule.Report
	if err == nil {
		report, err = h.group.Reconcile(ctx, desired)
	}
	switch {
	case err != nil:
		h.Log.Error("schedules don't follow the configuration", "error", err.Error(), "hint", replication.HintOf(err))
	case len(report.Created)+len(report.Updated)+len(report.Deleted) > 0:
		h.Log.Info("schedules follow the configuration", "schedules", report.String())
	}
	return report, err
}

// sources are the organizations to scan, for a stack with a journal. Whether
// their primary needs one is the scanner's to find out.
func (h handler) sources(fleet *assembly.Fleet) []schedule.Source {
	if h.Resources.ChangesARN == "" {
		return nil
	}
	var sources []schedule.Source
	for _, s := range fleet.Sources() {
		sources = append(sources, schedule.Source{Name: s.Org, Interval: fleet.Journal.ScanEvery})
	}
	return sources
}
