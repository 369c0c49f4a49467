package cloudwatch

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"chefsync/cli/internal/logstore"
	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/replication"
)

// A request takes 10,000 lines and 1 MiB, with 26 bytes added to each line.
const (
	maxBatch = 1000
	maxBytes = 1 << 20
	perLine  = 26
)

// Append implements [logstore.Store].
func (c *Store) Append(ctx context.Context, lines []logstore.Line) error {
	byGroup := map[string][]types.InputLogEvent{}
	for _, l := range lines {
		group := c.resources.SyncLog
		if l.Pair == (replication.PairID{}) {
			group = c.resources.ManagerLog
		}
		byGroup[group] = append(byGroup[group], types.InputLogEvent{Message: aws.String(encodeLine(l)), Timestamp: aws.Int64(l.Time.UnixMilli())})
	}
	for group, events := range byGroup {
		// A request must be in order.
		slices.SortStableFunc(events, func(a, b types.InputLogEvent) int { return cmp.Compare(*a.Timestamp, *b.Timestamp) })
		if err := c.putEvents(ctx, group, events); err != nil {
			return awserr.Wrap(ctx, "write the log", "log group "+group, err)
		}
	}
	return nil
}

func (c *Store) putEvents(ctx context.Context, group string, events []types.InputLogEvent) error {
	if !c.created[group] {
		_, err := c.client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &c.stream})
		var there *types.ResourceAlreadyExistsException // by a request whose response was lost: no other process has this name
		if err != nil && !errors.As(err, &there) {
			return err
		}
		c.created[group] = true
	}
	for len(events) > 0 {
		n := batchSize(events)
		in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &c.stream, LogEvents: events[:n]}
		if _, err := c.client.PutLogEvents(ctx, in); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// batchSize is how many of the events go into one request.
func batchSize(events []types.InputLogEvent) (n int) {
	size := 0
	for _, e := range events {
		size += len(*e.Message) + perLine
		if n == maxBatch || n > 0 && size > maxBytes {
			break
		}
		n++
	}
	return n
}

// encodeLine writes a line as the functions write theirs.
func encodeLine(l logstore.Line) string {
	members := []logstore.Member{logstore.NewMember("time", l.Time), logstore.NewMember("level", l.Level.String()), logstore.NewMember("msg", l.Message)}
	if l.Pair != (replication.PairID{}) {
		members = append(members, logstore.NewMember("pair", l.Pair))
	}
	if l.Run != "" {
		members = append(members, logstore.NewMember("run", l.Run))
	}
	if l.Object != "" {
		members = append(members, logstore.NewMember("object", l.Object))
	}
	return string(logstore.EncodeMembers(append(members, logstore.DecodeMembers(l.Attrs)...)))
}
