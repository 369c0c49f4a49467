// Package cloudwatch is the log of a stack, in CloudWatch Logs.
package cloudwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/logstore"
	"chefsync/pkg/cloud"
	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
)

const (
	// window is how far back lines are read where no time is given: CloudWatch Logs
	// bills no reading, but a month of lines takes minutes to go through.
	window = time.Hour
	// cloudPollInterval is how often a reader that follows looks. An account has a
	// few FilterLogEvents a second in all.
	cloudPollInterval = 2 * time.Second
	// maxDelay is how long after its time a line may turn up.
	maxDelay = 2 * time.Minute
	// firstSlice is how much time is read first, from the end, where only the
	// newest lines are wanted.
	firstSlice = 5 * time.Minute
	// maxPages bounds one reading. A page has up to 10,000 lines or 1 MB, or,
	// where few of many match, none.
	maxPages = 300
	// maxPattern is the longest filter that CloudWatch Logs takes.
	maxPattern = 1024
)

// Store is a [logstore.Store] of the functions of a stack, whose logs are one log here. The
// lines of a pair are those of functions/sync, and what functions/changes says of its
// source; the lines of the manager are those of functions/manager. An error of the
// platform, such as a timeout, can't be assigned to a pair and is shown for all.
//
// What is appended goes into the logs of the functions, in a stream of this process, so
// that it is shown to everybody.
type Store struct {
	client    *cloudwatchlogs.Client
	resources cloud.Resources
	sources   map[replication.PairID][]string // what functions/changes calls them
	now       func() time.Time
	stream    string
	created   map[string]bool // groups that have the stream
}

var _ logstore.Store = (*Store)(nil)

// New returns the log of a stack. The owner is the name of this process.
func New(c aws.Config, r cloud.Resources, owner string, pairs []config.PairConfig, now func() time.Time) *Store {
	w := &Store{
		client: cloudwatchlogs.NewFromConfig(c), resources: r, sources: map[replication.PairID][]string{}, now: now, created: map[string]bool{},
		stream: "chef-sync-ctl/" + strings.NewReplacer(":", "/", "*", "-").Replace(owner), // neither may be in a name
	}
	for _, p := range pairs {
		// Scans and pushes are logged by the name in the change log, the rest by the organization's.
		w.sources[p.ID] = []string{p.SourceOrg, p.Space}
	}
	return w
}

// Close implements [logstore.Store].
func (*Store) Close() error { return nil }

// NewReader implements [logstore.Store].
func (c *Store) NewReader(q logstore.Query) logstore.Reader { return c.newReader(q) }

func (c *Store) newReader(q logstore.Query) *cloudReader {
	return &cloudReader{Store: c, query: q, seen: map[string]time.Time{}, failed: map[string]bool{}}
}

// cloudReader reads the log of a stack.
//
// What FilterLogEvents selects is selected again here: emulators match everything.
// Lines have no number of their own in CloudWatch Logs; IDs count them as they are
// read.
type cloudReader struct {
	*Store
	query  logstore.Query
	seen   map[string]time.Time // events that were read, to tell new ones
	failed map[string]bool      // requests whose failure was read
	polled time.Time            // when they were read last
	lastID int64
	pages  int // that may still be read
}

// Window implements [logstore.Reader].
func (*cloudReader) Window() time.Duration { return window }

// PollInterval implements [logstore.Reader].
func (*cloudReader) PollInterval() time.Duration { return cloudPollInterval }

// Lines implements [logstore.Reader]. A line that follows may come up to two minutes late.
func (l *cloudReader) Lines(ctx context.Context) ([]logstore.Line, error) {
	now, following := l.now(), !l.polled.IsZero()
	l.pages = maxPages
	since, limit := l.query.Since, l.query.Limit
	switch {
	case following:
		since, limit = l.polled.Add(-maxDelay), 0
	case since.IsZero():
		since = now.Add(-window)
	}
	lines, err := l.readNewest(ctx, since, now, limit)
	if err != nil {
		return nil, err
	}
	if lines == nil {
		lines = []logstore.Line{} // a list in JSON, always
	}
	l.polled = now
	for event, at := range l.seen {
		if at.Before(now.Add(-2 * maxDelay)) {
			delete(l.seen, event)
		}
	}
	for i := range lines {
		l.lastID++
		lines[i].ID = l.lastID
	}
	return lines, nil
}

// readNewest reads back from now, slice by slice, until there are enough lines:
// CloudWatch Logs itself only reads forward.
func (l *cloudReader) readNewest(ctx context.Context, since, now time.Time, limit int) (lines []logstore.Line, err error) {
	var end time.Time // of the slice; zero for the newest, which clocks that differ shall not cut
	for start, width := now.Add(-firstSlice), firstSlice; ; start, width = start.Add(-4*width), 4*width {
		if limit < 1 || start.Before(since) {
			start = since
		}
		older, err := l.readSlice(ctx, start, end)
		if err != nil {
			return nil, err
		}
		lines = append(older, lines...)
		if !start.After(since) || len(lines) >= limit {
			break
		}
		end = start.Add(-time.Millisecond)
	}
	if limit > 0 && len(lines) > limit {
		lines = lines[len(lines)-limit:]
	}
	return lines, nil
}

// logGroup is a log group and the function that writes it.
type logGroup struct{ name, function, pattern string }

// logGroups are those that the query is about, with what is asked of each.
func (l *cloudReader) logGroups() []logGroup {
	r := l.resources
	if l.query.Manager {
		return []logGroup{{r.ManagerLog, r.Manager, filterPattern(nil, l.query)}}
	}
	var pairs, sources []string
	for _, id := range l.query.Pairs {
		pairs = append(pairs, fieldEquals("pair", id.String()))
		for _, word := range l.sources[id] {
			if source := fieldEquals("source", word); !slices.Contains(sources, source) {
				sources = append(sources, source)
			}
		}
	}
	groups := []logGroup{{r.SyncLog, r.Sync, filterPattern(pairs, l.query)}}
	for _, g := range []logGroup{{name: r.ChangesLog, function: r.Changes}, {name: r.WebLog, function: r.Web}} {
		if g.name != "" {
			g.pattern = filterPattern(append(sources, pairs...), l.query)
			groups = append(groups, g)
		}
	}
	return groups
}

func (l *cloudReader) readSlice(ctx context.Context, start, end time.Time) (lines []logstore.Line, err error) {
	for _, g := range l.logGroups() {
		if g.name == "" {
			return nil, exit.With(exit.Failed, fmt.Errorf("stack %s has no output for the logs of its functions", l.resources.Stack),
				"deploy it with this version")
		}
		if lines, err = l.readGroup(ctx, g, start, end, lines); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(lines, func(a, b logstore.Line) int { return a.Time.Compare(b.Time) })
	return lines, nil
}

// readGroup reads the events of a group between two times.
func (l *cloudReader) readGroup(ctx context.Context, g logGroup, start, end time.Time, lines []logstore.Line) ([]logstore.Line, error) {
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &g.name, StartTime: aws.Int64(start.UnixMilli())}
	if !end.IsZero() {
		in.EndTime = aws.Int64(end.UnixMilli())
	}
	if g.pattern != "" {
		in.FilterPattern = &g.pattern
	}
	for {
		if l.pages--; l.pages < 0 {
			return nil, exit.Usagef("add --since 10m, --level warn or --run ID", "the log is too long to read in one query")
		}
		out, err := l.client.FilterLogEvents(ctx, in)
		if err != nil {
			return nil, awserr.Wrap(ctx, "read the log", "log group "+g.name, err)
		}
		for _, e := range out.Events {
			if line, ok := l.newLine(e, g); ok {
				lines = append(lines, line)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return lines, nil
		}
	}
}

// newLine makes a line of an event that the query selects and that is new.
func (l *cloudReader) newLine(e types.FilteredLogEvent, g logGroup) (logstore.Line, bool) {
	at := time.UnixMilli(aws.ToInt64(e.Timestamp)).UTC()
	line, request, ok := decodeEvent(aws.ToString(e.Message), g.function, at)
	event := eventKey(e, g)
	_, known := l.seen[event]
	if !ok || known || l.failed[request] || !l.matchesLine(line) {
		return line, false
	}
	l.seen[event] = at
	if request != "" {
		l.failed[request] = true // Lambda may say the same in several lines
	}
	return line, true
}

// eventKey returns a key of an event, also where a server gives events no id.
func eventKey(e types.FilteredLogEvent, g logGroup) string {
	if id := aws.ToString(e.EventId); id != "" {
		return id
	}
	return fmt.Sprintf("%s\x00%s\x00%d\x00%s", g.name, aws.ToString(e.LogStreamName), aws.ToInt64(e.Timestamp), aws.ToString(e.Message))
}

func (l *cloudReader) matchesLine(line logstore.Line) bool {
	q := l.query
	switch {
	case q.Level != nil && line.Level < *q.Level, q.Run != "" && q.Run != line.Run, q.Object != "" && q.Object != line.Object:
		return false
	case q.Manager, slices.Contains(q.Pairs, line.Pair):
		return true
	case line.Pair != (replication.PairID{}):
		return false
	}
	var own struct{ Source, Function string }
	_ = json.Unmarshal(line.Attrs, &own) // no attributes, no source
	return own.Function != "" || own.Source != "" && slices.ContainsFunc(q.Pairs, func(id replication.PairID) bool {
		return slices.Contains(l.sources[id], own.Source)
	})
}

// filterPattern is a filter for FilterLogEvents: one of some conditions, and what a
// query asks for. Conditions that make it too long are left out; "" is everything.
func filterPattern(alternatives []string, q logstore.Query) string {
	var all []string
	if len(alternatives) > 0 {
		all = append(all, "("+strings.Join(alternatives, " || ")+")")
	}
	if q.Level != nil && *q.Level >= slog.LevelWarn {
		all = append(all, `($.level = "WARN" || $.level = "ERROR")`)
	}
	if q.Run != "" {
		all = append(all, fieldEquals("run", q.Run))
	}
	if q.Object != "" {
		all = append(all, fieldEquals("object", q.Object))
	}
	if len(all) == 0 {
		return ""
	}
	filter := strings.Join(all, " && ")
	if q.Run == "" && q.Object == "" {
		filter = "(" + filter + `) || ($.type = "platform.*" && $.record.status != "success")`
	}
	filter = "{ " + filter + " }"
	switch {
	case len(filter) <= maxPattern:
		return filter
	case len(alternatives) > 0:
		return filterPattern(nil, q)
	}
	return ""
}

func fieldEquals(name, value string) string {
	return fmt.Sprintf(`$.%s = "%s"`, name, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value))
}
