package schedule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chefsync/pkg/replication"
	"chefsync/pkg/schedule"
	"chefsync/pkg/schedule/scheduletest"
)

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func open(f *scheduletest.Fake) *schedule.Group {
	return &schedule.Group{API: f, Name: group, Sleep: noSleep}
}

func reconcile(t *testing.T, g *schedule.Group, all []schedule.Schedule) schedule.Report {
	t.Helper()
	report, err := g.Reconcile(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatal(...any)
}

// read returns a schedule of the group.
func read(t failer, f *scheduletest.Fake, name string) *scheduler.GetScheduleOutput {
	t.Helper()
	got, err := f.GetSchedule(context.Background(), &scheduler.GetScheduleInput{GroupName: aws.String(group), Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// edit changes a schedule by hand.
func edit(t failer, f *scheduletest.Fake, name string, change func(*scheduler.UpdateScheduleInput)) {
	t.Helper()
	s := read(t, f, name)
	in := &scheduler.UpdateScheduleInput{
		GroupName: s.GroupName, Name: s.Name, Description: s.Description, ScheduleExpression: s.ScheduleExpression, State: s.State,
		FlexibleTimeWindow: s.FlexibleTimeWindow, Target: s.Target,
	}
	change(in)
	if _, err := f.UpdateSchedule(context.Background(), in); err != nil {
		t.Fatal(err)
	}
}

// put makes a schedule by hand.
func put(t failer, f *scheduletest.Fake, in, name, expression string) {
	t.Helper()
	if _, err := f.CreateSchedule(context.Background(), &scheduler.CreateScheduleInput{
		GroupName: &in, Name: &name, ScheduleExpression: &expression, FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		Target: &types.Target{Arn: aws.String("arn:aws:lambda:us-east-1:111122223333:function:other"), RoleArn: aws.String("arn:aws:iam::111122223333:role/other"), Input: aws.String("{}")},
	}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsMissingIsMade(t *testing.T) {
	f := scheduletest.New(group)
	report := reconcile(t, open(f), desired(t, engineering()))
	name := schedule.PairName(engineering())
	if diff := cmp.Diff(schedule.Report{Created: []string{name}}, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	s := read(t, f, name)
	if s.State != types.ScheduleStateEnabled || *s.ScheduleExpression != "rate(5 minutes)" || *s.Target.Input != `{"pair":"eu/engineering","trigger":"schedule"}` {
		t.Errorf("schedule %s %s %s", s.State, *s.ScheduleExpression, *s.Target.Input)
	}
	if w := s.FlexibleTimeWindow; w.Mode != types.FlexibleTimeWindowModeFlexible || *w.MaximumWindowInMinutes != 1 {
		t.Errorf("window %+v: a thousand pairs must not fire at once", w)
	}
	if r := s.Target.RetryPolicy; *r.MaximumRetryAttempts > 1 || *r.MaximumEventAgeInSeconds != 60 {
		t.Errorf("%d attempts within %d seconds: old events must not pile up", *r.MaximumRetryAttempts, *r.MaximumEventAgeInSeconds)
	}
	if *s.Target.Arn != stack().SyncARN || *s.Target.RoleArn != stack().ScheduleRole || *s.Target.DeadLetterConfig.Arn != stack().DeadLetterARN {
		t.Errorf("target %+v", s.Target)
	}
}

func TestWhatDiffersIsPutRight(t *testing.T) {
	name := schedule.PairName(engineering())
	soon := time.Now().Add(time.Hour)
	for what, change := range map[string]func(*scheduler.UpdateScheduleInput){
		"rate":         func(in *scheduler.UpdateScheduleInput) { in.ScheduleExpression = aws.String("rate(9 minutes)") },
		"state":        func(in *scheduler.UpdateScheduleInput) { in.State = types.ScheduleStateDisabled },
		"input":        func(in *scheduler.UpdateScheduleInput) { in.Target.Input = aws.String("{}") },
		"target":       func(in *scheduler.UpdateScheduleInput) { in.Target.Arn = aws.String(stack().ChangesARN) },
		"role":         func(in *scheduler.UpdateScheduleInput) { in.Target.RoleArn = aws.String("arn:aws:iam::1:role/x") },
		"dead letters": func(in *scheduler.UpdateScheduleInput) { in.Target.DeadLetterConfig = nil },
		"retries":      func(in *scheduler.UpdateScheduleInput) { in.Target.RetryPolicy = nil },
		"window": func(in *scheduler.UpdateScheduleInput) {
			in.FlexibleTimeWindow = &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff}
		},
		"description": func(in *scheduler.UpdateScheduleInput) { in.Description = nil },
		"end":         func(in *scheduler.UpdateScheduleInput) { in.EndDate = &soon },
		"time zone":   func(in *scheduler.UpdateScheduleInput) { in.ScheduleExpressionTimezone = aws.String("Europe/Berlin") },
		"completion":  func(in *scheduler.UpdateScheduleInput) { in.ActionAfterCompletion = types.ActionAfterCompletionDelete },
	} {
		t.Run(what, func(t *testing.T) {
			f := scheduletest.New(group)
			g := open(f)
			reconcile(t, g, desired(t, engineering()))
			reconcile(t, g, desired(t, engineering())) // has seen it now
			before := read(t, f, name)
			edit(t, f, name, change)
			report := reconcile(t, g, desired(t, engineering()))
			if diff := cmp.Diff(schedule.Report{Updated: []string{name}}, report); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(settled(before), settled(read(t, f, name))); diff != "" {
				t.Errorf("schedule (-before +after):\n%s", diff)
			}
		})
	}
}

// settled is a schedule as JSON, without the times at which it was written.
func settled(s *scheduler.GetScheduleOutput) string {
	c := *s
	c.LastModificationDate, c.CreationDate = nil, nil
	text, err := json.Marshal(c)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestAnotherIntervalIsAnUpdateOfTheSameSchedule(t *testing.T) {
	f := scheduletest.New(group)
	g := open(f)
	reconcile(t, g, desired(t, engineering()))
	all := desired(t, engineering())
	all[0].Minutes = 1
	report := reconcile(t, g, all)
	if got := *read(t, f, all[0].Name).ScheduleExpression; len(report.Updated) != 1 || got != "rate(1 minute)" {
		t.Errorf("report %+v, expression %s", report, got)
	}
}

func TestOnlyOurSchedulesOfTheGroupAreDeleted(t *testing.T) {
	f := scheduletest.New(group, "other")
	g := open(f)
	reconcile(t, g, desired(t, pairs(3)...))
	gone := schedule.PairName(pairs(3)[1])
	foreign := []string{"manager", "sync-by-hand", "synchronize-all-11112222", "x-sync-eu-acme-11112222"}
	for _, name := range foreign {
		put(t, f, group, name, "rate(1 day)")
	}
	put(t, f, "other", gone, "rate(1 day)")
	put(t, f, "default", gone, "rate(1 day)")

	report := reconcile(t, g, desired(t, pairs(3)[0], pairs(3)[2]))
	if diff := cmp.Diff(schedule.Report{Deleted: []string{gone}, Foreign: foreign, Kept: 2}, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if _, err := g.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.Schedules(group); !slices.Equal(got, foreign) {
		t.Errorf("left in the group: %v", got)
	}
	for _, elsewhere := range []string{"other", "default"} {
		if got := f.Schedules(elsewhere); !slices.Equal(got, []string{gone}) {
			t.Errorf("left in group %s: %v", elsewhere, got)
		}
	}
}

func TestAnIdleReconcileOfAThousandPairsListsTenPages(t *testing.T) {
	f := scheduletest.New(group)
	g := open(f)
	all := desired(t, pairs(1000)...)
	reconcile(t, g, all)

	f.Reset()
	if report := reconcile(t, open(f), all); report.Kept != 1000 || f.Count("ListSchedules") != 10 || f.Count("GetSchedule") != 1000 || len(f.Calls()) != 1010 {
		t.Errorf("without Seen: %s, %d calls", report, len(f.Calls()))
	}

	reconcile(t, g, all)
	text, err := json.Marshal(g.Seen)
	if err != nil {
		t.Fatal(err)
	}
	later := open(f)
	if err := json.Unmarshal(text, &later.Seen); err != nil {
		t.Fatal(err)
	}
	f.Reset()
	if report := reconcile(t, later, all); report.Kept != 1000 || f.Count("ListSchedules") != 10 || len(f.Calls()) != 10 {
		t.Errorf("with Seen of another process: %s, calls %d", report, len(f.Calls()))
	}
}

// content draws any group content: ours and not, right and wrong.
func content(t *rapid.T, f *scheduletest.Fake, wanted []schedule.Schedule) {
	names := []string{"manager", "sync-by-hand", schedule.PairName(replication.PairID{Replica: "gone", Org: "gone"}), schedule.SourceName("gone")}
	for _, s := range wanted {
		names = append(names, s.Name)
	}
	for _, name := range names {
		if !rapid.Bool().Draw(t, "has "+name) {
			continue
		}
		put(t, f, group, name, rapid.SampledFrom([]string{"rate(5 minutes)", "rate(1 hour)", "cron(0 * * * ? *)"}).Draw(t, "expression"))
		if rapid.Bool().Draw(t, "disabled") {
			edit(t, f, name, func(in *scheduler.UpdateScheduleInput) { in.State = types.ScheduleStateDisabled })
		}
	}
}

func TestFromAnyContentTheDesiredIsReachedAndASecondReconcileWritesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ps []schedule.Pair
		for _, id := range pairs(4) {
			if rapid.Bool().Draw(t, "wanted") {
				ps = append(ps, schedule.Pair{ID: id, Interval: time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds")) * time.Second, Stopped: rapid.Bool().Draw(t, "stopped")})
			}
		}
		var sources []schedule.Source
		if rapid.Bool().Draw(t, "journal") {
			sources = []schedule.Source{{Name: "org", Interval: time.Minute}}
		}
		all, _, err := schedule.Desired(stack(), ps, sources)
		if err != nil {
			t.Fatal(err)
		}
		f, clean := scheduletest.New(group), scheduletest.New(group)
		content(t, f, all)
		foreign := slices.DeleteFunc(f.Schedules(group), func(n string) bool { return n != "manager" && n != "sync-by-hand" })
		g := open(f)
		for _, g := range []*schedule.Group{g, open(clean)} {
			if _, err := g.Reconcile(context.Background(), all); err != nil {
				t.Fatal(err)
			}
		}

		var names []string
		for _, s := range all {
			names = append(names, s.Name)
			if diff := cmp.Diff(settled(read(t, clean, s.Name)), settled(read(t, f, s.Name))); diff != "" {
				t.Errorf("%s (-made anew +reconciled):\n%s", s.Name, diff)
			}
		}
		names = append(names, foreign...)
		if slices.Sort(names); !slices.Equal(names, f.Schedules(group)) {
			t.Errorf("schedules %v, want %v", f.Schedules(group), names)
		}

		for range 2 {
			f.Reset()
			if report, err := g.Reconcile(context.Background(), all); err != nil || report.Kept != len(all) {
				t.Errorf("again: %s, %v", report, err)
			}
			for _, op := range []string{"CreateSchedule", "UpdateSchedule", "DeleteSchedule"} {
				if f.Count(op) > 0 {
					t.Errorf("again: calls %v", f.Calls())
				}
			}
		}
		if f.Count("GetSchedule") > 0 {
			t.Errorf("a third time: calls %v", f.Calls())
		}
	})
}

func TestWhatFiresButShouldNotIsSeenToFirst(t *testing.T) {
	f := scheduletest.New(group)
	g := open(f)
	g.Concurrency = 1
	reconcile(t, g, desired(t, pairs(2)...))
	all := desired(t, pairs(2)...)
	all[1].Enabled = false
	all = append(desired(t, engineering()), all...)
	f.Reset()
	reconcile(t, g, all)
	stop := slices.Index(f.Calls(), "UpdateSchedule "+all[2].Name)
	if create := slices.Index(f.Calls(), "CreateSchedule "+all[0].Name); stop < 0 || create < stop {
		t.Errorf("calls %v", f.Calls())
	}
}

func TestADesiredNameThatIsNotOursIsRefused(t *testing.T) {
	f := scheduletest.New(group)
	all := desired(t, engineering())
	all[0].Name = "manager"
	if _, err := open(f).Reconcile(t.Context(), all); err == nil || len(f.Calls()) != 0 {
		t.Errorf("error %v, calls %v", err, f.Calls())
	}
}

func ExampleReport() {
	fmt.Println(schedule.Report{Created: []string{"sync-eu-acme-1a2b3c4d"}, Kept: 999})
	// Output: 1 created, 0 updated, 0 deleted, 999 as they should be
}
