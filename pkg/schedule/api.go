package schedule

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"chefsync/pkg/cloud/awserr"
)

// ReadAPI is what reads schedules. *scheduler.Client is one.
type ReadAPI interface {
	ListSchedules(context.Context, *scheduler.ListSchedulesInput, ...func(*scheduler.Options)) (*scheduler.ListSchedulesOutput, error)
	GetSchedule(context.Context, *scheduler.GetScheduleInput, ...func(*scheduler.Options)) (*scheduler.GetScheduleOutput, error)
}

// API is what a Group needs of EventBridge Scheduler. *scheduler.Client is one.
type API interface {
	ReadAPI
	CreateSchedule(context.Context, *scheduler.CreateScheduleInput, ...func(*scheduler.Options)) (*scheduler.CreateScheduleOutput, error)
	UpdateSchedule(context.Context, *scheduler.UpdateScheduleInput, ...func(*scheduler.Options)) (*scheduler.UpdateScheduleOutput, error)
	DeleteSchedule(context.Context, *scheduler.DeleteScheduleInput, ...func(*scheduler.Options)) (*scheduler.DeleteScheduleOutput, error)
}

var _ API = (*scheduler.Client)(nil)

const (
	pageSize     = 100 // the most that ListSchedules answers at once
	concurrency  = 5
	attempts     = 8 // of a call that is throttled: for about 15 seconds in all
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// reader reads the schedules of a group.
type reader struct {
	api   ReadAPI
	group string
	sleep func(context.Context, time.Duration) error
}

func (r reader) String() string { return "schedule group " + r.group }

// list returns what listings say of all schedules of the group.
func (r reader) list(ctx context.Context) (all []types.ScheduleSummary, err error) {
	in := &scheduler.ListSchedulesInput{GroupName: &r.group, MaxResults: aws.Int32(pageSize)}
	for {
		var out *scheduler.ListSchedulesOutput
		err := r.try(ctx, passing, func() (err error) {
			out, err = r.api.ListSchedules(ctx, in)
			return err
		})
		if err != nil {
			return nil, awserr.Explain(ctx, "list the schedules", r.String(), err)
		}
		all = append(all, out.Schedules...)
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
}

// get reads a schedule.
func (r reader) get(ctx context.Context, name string) (out *scheduler.GetScheduleOutput, err error) {
	err = r.try(ctx, passing, func() (err error) {
		out, err = r.api.GetSchedule(ctx, &scheduler.GetScheduleInput{GroupName: &r.group, Name: &name})
		return err
	})
	return out, err
}

// try calls until the answer is none of those that come again.
func (r reader) try(ctx context.Context, again func(error) bool, call func() error) (err error) {
	for attempt := range attempts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err = call(); !again(err) || attempt == attempts-1 || r.sleep(ctx, backoff(attempt)) != nil {
			return err
		}
	}
	return err
}

// passing tells whether the same call may succeed in a moment.
func passing(err error) bool { return awserr.Throttled(err) || awserr.Busy(err) }

// contested is passing for calls that change a schedule which is there, where a
// conflict means that somebody else does so at the same moment.
func contested(err error) bool { return passing(err) || conflict(err) }

func conflict(err error) bool { return awserr.Code(err) == "ConflictException" }

// backoff is the pause after an attempt, half of it random.
func backoff(attempt int) time.Duration {
	d := min(firstPause<<attempt, longestPause)
	return d/2 + rand.N(d/2)
}

// realSleep waits, or returns early with the error of the context.
func realSleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// each calls f with all items, n at a time. When ctx ends, those that haven't
// begun are left out.
func each[T any](ctx context.Context, n int, items []T, f func(T)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	queue := make(chan T)
	defer close(queue)
	for range min(n, len(items)) {
		wg.Go(func() {
			for item := range queue {
				f(item)
			}
		})
	}
	for _, item := range items {
		select {
		case queue <- item:
		case <-ctx.Done():
			return
		}
	}
}
