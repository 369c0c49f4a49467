package schedule_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chefsync/pkg/replication"
	"chefsync/pkg/schedule"
	"chefsync/pkg/schedule/scheduletest"
)

func TestOneScheduleThatFailsStopsNoOther(t *testing.T) {
	f := scheduletest.New(group)
	bad := schedule.PairName(pairs(5)[2])
	f.Before = func(op, name string) error {
		if name == bad {
			return scheduletest.Error(op, "AccessDeniedException", "User x is not authorized to perform: "+"scheduler:"+op)
		}
		return nil
	}
	report, err := open(f).Reconcile(t.Context(), desired(t, pairs(5)...))
	if len(report.Created) != 4 || !slices.Equal(report.Failed, []string{bad}) {
		t.Errorf("report %+v", report)
	}
	for _, want := range []string{bad, "pair eu/org-0002", "schedule group chef-sync"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %s", err, want)
		}
	}
	if replication.ClassOf(err) != replication.Denied || !strings.Contains(replication.HintOf(err), "allow scheduler:CreateSchedule") {
		t.Errorf("class %s, hint %q", replication.ClassOf(err), replication.HintOf(err))
	}
}

func TestManyFailuresAreToldInFewLines(t *testing.T) {
	f := scheduletest.New(group)
	f.Before = func(op, _ string) error {
		if op == "CreateSchedule" {
			return scheduletest.Error(op, "AccessDeniedException", "no")
		}
		return nil
	}
	report, err := open(f).Reconcile(t.Context(), desired(t, pairs(200)...))
	if len(report.Failed) != 200 || strings.Count(err.Error(), "\n") != 10 || !strings.Contains(err.Error(), "and 190 schedules more") {
		t.Errorf("%d failed: %v", len(report.Failed), err)
	}
}

func TestThrottledCallsAreTriedAgain(t *testing.T) {
	f := scheduletest.New(group)
	var mu sync.Mutex
	tried := map[string]int{}
	f.Before = func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if tried[op+name]++; tried[op+name] < 4 {
			return scheduletest.Error(op, "ThrottlingException", "Rate exceeded")
		}
		return nil
	}
	var waits []time.Duration
	g := open(f)
	g.Concurrency = 1
	g.Sleep = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	reconcile(t, g, desired(t, engineering()))
	if len(waits) != 6 || waits[2] < 200*time.Millisecond || waits[2] > 400*time.Millisecond {
		t.Errorf("waited %v: three times for the listing, three for the creation, each time longer", waits)
	}
}

func TestThrottlingWithoutEndIsAnErrorThatPasses(t *testing.T) {
	f := scheduletest.New(group)
	f.Before = func(op, _ string) error { return scheduletest.Error(op, "ThrottlingException", "Rate exceeded") }
	if _, err := open(f).Reconcile(t.Context(), nil); replication.ClassOf(err) != replication.Transient || f.Count("ListSchedules") > 10 {
		t.Errorf("error %v after %d calls", err, f.Count("ListSchedules"))
	}
}

// TestTwoReconcilersAreHarmless lets another one come before or after each call.
func TestTwoReconcilersAreHarmless(t *testing.T) {
	for _, op := range []string{"ListSchedules", "GetSchedule", "CreateSchedule", "UpdateSchedule", "DeleteSchedule"} {
		for _, when := range []string{"before", "after"} {
			t.Run(when+" "+op, func(t *testing.T) {
				f := scheduletest.New(group)
				reconcile(t, open(f), desired(t, pairs(4)...))
				all := desired(t, pairs(6)[2:]...) // two go, two stay, two come
				all[0].Minutes = 1
				var came atomic.Bool
				interfere := func(called, _ string) (err error) {
					if called == op && came.CompareAndSwap(false, true) {
						_, err = open(f).Reconcile(context.Background(), all)
					}
					return err
				}
				if when == "before" {
					f.Before = interfere
				} else {
					f.After = interfere
				}
				reconcile(t, open(f), all)
				if report := reconcile(t, open(f), all); report.Kept != 4 {
					t.Errorf("afterwards: %s", report)
				}
			})
		}
	}
}

func TestAConflictOfTheMomentIsWaitedFor(t *testing.T) {
	f := scheduletest.New(group)
	g := open(f)
	reconcile(t, g, desired(t, pairs(2)...))
	seen := map[string]bool{}
	f.Before = func(op, name string) error {
		if (op == "UpdateSchedule" || op == "DeleteSchedule") && !seen[name] {
			seen[name] = true
			return scheduletest.Error(op, "ConflictException", "being changed")
		}
		return nil
	}
	g.Concurrency = 1
	all := desired(t, pairs(1)...)
	all[0].Minutes = 1
	if report := reconcile(t, g, all); len(report.Updated) != 1 || len(report.Deleted) != 1 || len(seen) != 2 {
		t.Errorf("report %+v, conflicts of %v", report, seen)
	}
}

func TestAScheduleThatCanNeitherBeMadeNorReadIsGivenUp(t *testing.T) {
	f := scheduletest.New(group)
	f.Before = func(op, _ string) error {
		if op == "CreateSchedule" { // such as while a deletion of the same name is under way
			return scheduletest.Error(op, "ConflictException", "exists")
		}
		return nil
	}
	report, err := open(f).Reconcile(t.Context(), desired(t, engineering()))
	if err == nil || len(report.Failed) != 1 || f.Count("CreateSchedule") > 5 {
		t.Errorf("report %+v, %v, after %d creations", report, err, f.Count("CreateSchedule"))
	}
}

func TestAGroupThatIsNotThereIsNamed(t *testing.T) {
	f := scheduletest.New()
	_, err := open(f).Reconcile(t.Context(), desired(t, engineering()))
	if !replication.IsAbsent(err) || !strings.Contains(err.Error(), group) || !strings.Contains(replication.HintOf(err), "deploy the stack") {
		t.Errorf("error %v, hint %q", err, replication.HintOf(err))
	}
	if report, err := open(f).Clear(t.Context()); err != nil || report.String() != (schedule.Report{}).String() {
		t.Errorf("nothing to clear: %s, %v", report, err)
	}
}

func TestAReconcileThatIsCutOffSaysSoAndCanGoOn(t *testing.T) {
	f := scheduletest.New(group)
	ctx, cancel := context.WithCancel(t.Context())
	f.After = func(op, _ string) error {
		if op == "CreateSchedule" {
			cancel()
		}
		return nil
	}
	all := desired(t, pairs(20)...)
	report, err := open(f).Reconcile(ctx, all)
	if !errors.Is(err, context.Canceled) || len(report.Created) == 0 || len(report.Created) == 20 {
		t.Errorf("report %s, %v", report, err)
	}
	if rest := reconcile(t, open(f), all); len(rest.Created)+len(report.Created) != 20 {
		t.Errorf("first %s, then %s", report, rest)
	}
}
