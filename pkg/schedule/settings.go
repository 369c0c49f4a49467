package schedule

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
)

// What all our schedules have in common. An event that can't be delivered within
// a minute is worth nothing: the next one is due.
const (
	windowMinutes = 1
	retries       = 1
	eventAge      = 60 // seconds, the least that AWS takes
)

// settings are all that AWS keeps of a schedule beside its name and its group,
// also what we never set: an update must send everything, and what somebody has
// set by hand must show as a difference.
type settings struct {
	State       types.ScheduleState `json:"-"`
	Description *string
	Expression  *string
	Timezone    *string
	Window      *types.FlexibleTimeWindow
	Start, End  *time.Time
	After       types.ActionAfterCompletion
	Key         *string
	Target      *types.Target
}

// settings are those that a schedule should have.
func (s Schedule) settings() settings {
	return settings{
		State:       state(s.Enabled),
		Description: &s.Description,
		Expression:  aws.String("rate(" + every(s.Minutes) + ")"),
		Window:      &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeFlexible, MaximumWindowInMinutes: aws.Int32(windowMinutes)},
		Target: &types.Target{
			Arn: &s.Target, RoleArn: &s.Role, Input: &s.Input,
			DeadLetterConfig: &types.DeadLetterConfig{Arn: &s.DeadLetters},
			RetryPolicy:      &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(retries), MaximumEventAgeInSeconds: aws.Int32(eventAge)},
		},
	}
}

func state(enabled bool) types.ScheduleState {
	if enabled {
		return types.ScheduleStateEnabled
	}
	return types.ScheduleStateDisabled
}

// settingsOf are those that a schedule has.
func settingsOf(s *scheduler.GetScheduleOutput) settings {
	return settings{
		State: s.State, Description: s.Description, Expression: s.ScheduleExpression, Timezone: s.ScheduleExpressionTimezone,
		Window: s.FlexibleTimeWindow, Start: s.StartDate, End: s.EndDate, After: s.ActionAfterCompletion, Key: s.KmsKeyArn, Target: s.Target,
	}
}

func (s settings) create(group, name string) *scheduler.CreateScheduleInput {
	return &scheduler.CreateScheduleInput{
		GroupName: &group, Name: &name,
		State: s.State, Description: s.Description, ScheduleExpression: s.Expression, ScheduleExpressionTimezone: s.Timezone,
		FlexibleTimeWindow: s.Window, StartDate: s.Start, EndDate: s.End, ActionAfterCompletion: s.After, KmsKeyArn: s.Key, Target: s.Target,
	}
}

func (s settings) update(group, name string) *scheduler.UpdateScheduleInput {
	return &scheduler.UpdateScheduleInput{
		GroupName: &group, Name: &name,
		State: s.State, Description: s.Description, ScheduleExpression: s.Expression, ScheduleExpressionTimezone: s.Timezone,
		FlexibleTimeWindow: s.Window, StartDate: s.Start, EndDate: s.End, ActionAfterCompletion: s.After, KmsKeyArn: s.Key, Target: s.Target,
	}
}

// definition is a hash of all settings but the state, which listings show. What
// AWS fills in by itself counts as not set.
func (s settings) definition() string {
	if s.Timezone = aws.String(cmp.Or(aws.ToString(s.Timezone), "UTC")); s.After == types.ActionAfterCompletionNone {
		s.After = ""
	}
	text, err := json.Marshal(s)
	if err != nil { // a document that another program put there; equal to nothing of ours
		text = fmt.Append(nil, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
