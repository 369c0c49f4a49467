package schedule_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/google/go-cmp/cmp"

	"chefsync/pkg/replication"
	"chefsync/pkg/schedule"
	"chefsync/pkg/schedule/scheduletest"
)

func TestStopAndStartTurnTheScheduleAndNothingElse(t *testing.T) {
	f := scheduletest.New(group)
	g := open(f)
	reconcile(t, g, desired(t, engineering()))
	name := schedule.PairName(engineering())
	edit(t, f, name, func(in *scheduler.UpdateScheduleInput) { in.KmsKeyArn = aws.String("arn:aws:kms:x") })
	before := read(t, f, name)
	for _, step := range []struct {
		turn func(context.Context, replication.PairID) error
		want types.ScheduleState
	}{{g.Disable, types.ScheduleStateDisabled}, {g.Disable, types.ScheduleStateDisabled}, {g.Enable, types.ScheduleStateEnabled}} {
		if err := step.turn(t.Context(), engineering()); err != nil {
			t.Fatal(err)
		}
		got := read(t, f, name)
		if got.State != step.want {
			t.Errorf("state %s, want %s", got.State, step.want)
		}
		if got.State = before.State; settled(got) != settled(before) {
			t.Errorf("schedule (-before +after):\n%s", cmp.Diff(settled(before), settled(got)))
		}
	}
	if n := f.Count("UpdateSchedule"); n != 3 {
		t.Errorf("%d updates: one by hand, one to stop, none to stop again, one to start", n)
	}
}

func TestStopOfAPairWithoutAScheduleIsDoneAndStartSaysWhatToDo(t *testing.T) {
	g := open(scheduletest.New(group))
	if err := g.Disable(t.Context(), engineering()); err != nil {
		t.Error(err)
	}
	err := g.Enable(t.Context(), engineering())
	if !replication.IsAbsent(err) || !strings.Contains(err.Error(), "pair eu/engineering") || !strings.Contains(replication.HintOf(err), "manager") {
		t.Errorf("error %v, hint %q", err, replication.HintOf(err))
	}
}

func TestAStopThatIsDeniedNamesThePermission(t *testing.T) {
	f := scheduletest.New(group)
	g := open(f)
	reconcile(t, g, desired(t, engineering()))
	f.Before = func(op, _ string) error {
		if op == "UpdateSchedule" {
			return scheduletest.Error(op, "AccessDeniedException", "no")
		}
		return nil
	}
	err := g.Disable(t.Context(), engineering())
	if want := "disable schedule " + schedule.PairName(engineering()) + " of pair eu/engineering on schedule group chef-sync"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v", err)
	}
	if hint := replication.HintOf(err); hint != "allow scheduler:UpdateSchedule on schedule group chef-sync" {
		t.Errorf("hint %q", hint)
	}
}
