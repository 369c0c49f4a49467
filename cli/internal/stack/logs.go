package stack

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
	"chefsync/pkg/config"
	"chefsync/pkg/replication"
	"chefsync/pkg/state"
)

const (
	// LogWindow is how far back is looked where no time is asked for: CloudWatch
	// Logs bills no reading, but a month of lines takes minutes to go through.
	LogWindow = time.Hour
	// LogEvery is how often a reader that follows looks. An account has a few
	// FilterLogEvents a second for everybody.
	LogEvery = 2 * time.Second
	// late is how long after its time a line may turn up.
	late = 2 * time.Minute
	// firstSlice is how much time is read first, from the end, where only the
	// newest lines are wanted.
	firstSlice = 5 * time.Minute
	// maxPages bounds one reading. A page has up to 10,000 lines or 1 MB, or,
	// where few of many match, none.
	maxPages = 300
	// maxPattern is the longest filter that CloudWatch Logs takes.
	maxPattern = 1024
)

// Logs reads the logs of the functions as the one log that they are. The lines of
// a pair are those of functions/sync, and what functions/changes says of its
// source; the lines of the manager are those of functions/manager. An error of
// the platform, such as a timeout, belongs to no pair that can be told and is
// shown for all.
//
// What FilterLogEvents selects is selected again here: emulators match
// everything. Lines have no number of their own in CloudWatch Logs; IDs count
// them as they are read.
type Logs struct {
	client *cloudwatchlogs.Client
	stack  *Stack
	source map[replication.PairID][]string // what functions/changes calls it
	now    func() time.Time

	seen   map[string]time.Time // events that were read, to tell new ones
	failed map[string]bool      // requests whose failure was read
	polled time.Time            // when they were read last
	id     int64
	pages  int // that may still be read
}

// Logs opens the logs. They belong to one reader.
func (s *Stack) Logs(pairs []config.PairConfig, now func() time.Time) *Logs {
	l := &Logs{client: cloudwatchlogs.NewFromConfig(s.Config), stack: s, source: map[replication.PairID][]string{}, now: now,
		seen: map[string]time.Time{}, failed: map[string]bool{}}
	for _, p := range pairs {
		// Scans and pushes are told of by the word of the journal, the rest by the name.
		l.source[p.ID] = []string{p.SourceOrg, p.Space}
	}
	return l
}

// Lines returns the lines that one of the queries selects, oldest first. Queries
// differ in their pair alone. A limit takes the newest lines. From the second
// call on, only lines come that were not there before, up to two minutes late.
func (l *Logs) Lines(ctx context.Context, queries ...state.LogQuery) ([]state.LogLine, error) {
	if len(queries) == 0 {
		return nil, nil
	}
	now, following := l.now(), !l.polled.IsZero()
	l.pages = maxPages
	since, limit := queries[0].Since, queries[0].Limit
	switch {
	case following:
		since, limit = l.polled.Add(-late), 0
	case since.IsZero():
		since = now.Add(-LogWindow)
	}
	lines, err := l.newestFirst(ctx, queries, since, now, limit)
	if err != nil {
		return nil, err
	}
	if lines == nil {
		lines = []state.LogLine{} // a list in JSON, always
	}
	l.polled = now
	for event, at := range l.seen {
		if at.Before(now.Add(-2 * late)) {
			delete(l.seen, event)
		}
	}
	for i := range lines {
		l.id++
		lines[i].ID = l.id
	}
	return lines, nil
}

// newestFirst reads back from now, slice by slice, until there are enough lines:
// CloudWatch Logs itself only reads forward.
func (l *Logs) newestFirst(ctx context.Context, queries []state.LogQuery, since, now time.Time, limit int) (lines []state.LogLine, err error) {
	var end time.Time // of the slice; zero for the newest, which clocks that differ shall not cut
	for start, width := now.Add(-firstSlice), firstSlice; ; start, width = start.Add(-4*width), 4*width {
		if limit < 1 || start.Before(since) {
			start = since
		}
		older, err := l.slice(ctx, queries, start, end)
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

// group is a log group and the function that writes it.
type group struct{ name, function, pattern string }

// groups are those that the queries are about, with what is asked of each.
func (l *Logs) groups(queries []state.LogQuery) []group {
	r := l.stack.Resources
	if queries[0].Manager {
		return []group{{r.ManagerLog, r.Manager, pattern(nil, queries[0])}}
	}
	var pairs, sources []string
	for _, q := range queries {
		pairs = append(pairs, equals("pair", q.Pair.String()))
		for _, word := range l.source[q.Pair] {
			if source := equals("source", word); !slices.Contains(sources, source) {
				sources = append(sources, source)
			}
		}
	}
	groups := []group{{r.SyncLog, r.Sync, pattern(pairs, queries[0])}}
	for _, g := range []group{{name: r.ChangesLog, function: r.Changes}, {name: r.WebLog, function: r.Web}} {
		if g.name != "" {
			g.pattern = pattern(append(sources, pairs...), queries[0])
			groups = append(groups, g)
		}
	}
	return groups
}

func (l *Logs) slice(ctx context.Context, queries []state.LogQuery, start, end time.Time) (lines []state.LogLine, err error) {
	for _, g := range l.groups(queries) {
		if g.name == "" {
			return nil, exit.With(exit.Failed, fmt.Errorf("stack %s doesn't say where its functions log", l.stack.Stack), "deploy it with this version")
		}
		if lines, err = l.filter(ctx, g, queries, start, end, lines); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(lines, func(a, b state.LogLine) int { return a.Time.Compare(b.Time) })
	return lines, nil
}

// filter reads the events of a group between two times.
func (l *Logs) filter(ctx context.Context, g group, queries []state.LogQuery, start, end time.Time, lines []state.LogLine) ([]state.LogLine, error) {
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &g.name, StartTime: aws.Int64(start.UnixMilli())}
	if !end.IsZero() {
		in.EndTime = aws.Int64(end.UnixMilli())
	}
	if g.pattern != "" {
		in.FilterPattern = &g.pattern
	}
	for {
		if l.pages--; l.pages < 0 {
			return nil, exit.Usagef("add --since 10m, --level warn or --run ID", "the log is too long to be read at once")
		}
		out, err := l.client.FilterLogEvents(ctx, in)
		if err != nil {
			return nil, explain(ctx, "read the log", "log group "+g.name, err)
		}
		for _, e := range out.Events {
			if line, ok := l.take(e, g, queries); ok {
				lines = append(lines, line)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return lines, nil
		}
	}
}

// take makes a line of an event that a query selects and that is new.
func (l *Logs) take(e types.FilteredLogEvent, g group, queries []state.LogQuery) (state.LogLine, bool) {
	at := time.UnixMilli(aws.ToInt64(e.Timestamp)).UTC()
	line, request, ok := decode(aws.ToString(e.Message), g.function, at)
	event := eventKey(e, g)
	_, known := l.seen[event]
	if !ok || known || l.failed[request] || !slices.ContainsFunc(queries, func(q state.LogQuery) bool { return l.selects(q, line) }) {
		return line, false
	}
	l.seen[event] = at
	if request != "" {
		l.failed[request] = true // Lambda may say the same in several lines
	}
	return line, true
}

// eventKey tells events apart, also where a server gives them no id of their own.
func eventKey(e types.FilteredLogEvent, g group) string {
	if id := aws.ToString(e.EventId); id != "" {
		return id
	}
	return fmt.Sprintf("%s\x00%s\x00%d\x00%s", g.name, aws.ToString(e.LogStreamName), aws.ToInt64(e.Timestamp), aws.ToString(e.Message))
}

func (l *Logs) selects(q state.LogQuery, line state.LogLine) bool {
	switch {
	case q.Level != nil && line.Level < *q.Level, q.Run != "" && q.Run != line.Run, q.Object != "" && q.Object != line.Object:
		return false
	case q.Manager || line.Pair == q.Pair:
		return true
	case line.Pair != (replication.PairID{}):
		return false
	}
	var own struct{ Source, Function string }
	_ = json.Unmarshal(line.Attrs, &own) // no attributes, no source
	return own.Function != "" || own.Source != "" && slices.Contains(l.source[q.Pair], own.Source)
}

// pattern is a filter for FilterLogEvents: one of some conditions, and what a
// query asks for. Conditions that make it too long are left out; "" is everything.
func pattern(any []string, q state.LogQuery) string {
	var all []string
	if len(any) > 0 {
		all = append(all, "("+strings.Join(any, " || ")+")")
	}
	if q.Level != nil && *q.Level >= slog.LevelWarn {
		all = append(all, `($.level = "WARN" || $.level = "ERROR")`)
	}
	if q.Run != "" {
		all = append(all, equals("run", q.Run))
	}
	if q.Object != "" {
		all = append(all, equals("object", q.Object))
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
	case len(any) > 0:
		return pattern(nil, q)
	}
	return ""
}

func equals(name, value string) string {
	return fmt.Sprintf(`$.%s = "%s"`, name, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value))
}
