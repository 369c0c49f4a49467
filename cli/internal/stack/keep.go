package stack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"chefsync/pkg/replication"
	"chefsync/pkg/state"
)

// LogKeeper writes what a command does to a stack into the logs of its
// functions, in a stream of its own, so that sync-log shows it to everybody. It
// is a state.LogStore.
type LogKeeper struct {
	client *cloudwatchlogs.Client
	stack  *Stack
	stream string
	made   map[string]bool // groups that have the stream
}

// KeepLog makes a keeper. The owner is the name of this process.
func (s *Stack) KeepLog(owner string) *LogKeeper {
	return &LogKeeper{client: cloudwatchlogs.NewFromConfig(s.Config), stack: s, made: map[string]bool{},
		stream: "chef-sync-ctl/" + strings.NewReplacer(":", "/", "*", "-").Replace(owner)} // neither may be in a name
}

// A request takes 10,000 lines and 1 MiB, with 26 bytes added to each line.
const (
	maxBatch = 1000
	maxBytes = 1 << 20
	perLine  = 26
)

// AppendLogs implements state.LogStore. It is called by one writer.
func (k *LogKeeper) AppendLogs(ctx context.Context, lines []state.LogLine) error {
	byGroup := map[string][]types.InputLogEvent{}
	for _, l := range lines {
		group := k.stack.SyncLog
		if l.Pair == (replication.PairID{}) {
			group = k.stack.ManagerLog
		}
		byGroup[group] = append(byGroup[group], types.InputLogEvent{Message: aws.String(encode(l)), Timestamp: aws.Int64(l.Time.UnixMilli())})
	}
	for group, events := range byGroup {
		// A request must be in order.
		slices.SortStableFunc(events, func(a, b types.InputLogEvent) int { return cmp.Compare(*a.Timestamp, *b.Timestamp) })
		if err := k.put(ctx, group, events); err != nil {
			return explain(ctx, "write the log", "log group "+group, err)
		}
	}
	return nil
}

func (k *LogKeeper) put(ctx context.Context, group string, events []types.InputLogEvent) error {
	if !k.made[group] {
		if _, err := k.client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &k.stream}); err != nil {
			return err
		}
		k.made[group] = true
	}
	for len(events) > 0 {
		n := batch(events)
		if _, err := k.client.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &k.stream, LogEvents: events[:n]}); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// batch is how many of the events go into one request.
func batch(events []types.InputLogEvent) (n int) {
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

// encode writes a line as the functions write theirs.
func encode(l state.LogLine) string {
	var b bytes.Buffer
	attrs := []slog.Attr{}
	if l.Pair != (replication.PairID{}) {
		attrs = append(attrs, slog.String("pair", l.Pair.String()))
	}
	if l.Run != "" {
		attrs = append(attrs, slog.String("run", l.Run))
	}
	if l.Object != "" {
		attrs = append(attrs, slog.String("object", l.Object))
	}
	r := slog.NewRecord(l.Time, l.Level, l.Message, 0)
	r.AddAttrs(attrs...)
	_ = slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}).Handle(context.Background(), r) // into memory
	text := strings.TrimSpace(b.String())
	if members, ok := strings.CutPrefix(string(l.Attrs), "{"); ok && json.Valid(l.Attrs) && members != "}" {
		text = strings.TrimSuffix(text, "}") + "," + members
	}
	return text
}
