package scheduletest_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"chefsync/pkg/cloud/awserr"
	"chefsync/pkg/schedule"
	"chefsync/pkg/schedule/scheduletest"
)

// endpointName names an AWS whose Scheduler shall be asked the same as the fake.
const endpointName = "CHEFSYNC_AWS_ENDPOINT"

// api is what the contract is about.
type api interface {
	schedule.API
	CreateScheduleGroup(context.Context, *scheduler.CreateScheduleGroupInput, ...func(*scheduler.Options)) (*scheduler.CreateScheduleGroupOutput, error)
	DeleteScheduleGroup(context.Context, *scheduler.DeleteScheduleGroupInput, ...func(*scheduler.Options)) (*scheduler.DeleteScheduleGroupOutput, error)
}

func TestTheFakeKeepsTheContract(t *testing.T) { contract(t, scheduletest.New(), "") }

// TestAnEmulatorKeepsTheContract asks another endpoint. CHEFSYNC_AWS_EMULATOR
// names what is there, such as moto: what it is known to do differently is listed
// in different.
func TestAnEmulatorKeepsTheContract(t *testing.T) {
	endpoint := os.Getenv(endpointName)
	if endpoint == "" {
		t.Skipf("SKIPPED: %s isn't set", endpointName)
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion("us-east-1"), config.WithBaseEndpoint(endpoint), config.WithRetryMaxAttempts(1),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		t.Fatal(err)
	}
	contract(t, scheduler.NewFromConfig(cfg), os.Getenv("CHEFSYNC_AWS_EMULATOR"))
}

// different are the promises that emulators are known to break, by emulator. The
// contract asks nevertheless, and fails when one has begun to keep its word, so
// that this list stays true.
func different(emulator string) map[string]string {
	return map[string]map[string]string{"moto": {
		"a name with other characters is refused":          "moto checks no names",
		"a name of 65 characters is refused":               "moto checks no names",
		"a rate of 0 is refused":                           "moto checks no expressions",
		"a rate of seconds is refused":                     "moto checks no expressions",
		"an input that isn't JSON is refused":              "moto checks no input",
		"an event age below a minute is refused":           "moto checks no retry policy",
		"an update without a state enables":                "moto keeps no state then",
		"a schedule in a group that isn't there is absent": "moto answers 500",
		"a listing of a group that isn't there is absent":  "moto lists nothing, as if the group were empty",
	}}[emulator]
}

// lab is a group of its own and one schedule to begin with.
type lab struct {
	api
	group string
}

func newLab(t *testing.T, a api) lab {
	t.Helper()
	l := lab{a, fmt.Sprintf("chefsync-test-%d-%d", os.Getpid(), time.Now().UnixNano())}
	if _, err := l.CreateScheduleGroup(t.Context(), &scheduler.CreateScheduleGroupInput{Name: &l.group}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := l.DeleteScheduleGroup(context.Background(), &scheduler.DeleteScheduleGroupInput{Name: &l.group}); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l lab) input(name string, change ...func(*scheduler.CreateScheduleInput)) *scheduler.CreateScheduleInput {
	in := &scheduler.CreateScheduleInput{
		GroupName: &l.group, Name: &name, Description: aws.String("of a test"), ScheduleExpression: aws.String("rate(5 minutes)"),
		FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeFlexible, MaximumWindowInMinutes: aws.Int32(1)},
		Target: &types.Target{
			Arn: aws.String("arn:aws:lambda:us-east-1:111122223333:function:f"), RoleArn: aws.String("arn:aws:iam::111122223333:role/r"),
			Input:            aws.String(`{"a":"b"}`),
			DeadLetterConfig: &types.DeadLetterConfig{Arn: aws.String("arn:aws:sqs:us-east-1:111122223333:q")},
			RetryPolicy:      &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(0), MaximumEventAgeInSeconds: aws.Int32(60)},
		},
		State: types.ScheduleStateDisabled,
	}
	for _, c := range change {
		c(in)
	}
	return in
}

func (l lab) create(t *testing.T, name string, change ...func(*scheduler.CreateScheduleInput)) error {
	t.Helper()
	_, err := l.CreateSchedule(t.Context(), l.input(name, change...))
	return err
}

func (l lab) get(t *testing.T, name string) (*scheduler.GetScheduleOutput, error) {
	t.Helper()
	return l.GetSchedule(t.Context(), &scheduler.GetScheduleInput{GroupName: &l.group, Name: &name})
}

// update sends a schedule's expression and target, and nothing optional.
func (l lab) update(t *testing.T, name string) error {
	t.Helper()
	in := l.input(name)
	_, err := l.UpdateSchedule(t.Context(), &scheduler.UpdateScheduleInput{
		GroupName: &l.group, Name: &name, ScheduleExpression: aws.String("rate(7 minutes)"), FlexibleTimeWindow: in.FlexibleTimeWindow, Target: in.Target,
	})
	return err
}

// contract asks an implementation all questions. What is listed as different
// must be so.
func contract(t *testing.T, a api, emulator string) {
	known, all := different(emulator), promises()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			broken := all[name](t, newLab(t, a))
			why, listed := known[name]
			switch {
			case broken != "" && listed:
				t.Logf("different, as listed: %s (%s)", broken, why)
			case broken != "":
				t.Error(broken)
			case listed:
				t.Errorf("this is kept now: strike it from the list of what %s does differently", emulator)
			}
		})
	}
}

// code is what is wrong when an error should have a code and hasn't, or "".
func code(err error, want string) string {
	if got := awserr.Code(err); got != want {
		return fmt.Sprintf("error %v, want code %s", err, want)
	}
	return ""
}

func refused(change func(*scheduler.CreateScheduleInput)) func(*testing.T, lab) string {
	return func(t *testing.T, l lab) string { return code(l.create(t, "one", change), "ValidationException") }
}

// promises are questions; the answer says what is wrong, or is "".
func promises() map[string]func(*testing.T, lab) string {
	type create = scheduler.CreateScheduleInput
	return map[string]func(*testing.T, lab) string{
		"what was created is read back":                 readBack,
		"an update replaces everything":                 replaced,
		"an update without a state enables":             enabled,
		"a listing shows state and times, page by page": listed,
		"a listing is of one group":                     ofOneGroup,
		"a modification shows in the listing":           modified,
		"a name with other characters is refused":       refused(func(c *create) { c.Name = aws.String("a b") }),
		"a name of 65 characters is refused":            refused(func(c *create) { c.Name = aws.String(strings.Repeat("a", 65)) }),
		"a rate of 0 is refused":                        refused(func(c *create) { c.ScheduleExpression = aws.String("rate(0 minutes)") }),
		"a rate of seconds is refused":                  refused(func(c *create) { c.ScheduleExpression = aws.String("rate(30 seconds)") }),
		"an input that isn't JSON is refused":           refused(func(c *create) { c.Target.Input = aws.String("{") }),
		"an event age below a minute is refused":        refused(func(c *create) { c.Target.RetryPolicy.MaximumEventAgeInSeconds = aws.Int32(59) }),
		"a schedule that isn't there is absent":         absent,
		"a schedule in a group that isn't there is absent": func(t *testing.T, l lab) string {
			l.group = "none"
			return code(l.create(t, "one"), "ResourceNotFoundException")
		},
		"a listing of a group that isn't there is absent": func(t *testing.T, l lab) string {
			_, err := l.ListSchedules(t.Context(), &scheduler.ListSchedulesInput{GroupName: aws.String("none")})
			return code(err, "ResourceNotFoundException")
		},
		"a name that is taken is a conflict": func(t *testing.T, l lab) string {
			if err := l.create(t, "one"); err != nil {
				return err.Error()
			}
			return code(l.create(t, "one"), "ConflictException")
		},
	}
}

func readBack(t *testing.T, l lab) string {
	in := l.input("one")
	if err := l.create(t, "one"); err != nil {
		return err.Error()
	}
	got, err := l.get(t, "one")
	if err != nil {
		return err.Error()
	}
	is := func(s *scheduler.GetScheduleOutput) string {
		return fmt.Sprint(*s.Name, *s.GroupName, *s.Description, *s.ScheduleExpression, s.State, s.FlexibleTimeWindow.Mode, *s.FlexibleTimeWindow.MaximumWindowInMinutes,
			*s.Target.Arn, *s.Target.RoleArn, *s.Target.Input, *s.Target.DeadLetterConfig.Arn, *s.Target.RetryPolicy.MaximumRetryAttempts, *s.Target.RetryPolicy.MaximumEventAgeInSeconds,
			aws.ToString(s.ScheduleExpressionTimezone), s.StartDate, s.EndDate)
	}
	want := is(&scheduler.GetScheduleOutput{
		Name: in.Name, GroupName: in.GroupName, Description: in.Description, ScheduleExpression: in.ScheduleExpression, State: in.State,
		FlexibleTimeWindow: in.FlexibleTimeWindow, Target: in.Target, ScheduleExpressionTimezone: aws.String("UTC"),
	})
	if is(got) != want {
		return fmt.Sprintf("read %s, want %s", is(got), want)
	}
	return ""
}

func replaced(t *testing.T, l lab) string {
	if err := l.create(t, "one"); err != nil {
		return err.Error()
	}
	if err := l.update(t, "one"); err != nil {
		return err.Error()
	}
	got, err := l.get(t, "one")
	if err != nil || *got.ScheduleExpression != "rate(7 minutes)" || got.Description != nil {
		return fmt.Sprintf("%v, %v; a description that wasn't sent should be gone", got, err)
	}
	return ""
}

func enabled(t *testing.T, l lab) string {
	if err := l.create(t, "one"); err != nil {
		return err.Error()
	}
	if err := l.update(t, "one"); err != nil {
		return err.Error()
	}
	if got, err := l.get(t, "one"); err != nil || got.State != types.ScheduleStateEnabled {
		return fmt.Sprintf("state %q, %v", got.State, err)
	}
	return ""
}

func listed(t *testing.T, l lab) string {
	want := []string{"a", "b", "c", "d", "e"}
	for _, name := range want {
		if err := l.create(t, name); err != nil {
			return err.Error()
		}
	}
	var got []string
	pages := 0
	in := &scheduler.ListSchedulesInput{GroupName: &l.group, MaxResults: aws.Int32(2)}
	for {
		out, err := l.ListSchedules(t.Context(), in)
		if err != nil {
			return err.Error()
		}
		pages++
		for _, s := range out.Schedules {
			if s.State != types.ScheduleStateDisabled || s.LastModificationDate == nil || s.Target == nil || s.Target.Arn == nil || aws.ToString(s.GroupName) != l.group {
				return fmt.Sprintf("a summary lacks something: %+v", s)
			}
			got = append(got, *s.Name)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) || pages != 3 {
		return fmt.Sprintf("listed %v on %d pages", got, pages)
	}
	return ""
}

func ofOneGroup(t *testing.T, l lab) string {
	other := newLab(t, l.api)
	if err := other.create(t, "elsewhere"); err != nil {
		return err.Error()
	}
	out, err := l.ListSchedules(t.Context(), &scheduler.ListSchedulesInput{GroupName: &l.group})
	if err != nil || len(out.Schedules) != 0 {
		return fmt.Sprintf("listed %+v, %v", out, err)
	}
	return ""
}

// modified is what schedule.Seen rests on: the time that a listing shows is the
// one that a read shows, and another after each update.
func modified(t *testing.T, l lab) string {
	times := func() (fromList, fromGet time.Time, err error) {
		out, err := l.ListSchedules(t.Context(), &scheduler.ListSchedulesInput{GroupName: &l.group})
		if err != nil || len(out.Schedules) != 1 {
			return fromList, fromGet, fmt.Errorf("listing %+v: %w", out, err)
		}
		got, err := l.get(t, "one")
		if err != nil {
			return fromList, fromGet, err
		}
		return aws.ToTime(out.Schedules[0].LastModificationDate), aws.ToTime(got.LastModificationDate), nil
	}
	if err := l.create(t, "one"); err != nil {
		return err.Error()
	}
	first, firstGet, err := times()
	if err != nil {
		return err.Error()
	}
	if err := l.update(t, "one"); err != nil {
		return err.Error()
	}
	second, secondGet, err := times()
	if err != nil || !first.Equal(firstGet) || !second.Equal(secondGet) || !second.After(first) {
		return fmt.Sprintf("before: listed %s, read %s; after: listed %s, read %s (%v)", first, firstGet, second, secondGet, err)
	}
	return ""
}

func absent(t *testing.T, l lab) string {
	name := "none"
	_, get := l.get(t, name)
	_, del := l.DeleteSchedule(t.Context(), &scheduler.DeleteScheduleInput{GroupName: &l.group, Name: &name})
	for _, err := range []error{get, l.update(t, name), del} {
		if wrong := code(err, "ResourceNotFoundException"); wrong != "" {
			return wrong
		}
	}
	return ""
}
