package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/smithy-go"
	"pgregory.net/rapid"

	"chefsync/pkg/replication"
	"chefsync/pkg/schedule"
	"chefsync/pkg/schedule/scheduletest"
)

// inbox keeps the events that functions were sent.
type inbox struct {
	mu     sync.Mutex
	events []string
	err    error
}

func (i *inbox) Invoke(_ context.Context, function string, event []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return i.err
	}
	i.events = append(i.events, function+" "+string(event))
	return nil
}

// bench is a tick over a group, with a clock that is set by hand.
type bench struct {
	*schedule.Tick
	fake  *scheduletest.Fake
	inbox *inbox
	now   time.Time
}

func newBench() *bench {
	b := &bench{fake: scheduletest.New(group), inbox: &inbox{}, now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	b.Tick = &schedule.Tick{API: b.fake, Group: group, Invoker: b.inbox, Now: func() time.Time { return b.now }, Sleep: noSleep}
	return b
}

// once fires what is due after some more time.
func (b *bench) once(t failer, later time.Duration) []string {
	t.Helper()
	b.now = b.now.Add(later)
	fired, err := b.Once(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return fired
}

func TestAScheduleSendsItsInputToItsFunction(t *testing.T) {
	b := newBench()
	reconcile(t, open(b.fake), desired(t, engineering()))
	if fired := b.once(t, 0); !slices.Equal(fired, []string{schedule.PairName(engineering())}) {
		t.Errorf("fired %v", fired)
	}
	if want := []string{stack().SyncARN + ` {"pair":"eu/engineering","trigger":"schedule"}`}; !slices.Equal(b.inbox.events, want) {
		t.Errorf("events %v, want %v", b.inbox.events, want)
	}
}

func TestAScheduleFiresAtItsRate(t *testing.T) {
	for expression, period := range map[string]time.Duration{
		"rate(1 minute)": time.Minute, "rate(5 minutes)": 5 * time.Minute, "rate(1 hour)": time.Hour, "rate(2 days)": 48 * time.Hour,
	} {
		b := newBench()
		put(t, b.fake, group, "one", expression)
		for i, step := range []struct {
			later time.Duration
			due   bool
		}{{0, true}, {0, false}, {period - time.Second, false}, {time.Second, true}, {period + 20*time.Second, true}, {period - 20*time.Second, true}, {period - time.Second, false}} {
			if fired := b.once(t, step.later); (len(fired) == 1) != step.due {
				t.Errorf("%s: step %d fired %v, want %v", expression, i, fired, step.due)
			}
		}
	}
}

func TestMissedRoundsAreNotMadeUp(t *testing.T) {
	b := newBench()
	put(t, b.fake, group, "one", "rate(1 minute)")
	b.once(t, 0)
	b.once(t, time.Hour)
	b.once(t, 30*time.Second)
	if len(b.inbox.events) != 2 {
		t.Errorf("%d events, want one for the hour", len(b.inbox.events))
	}
}

// TestItFiresAsOftenAsTheRateSaysHoweverItIsCalled compares with counting rounds.
func TestItFiresAsOftenAsTheRateSaysHoweverItIsCalled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		minutes := rapid.IntRange(2, 5).Draw(t, "minutes")
		put(t, b.fake, group, "one", fmt.Sprintf("rate(%d minutes)", minutes))
		begin, rounds := b.now, map[time.Duration]bool{}
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			b.once(t, time.Duration(rapid.IntRange(0, 600).Draw(t, "later"))*time.Second)
			if len(rounds) == 0 {
				begin = b.now
			}
			rounds[b.now.Sub(begin)/(time.Duration(minutes)*time.Minute)] = true
		}
		if len(b.inbox.events) != len(rounds) {
			t.Errorf("%d events in %d rounds", len(b.inbox.events), len(rounds))
		}
	})
}

func TestWhatIsDisabledNotBegunOrOverDoesNotFire(t *testing.T) {
	b := newBench()
	past, future := b.now.Add(-time.Minute), b.now.Add(time.Minute)
	for name, change := range map[string]func(*scheduler.UpdateScheduleInput){
		"disabled":  func(in *scheduler.UpdateScheduleInput) { in.State = types.ScheduleStateDisabled },
		"not begun": func(in *scheduler.UpdateScheduleInput) { in.StartDate = &future },
		"over":      func(in *scheduler.UpdateScheduleInput) { in.EndDate = &past },
	} {
		name = strings.ReplaceAll(name, " ", "-")
		put(t, b.fake, group, name, "rate(1 minute)")
		edit(t, b.fake, name, change)
	}
	if fired := b.once(t, 0); len(fired) != 0 {
		t.Errorf("fired %v", fired)
	}
	if fired := b.once(t, 2*time.Minute); !slices.Equal(fired, []string{"not-begun"}) {
		t.Errorf("two minutes later fired %v", fired)
	}
}

func TestWhatCanNotBeEvaluatedIsSaidAndStopsNoOther(t *testing.T) {
	b := newBench()
	for name, expression := range map[string]string{"cron": "cron(0 12 * * ? *)", "once": "at(2026-11-25T12:00:00)", "long": "rate(9999999 days)", "good": "rate(1 minute)"} {
		put(t, b.fake, group, name, expression)
	}
	for name, change := range map[string]func(*scheduler.UpdateScheduleInput){
		"queue": func(in *scheduler.UpdateScheduleInput) {
			in.Target.Arn = aws.String("arn:aws:sqs:us-east-1:111122223333:q")
		},
		"empty": func(in *scheduler.UpdateScheduleInput) { in.Target.Input = nil },
	} {
		put(t, b.fake, group, name, "rate(1 minute)")
		edit(t, b.fake, name, change)
	}
	fired, err := b.Once(t.Context())
	if !slices.Equal(fired, []string{"good"}) || replication.ClassOf(err) != replication.Local || replication.HintOf(err) == "" {
		t.Errorf("fired %v, %v", fired, err)
	}
	for _, name := range []string{"cron", "once", "long", "queue", "empty"} {
		if err == nil || !strings.Contains(err.Error(), "fire schedule "+name+": ") {
			t.Errorf("error %v doesn't name %s", err, name)
		}
	}
}

func TestAnEventThatWasNotTakenIsDueAgain(t *testing.T) {
	b := newBench()
	put(t, b.fake, group, "one", "rate(1 hour)")
	b.inbox.err = errors.New("no such function")
	if fired, err := b.Once(t.Context()); len(fired) != 0 || !errors.Is(err, b.inbox.err) {
		t.Errorf("fired %v, %v", fired, err)
	}
	b.inbox.err = nil
	if fired := b.once(t, time.Second); len(fired) != 1 {
		t.Errorf("fired %v", fired)
	}
}

func TestWhatFiredIsKeptByTheCaller(t *testing.T) {
	b := newBench()
	put(t, b.fake, group, "one", "rate(1 hour)")
	b.once(t, 0)
	next := newBench()
	next.API, next.Fired = b.fake, b.Fired
	if fired := next.once(t, 59*time.Minute); len(fired) != 0 {
		t.Errorf("fired %v", fired)
	}
	if fired := next.once(t, time.Minute); len(fired) != 1 {
		t.Errorf("fired %v", fired)
	}
	if _, err := b.fake.DeleteSchedule(t.Context(), &scheduler.DeleteScheduleInput{GroupName: aws.String(group), Name: aws.String("one")}); err != nil {
		t.Fatal(err)
	}
	if next.once(t, 0); len(next.Fired) != 0 {
		t.Errorf("deleted, but kept: %v", next.Fired)
	}
}

func TestAClockThatIsPutBackHoldsNothingUp(t *testing.T) {
	b := newBench()
	put(t, b.fake, group, "one", "rate(1 hour)")
	b.once(t, 0)
	if fired := b.once(t, -24*time.Hour); len(fired) != 1 {
		t.Errorf("fired %v", fired)
	}
	if fired := b.once(t, time.Minute); len(fired) != 0 {
		t.Errorf("and once more: %v", fired)
	}
}

func TestARunFiresUntilItIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		put(t, b.fake, group, "one", "rate(1 minute)")
		put(t, b.fake, group, "cron", "cron(0 12 * * ? *)")
		var log bytes.Buffer
		b.Now, b.Sleep, b.Log = nil, nil, slog.New(slog.NewTextHandler(&log, nil))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+30*time.Second)
		defer cancel()
		b.Run(ctx)
		if len(b.inbox.events) != 11 {
			t.Errorf("%d events in ten and a half minutes", len(b.inbox.events))
		}
		if said := strings.Count(log.String(), "fire schedule cron"); said != 1 {
			t.Errorf("said %d times:\n%s", said, log.String())
		}
	})
}

// functions is AWS Lambda.
type functions struct {
	in  *lambda.InvokeInput
	err error
}

func (f *functions) Invoke(_ context.Context, in *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	f.in = in
	return &lambda.InvokeOutput{StatusCode: 202}, f.err
}

func TestLambdaIsInvokedAsynchronously(t *testing.T) {
	f := &functions{}
	if err := (schedule.Lambda{API: f}).Invoke(t.Context(), stack().SyncARN, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if *f.in.FunctionName != stack().SyncARN || f.in.InvocationType != lambdatypes.InvocationTypeEvent || string(f.in.Payload) != "{}" {
		t.Errorf("call %+v", f.in)
	}
	f.err = &smithy.OperationError{ServiceID: "Lambda", OperationName: "Invoke", Err: &smithy.GenericAPIError{Code: "AccessDeniedException"}}
	err := schedule.Lambda{API: f}.Invoke(t.Context(), stack().SyncARN, []byte("{}"))
	if hint := replication.HintOf(err); hint != "allow lambda:InvokeFunction on function "+stack().SyncARN {
		t.Errorf("error %v, hint %q", err, hint)
	}
}
