package stack

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/schedule"
)

// Schedules are the schedules of the stack's pairs.
func (s *Stack) Schedules() *schedule.Group {
	return &schedule.Group{API: scheduler.NewFromConfig(s.Config), Name: s.ScheduleGroup}
}

// ScheduleStates tells by name of each schedule of the stack whether it is
// enabled.
func (s *Stack) ScheduleStates(ctx context.Context) (map[string]bool, error) {
	enabled := map[string]bool{}
	pages := scheduler.NewListSchedulesPaginator(scheduler.NewFromConfig(s.Config), &scheduler.ListSchedulesInput{GroupName: &s.ScheduleGroup})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explainAWS(ctx, "list the schedules", "schedule group "+s.ScheduleGroup, err)
		}
		for _, each := range page.Schedules {
			enabled[aws.ToString(each.Name)] = each.State != types.ScheduleStateDisabled
		}
	}
	return enabled, nil
}

// Tick fires the stack's schedules, where an emulator only keeps them. It refuses
// to do so on AWS itself.
func (s *Stack) Tick(log *slog.Logger, now func() time.Time) (*schedule.Tick, error) {
	client := scheduler.NewFromConfig(s.Config)
	if client.Options().BaseEndpoint == nil {
		return nil, exit.Usagef("set AWS_ENDPOINT_URL to an emulator's address", "AWS fires the schedules of stack %s by itself", s.Stack)
	}
	return &schedule.Tick{API: client, Group: s.ScheduleGroup, Invoker: schedule.Lambda{API: lambda.NewFromConfig(s.Config)}, Now: now, Log: log}, nil
}
