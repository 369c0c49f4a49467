package schedule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/replication"
)

// Tick fires the schedules of a group where nothing else does: LocalStack and
// moto keep schedules and never fire them. API, Group and Invoker are needed.
// Never let it run against AWS, where it would fire everything once more.
//
// It knows rates of minutes, hours and days, and start and end dates. It fires
// every schedule of the group, also those that aren't ours, as the service would;
// it has neither flexible windows nor retries nor a dead-letter queue.
type Tick struct {
	API     ReadAPI
	Group   string
	Invoker Invoker
	// Fired says by name when a schedule last fired. Once keeps it up to date; a
	// caller may keep it from one process to the next. A schedule that isn't in it
	// is due at once, as in the service.
	Fired map[string]time.Time
	// Every is how long Run waits between two looks; default 5 s.
	Every time.Duration

	Now   func() time.Time                           // default time.Now
	Sleep func(context.Context, time.Duration) error // default: as long as it is told
	Log   *slog.Logger                               // default: nothing is logged
}

// Once fires all schedules that are due, each once, however often it would have
// been due since. It returns their names, sorted. A schedule that can't be fired
// doesn't stop the others, and is due again at the next call; the error joins
// what went wrong.
func (t *Tick) Once(ctx context.Context) ([]string, error) {
	r := t.reader()
	all, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	t.forget(all)
	all = slices.DeleteFunc(all, func(s types.ScheduleSummary) bool { return s.State == types.ScheduleStateDisabled })

	var mu sync.Mutex
	var errs []error
	marks := map[string]time.Time{}
	each(ctx, concurrency, all, func(s types.ScheduleSummary) {
		name := aws.ToString(s.Name)
		mark, err := t.fire(ctx, r, name)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs = append(errs, fmt.Errorf("fire schedule %s: %w", name, err))
		} else if !mark.IsZero() {
			marks[name] = mark
		}
	})
	if t.Fired == nil {
		t.Fired = map[string]time.Time{}
	}
	maps.Copy(t.Fired, marks)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return slices.Sorted(maps.Keys(marks)), errors.Join(append(errs, ctx.Err())...)
}

// Run fires what is due, again and again until ctx ends. What goes wrong is
// logged, once as long as it stays the same.
func (t *Tick) Run(ctx context.Context) {
	log, sleep, said := t.Log, t.reader().sleep, ""
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	for ctx.Err() == nil {
		fired, err := t.Once(ctx)
		if ctx.Err() != nil {
			return
		}
		for _, name := range fired {
			log.Debug("fired", "schedule", name)
		}
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		if problem != said && problem != "" {
			log.Error("not all schedules can be fired", "error", problem, "hint", replication.HintOf(err))
		}
		said = problem
		if sleep(ctx, cmp.Or(max(t.Every, 0), 5*time.Second)) != nil {
			return
		}
	}
}

func (t *Tick) reader() reader {
	sleep := t.Sleep
	if sleep == nil {
		sleep = realSleep
	}
	return reader{api: t.API, group: t.Group, sleep: sleep}
}

func (t *Tick) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// forget drops what isn't there any more, so that Fired doesn't grow.
func (t *Tick) forget(listed []types.ScheduleSummary) {
	there := map[string]bool{}
	for _, s := range listed {
		there[aws.ToString(s.Name)] = true
	}
	maps.DeleteFunc(t.Fired, func(name string, _ time.Time) bool { return !there[name] })
}

// fire fires a schedule if it is due, and returns the time to count on from, zero
// if it wasn't due.
func (t *Tick) fire(ctx context.Context, r reader, name string) (mark time.Time, err error) {
	s, err := r.get(ctx, name)
	switch {
	case awserr.Missing(err): // deleted since it was listed
		return mark, nil
	case err != nil:
		return mark, awserr.Explain(ctx, "read it", r.String(), err)
	case s.State == types.ScheduleStateDisabled: // likewise
		return mark, nil
	}
	period, err := rate(aws.ToString(s.ScheduleExpression))
	if err != nil {
		return mark, err
	}
	mark, due := next(s, period, t.Fired[name], t.now())
	if !due {
		return time.Time{}, nil
	}
	target, input, err := event(s)
	if err != nil {
		return time.Time{}, err
	}
	if err := t.Invoker.Invoke(ctx, target, input); err != nil {
		return time.Time{}, err
	}
	return mark, nil
}

// next tells whether a schedule that last fired at a time is due now, and the
// time to count on from: the last round that has passed, so that looking late
// doesn't shift all that follow.
func next(s *scheduler.GetScheduleOutput, period time.Duration, last, now time.Time) (mark time.Time, due bool) {
	switch {
	case s.StartDate != nil && now.Before(*s.StartDate), s.EndDate != nil && now.After(*s.EndDate):
		return last, false
	case last.IsZero(), last.After(now): // never yet, or the clock was put back
		return now, true
	}
	rounds := now.Sub(last) / period
	return last.Add(rounds * period), rounds > 0
}

// event is what a schedule sends, and the function it sends it to.
func event(s *scheduler.GetScheduleOutput) (function string, input []byte, err error) {
	if s.Target == nil || !strings.Contains(aws.ToString(s.Target.Arn), ":lambda:") {
		return "", nil, unable("its target isn't a Lambda function")
	}
	if s.Target.Input == nil {
		return "", nil, unable("it has no input")
	}
	return *s.Target.Arn, []byte(*s.Target.Input), nil
}

var rates = regexp.MustCompile(`^rate\(([1-9][0-9]{0,6}) (minute|hour|day)s?\)$`)

// rate is the period of an expression such as rate(5 minutes).
func rate(expression string) (time.Duration, error) {
	m := rates.FindStringSubmatch(expression)
	if m == nil {
		return 0, unable(fmt.Sprintf("%q isn't a rate of minutes, hours or days", expression))
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, err
	}
	unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[m[2]]
	if n > int(maxPeriod/unit) {
		return 0, unable(fmt.Sprintf("%q is too long", expression))
	}
	return time.Duration(n) * unit, nil
}

// maxPeriod keeps sums of times from overflowing.
const maxPeriod = 100 * 365 * 24 * time.Hour

func unable(why string) error {
	return &replication.Error{Op: "evaluate it", Class: replication.Local, Err: errors.New(why), Hint: "disable it or move it to another group; only EventBridge Scheduler itself can fire it"}
}
