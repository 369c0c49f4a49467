package scheduletest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/smithy-go"
)

var (
	names       = regexp.MustCompile(`^[0-9a-zA-Z-_.]{1,64}$`)
	expressions = regexp.MustCompile(`^(rate\([1-9][0-9]* (minute|minutes|hour|hours|day|days)\)|cron\([^()]+\)|at\([^()]+\))$`)
)

// noToken turns a creation into the update that it has everything in common with.
func noToken(in scheduler.CreateScheduleInput) scheduler.UpdateScheduleInput {
	return scheduler.UpdateScheduleInput{
		Name: in.Name, GroupName: in.GroupName, State: in.State, Description: in.Description, ScheduleExpression: in.ScheduleExpression,
		ScheduleExpressionTimezone: in.ScheduleExpressionTimezone, FlexibleTimeWindow: in.FlexibleTimeWindow, StartDate: in.StartDate,
		EndDate: in.EndDate, ActionAfterCompletion: in.ActionAfterCompletion, KmsKeyArn: in.KmsKeyArn, Target: in.Target,
	}
}

// accept checks the settings of a schedule and fills in what AWS fills in.
func (f *Fake) accept(in scheduler.UpdateScheduleInput) (*scheduler.GetScheduleOutput, error) {
	if err := f.check(in); err != nil {
		return nil, err
	}
	s := clone(&scheduler.GetScheduleOutput{
		Name: in.Name, State: cmp.Or(in.State, types.ScheduleStateEnabled), Description: in.Description, ScheduleExpression: in.ScheduleExpression,
		ScheduleExpressionTimezone: aws.String(cmp.Or(aws.ToString(in.ScheduleExpressionTimezone), "UTC")),
		FlexibleTimeWindow:         in.FlexibleTimeWindow, StartDate: in.StartDate, EndDate: in.EndDate,
		ActionAfterCompletion: cmp.Or(in.ActionAfterCompletion, types.ActionAfterCompletionNone), KmsKeyArn: in.KmsKeyArn, Target: in.Target,
	})
	if s.Target.RetryPolicy == nil {
		s.Target.RetryPolicy = &types.RetryPolicy{}
	}
	if r := s.Target.RetryPolicy; r.MaximumRetryAttempts == nil {
		r.MaximumRetryAttempts = aws.Int32(185)
	}
	if r := s.Target.RetryPolicy; r.MaximumEventAgeInSeconds == nil {
		r.MaximumEventAgeInSeconds = aws.Int32(86400)
	}
	return s, nil
}

// check finds what AWS would refuse.
func (f *Fake) check(in scheduler.UpdateScheduleInput) error {
	t, w := in.Target, in.FlexibleTimeWindow
	switch {
	case !names.MatchString(aws.ToString(in.Name)):
		return invalid("Name must have 1 to 64 characters of [0-9a-zA-Z-_.]")
	case !expressions.MatchString(aws.ToString(in.ScheduleExpression)):
		return invalid("Invalid Schedule Expression %s.", aws.ToString(in.ScheduleExpression))
	case len(aws.ToString(in.Description)) > 512:
		return invalid("Description must have at most 512 characters")
	case w == nil || w.Mode == types.FlexibleTimeWindowModeFlexible && !within(w.MaximumWindowInMinutes, 1, 1440):
		return invalid("FlexibleTimeWindow must be OFF, or FLEXIBLE with 1 to 1440 minutes")
	case w.Mode == types.FlexibleTimeWindowModeOff && w.MaximumWindowInMinutes != nil:
		return invalid("FlexibleTimeWindow is OFF and has minutes")
	case t == nil || !strings.HasPrefix(aws.ToString(t.Arn), "arn:") || !strings.HasPrefix(aws.ToString(t.RoleArn), "arn:"):
		return invalid("Target must have the ARN of a target and of a role")
	case t.Input != nil && strings.Contains(*t.Arn, ":lambda:") && !json.Valid([]byte(*t.Input)):
		return invalid("Input must be JSON")
	case len(aws.ToString(t.Input)) > 256<<10:
		return invalid("Input must have at most 256 KB")
	case in.StartDate != nil && in.StartDate.Before(f.clock.Add(-5*time.Minute)):
		return invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
	}
	if r := t.RetryPolicy; r != nil && (r.MaximumRetryAttempts != nil && !within(r.MaximumRetryAttempts, 0, 185) ||
		r.MaximumEventAgeInSeconds != nil && !within(r.MaximumEventAgeInSeconds, 60, 86400)) {
		return invalid("RetryPolicy must have 0 to 185 attempts and an age of 60 to 86400 seconds")
	}
	return nil
}

func within(n *int32, least, most int32) bool { return n != nil && *n >= least && *n <= most }

// clone copies a schedule with all that it points to.
func clone(s *scheduler.GetScheduleOutput) *scheduler.GetScheduleOutput {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings, numbers and times
	}
	var c scheduler.GetScheduleOutput
	if err := json.Unmarshal(text, &c); err != nil {
		panic(err)
	}
	return &c
}

// Error is an error of an operation as the SDK returns it, such as
// Error("UpdateSchedule", "AccessDeniedException", "no").
func Error(operation, code, message string) error {
	return wrap(operation, &smithy.GenericAPIError{Code: code, Message: message})
}

func wrap(operation string, err error) error {
	return &smithy.OperationError{ServiceID: scheduler.ServiceID, OperationName: operation, Err: err}
}

func invalid(format string, args ...any) error {
	return &types.ValidationException{Message: aws.String(fmt.Sprintf(format, args...))}
}

func notFound(format string, args ...any) error {
	return &types.ResourceNotFoundException{Message: aws.String(fmt.Sprintf(format, args...))}
}
