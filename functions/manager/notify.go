package manager

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"chefsync/pkg/assembly"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/health"
	"chefsync/pkg/notify"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// eventBus is where events are published: that of the account, which has the rules of all.
const eventBus = "default"

// notify publishes what changed in the fleet as events of EventBridge.
func (h *Handler) notify(ctx context.Context, fleet *assembly.Fleet, f facts, servers []health.Server, reports map[replication.PairID]status.Report) error {
	store, err := h.Backend.Notified(ctx)
	if err != nil {
		return err
	}
	n := notify.Notifier{
		Store: store, Channels: []notify.Channel{{Name: "eventbridge", Send: h.putEvent}},
		Rules:    notify.Rules{After: fleet.Notify.After, Every: assessEvery},
		Instance: h.Resources.Stack, Now: h.Now, Log: h.Log,
	}
	return n.Evaluate(ctx, knownFleet(fleet, f, servers, reports))
}

// knownFleet returns what the manager knows of servers and pairs.
func knownFleet(fleet *assembly.Fleet, f facts, servers []health.Server, reports map[replication.PairID]status.Report) (known notify.Fleet) {
	records := map[string]health.Server{}
	for _, s := range servers {
		if isRecent(s, f.now) {
			records[s.Name] = s
		}
	}
	for _, s := range fleet.ServersOf(fleet.Pairs()) {
		server := notify.Server{Name: s.Name}
		if r, ok := records[s.Name]; ok {
			server.Record = &r
		}
		for _, id := range s.Pairs {
			if !f.records[id].Desired.Stopped {
				server.Pairs = append(server.Pairs, id)
			}
		}
		known.Servers = append(known.Servers, server)
	}
	for _, p := range fleet.Pairs() {
		pair := notify.Pair{ID: p.ID}
		if r, ok := reports[p.ID]; ok {
			pair.Report = &r
		}
		known.Pairs = append(known.Pairs, pair)
	}
	return known
}

// putEvent publishes one message as an event.
func (h *Handler) putEvent(ctx context.Context, m notify.Message) error {
	detail, err := json.Marshal(m)
	if err != nil {
		return err
	}
	out, err := h.events.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		EventBusName: aws.String(eventBus), Source: aws.String(cloud.EventSource), DetailType: aws.String(cloud.DetailType(m.Event, m.State == notify.StateResolved)),
		Detail: aws.String(string(detail)), Time: &m.Time,
	}}})
	if err != nil {
		return awserr.Wrap(ctx, "publish an event", "event bus "+eventBus, err)
	}
	if out.FailedEntryCount > 0 && len(out.Entries) > 0 {
		failed := out.Entries[0]
		return fmt.Errorf("publish an event: %s: %s", aws.ToString(failed.ErrorCode), aws.ToString(failed.ErrorMessage))
	}
	return nil
}
