// Package scheduletest is EventBridge Scheduler in memory, for tests. It keeps
// schedules and never fires them; schedule.Tick does. It follows the API
// reference: groups, pages, conflicts, updates that replace everything, and the
// values that are refused. Its contract test asks the same of any endpoint.
//
// What moto 5.2.1 does differently: it refuses no name, expression, input or retry
// policy, an update without a state leaves none, a listing of an unknown group is
// empty, and a creation in one is answered with status 500.
package scheduletest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
)

const (
	maxPage = 100
	account = "arn:aws:scheduler:us-east-1:111122223333:"
)

// Fake is an EventBridge Scheduler. It may be used concurrently.
type Fake struct {
	// Before is called before each call that isn't about groups, with the
	// operation, such as CreateSchedule, and the schedule's name; its error, which
	// Error makes, is the answer, and nothing is done. After is called when the
	// call is done; its error is the answer nevertheless. Set them before use.
	Before, After func(operation, name string) error

	mu     sync.Mutex
	groups map[string]map[string]*scheduler.GetScheduleOutput
	clock  time.Time
	calls  []string
}

// New returns a Scheduler with some groups, beside the group default, which is
// always there.
func New(groups ...string) *Fake {
	f := &Fake{
		groups: map[string]map[string]*scheduler.GetScheduleOutput{"default": {}},
		clock:  time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
	}
	for _, g := range groups {
		f.groups[g] = map[string]*scheduler.GetScheduleOutput{}
	}
	return f
}

// Calls returns all calls since the last Reset, such as "GetSchedule x".
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Count says how often an operation was called since the last Reset.
func (f *Fake) Count(operation string) (n int) {
	for _, c := range f.Calls() {
		if strings.HasPrefix(c, operation+" ") {
			n++
		}
	}
	return n
}

// Reset forgets the calls so far.
func (f *Fake) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

// Schedules returns the names of a group's schedules, sorted.
func (f *Fake) Schedules(group string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.groups[group]))
}

// do is the frame of each call: hooks, lock, record.
func do[O any](f *Fake, operation string, name *string, call func() (O, error)) (out O, err error) {
	n := aws.ToString(name)
	f.mu.Lock()
	f.calls = append(f.calls, operation+" "+n)
	f.mu.Unlock()
	if f.Before != nil {
		if err := f.Before(operation, n); err != nil {
			return out, err
		}
	}
	out, err = func() (O, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return call()
	}()
	if err != nil {
		return out, wrap(operation, err)
	}
	if f.After != nil {
		err = f.After(operation, n)
	}
	return out, err
}

// tick returns a time later than all before.
func (f *Fake) tick() *time.Time {
	f.clock = f.clock.Add(time.Millisecond)
	return aws.Time(f.clock)
}

func (f *Fake) group(name *string) (string, map[string]*scheduler.GetScheduleOutput, error) {
	n := cmp.Or(aws.ToString(name), "default")
	g, ok := f.groups[n]
	if !ok {
		return "", nil, notFound("Schedule group %s does not exist.", n)
	}
	return n, g, nil
}

// CreateSchedule makes a schedule.
func (f *Fake) CreateSchedule(_ context.Context, in *scheduler.CreateScheduleInput, _ ...func(*scheduler.Options)) (*scheduler.CreateScheduleOutput, error) {
	return do(f, "CreateSchedule", in.Name, func() (*scheduler.CreateScheduleOutput, error) {
		s, err := f.accept(noToken(*in))
		if err != nil {
			return nil, err
		}
		group, schedules, err := f.group(in.GroupName)
		if err != nil {
			return nil, err
		}
		if _, exists := schedules[*in.Name]; exists {
			return nil, &types.ConflictException{Message: aws.String(fmt.Sprintf("Schedule %s already exists.", *in.Name))}
		}
		s.Arn, s.GroupName = aws.String(account+"schedule/"+group+"/"+*in.Name), &group
		s.CreationDate = f.tick()
		s.LastModificationDate = s.CreationDate
		schedules[*in.Name] = s
		return &scheduler.CreateScheduleOutput{ScheduleArn: s.Arn}, nil
	})
}

// UpdateSchedule replaces all settings of a schedule.
func (f *Fake) UpdateSchedule(_ context.Context, in *scheduler.UpdateScheduleInput, _ ...func(*scheduler.Options)) (*scheduler.UpdateScheduleOutput, error) {
	return do(f, "UpdateSchedule", in.Name, func() (*scheduler.UpdateScheduleOutput, error) {
		s, err := f.accept(*in)
		if err != nil {
			return nil, err
		}
		old, schedules, err := f.find(in.GroupName, in.Name)
		if err != nil {
			return nil, err
		}
		s.Arn, s.GroupName, s.CreationDate, s.LastModificationDate = old.Arn, old.GroupName, old.CreationDate, f.tick()
		schedules[*in.Name] = s
		return &scheduler.UpdateScheduleOutput{ScheduleArn: s.Arn}, nil
	})
}

// GetSchedule returns all that is kept of a schedule.
func (f *Fake) GetSchedule(_ context.Context, in *scheduler.GetScheduleInput, _ ...func(*scheduler.Options)) (*scheduler.GetScheduleOutput, error) {
	return do(f, "GetSchedule", in.Name, func() (*scheduler.GetScheduleOutput, error) {
		s, _, err := f.find(in.GroupName, in.Name)
		if err != nil {
			return nil, err
		}
		return clone(s), nil
	})
}

// DeleteSchedule deletes a schedule.
func (f *Fake) DeleteSchedule(_ context.Context, in *scheduler.DeleteScheduleInput, _ ...func(*scheduler.Options)) (*scheduler.DeleteScheduleOutput, error) {
	return do(f, "DeleteSchedule", in.Name, func() (*scheduler.DeleteScheduleOutput, error) {
		_, schedules, err := f.find(in.GroupName, in.Name)
		if err != nil {
			return nil, err
		}
		delete(schedules, *in.Name)
		return &scheduler.DeleteScheduleOutput{}, nil
	})
}

func (f *Fake) find(group, name *string) (*scheduler.GetScheduleOutput, map[string]*scheduler.GetScheduleOutput, error) {
	_, schedules, err := f.group(group)
	if err != nil {
		return nil, nil, err
	}
	s, ok := schedules[aws.ToString(name)]
	if !ok {
		return nil, nil, notFound("Schedule %s does not exist.", aws.ToString(name))
	}
	return s, schedules, nil
}

// ListSchedules returns a page of summaries, of one group or of all.
func (f *Fake) ListSchedules(_ context.Context, in *scheduler.ListSchedulesInput, _ ...func(*scheduler.Options)) (*scheduler.ListSchedulesOutput, error) {
	return do(f, "ListSchedules", in.GroupName, func() (*scheduler.ListSchedulesOutput, error) {
		limit := int(aws.ToInt32(in.MaxResults))
		if limit < 0 || limit > maxPage || in.MaxResults != nil && limit == 0 {
			return nil, invalid("MaxResults must be from 1 to %d", maxPage)
		}
		matching, err := f.matching(in)
		if err != nil {
			return nil, err
		}
		from, err := strconv.Atoi(cmp.Or(aws.ToString(in.NextToken), "0"))
		if err != nil || from < 0 {
			return nil, invalid("Invalid NextToken")
		}
		from = min(from, len(matching))
		to := min(from+cmp.Or(limit, maxPage), len(matching))
		out := &scheduler.ListSchedulesOutput{Schedules: matching[from:to]}
		if to < len(matching) {
			out.NextToken = aws.String(strconv.Itoa(to))
		}
		return out, nil
	})
}

// matching are all summaries that a listing asks for, sorted by ARN.
func (f *Fake) matching(in *scheduler.ListSchedulesInput) (all []types.ScheduleSummary, err error) {
	groups := f.groups
	if in.GroupName != nil {
		name, schedules, err := f.group(in.GroupName)
		if err != nil {
			return nil, err
		}
		groups = map[string]map[string]*scheduler.GetScheduleOutput{name: schedules}
	}
	for _, schedules := range groups {
		for name, s := range schedules {
			if !strings.HasPrefix(name, aws.ToString(in.NamePrefix)) || in.State != "" && in.State != s.State {
				continue
			}
			all = append(all, types.ScheduleSummary{
				Arn: aws.String(*s.Arn), Name: aws.String(name), GroupName: aws.String(*s.GroupName), State: s.State,
				CreationDate: aws.Time(*s.CreationDate), LastModificationDate: aws.Time(*s.LastModificationDate),
				Target: &types.TargetSummary{Arn: aws.String(*s.Target.Arn)},
			})
		}
	}
	slices.SortFunc(all, func(a, b types.ScheduleSummary) int { return strings.Compare(*a.Arn, *b.Arn) })
	return all, nil
}

// CreateScheduleGroup makes a group.
func (f *Fake) CreateScheduleGroup(_ context.Context, in *scheduler.CreateScheduleGroupInput, _ ...func(*scheduler.Options)) (*scheduler.CreateScheduleGroupOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := aws.ToString(in.Name)
	if !names.MatchString(name) {
		return nil, wrap("CreateScheduleGroup", invalid("%q is no name", name))
	}
	if _, exists := f.groups[name]; exists {
		return nil, wrap("CreateScheduleGroup", &types.ConflictException{Message: aws.String(fmt.Sprintf("Schedule group %s already exists.", name))})
	}
	f.groups[name] = map[string]*scheduler.GetScheduleOutput{}
	return &scheduler.CreateScheduleGroupOutput{ScheduleGroupArn: aws.String(account + "schedule-group/" + name)}, nil
}

// DeleteScheduleGroup deletes a group with its schedules, at once; AWS takes its
// time.
func (f *Fake) DeleteScheduleGroup(_ context.Context, in *scheduler.DeleteScheduleGroupInput, _ ...func(*scheduler.Options)) (*scheduler.DeleteScheduleGroupOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := aws.ToString(in.Name)
	if _, exists := f.groups[name]; !exists || name == "default" {
		return nil, wrap("DeleteScheduleGroup", notFound("Schedule group %s does not exist.", name))
	}
	delete(f.groups, name)
	return &scheduler.DeleteScheduleGroupOutput{}, nil
}
