package control

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/cli/internal/pairstatus"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

// returning reads the same record always.
func returning(st replication.PairState) func(context.Context, app.Pair) (replication.PairState, error) {
	return func(context.Context, app.Pair) (replication.PairState, error) { return st, nil }
}

// A pass that was running when a compare was asked for may end in sync before that
// has begun.
func TestAWaitForACompareIsNotOverWithAnotherPass(t *testing.T) {
	asked := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ended := replication.Progress{LastCompare: asked.Add(time.Second), ResyncedAt: asked}
	behind := replication.Progress{LastCompare: asked.Add(time.Minute)}
	begun := replication.Progress{LastCompare: asked.Add(-time.Hour), ResyncedAt: asked, Work: &replication.Work{Full: true}}
	before := replication.Progress{LastCompare: asked.Add(-time.Hour)}
	failed := replication.Progress{LastCompare: asked.Add(-time.Hour), LastError: &replication.Failure{}}
	cut := replication.Progress{LastCompare: asked.Add(-time.Hour), Status: replication.Syncing} // before its first write
	for name, c := range map[string]struct {
		progress replication.Progress
		attempt  time.Duration
		resync   time.Time
		want     exit.Code
	}{
		"nothing yet":                             {before, -time.Minute, asked, exit.Temporary},
		"a pass that was running":                 {before, time.Second, asked, exit.Temporary},
		"a pass that was running, then a compare": {begun, time.Second, asked, exit.Temporary},
		"a compare before, and a clock behind":    {behind, time.Minute, asked, exit.Temporary},
		"the compare":                             {ended, time.Minute, asked, exit.OK},
		"a pass, and no compare was wanted":       {before, time.Second, time.Time{}, exit.OK},
		"a pass that failed":                      {failed, time.Second, time.Time{}, exit.Temporary},
		"a pass that was cut short":               {cut, time.Second, time.Time{}, exit.Temporary},
	} {
		c.progress.LastAttempt = asked.Add(c.attempt)
		st := replication.PairState{Desired: replication.Desired{ResyncAt: c.resync}, Progress: c.progress}
		err := waitSynced(t.Context(), returning(st), []app.Pair{{Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: "acme"}}}}, asked, time.Nanosecond)
		if got := exit.Of(err); got != c.want {
			t.Errorf("%s: code %d (%v), want %d", name, got, err, c.want)
		}
	}
}

// A hold that a pass has left is the result of the wait, also one from before. What isn't
// decided yet is waited for.
func TestAWaitForAPairThatStaysHeldEnds(t *testing.T) {
	asked := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	before, after := asked.Add(-time.Hour), asked.Add(time.Minute)
	hold := &replication.Hold{At: before, Deletes: 9}
	for name, c := range map[string]struct {
		desired  replication.Desired
		progress replication.Progress
		want     exit.Code
	}{
		"the compare that was asked for": {replication.Desired{ResyncAt: asked}, replication.Progress{LastSuccess: after, LastCompare: after, ResyncedAt: asked, Hold: hold}, exit.Held},
		"no compare yet":                 {replication.Desired{ResyncAt: asked}, replication.Progress{LastSuccess: after, LastCompare: before, Hold: hold}, exit.Temporary},
		"too few deletions allowed":      {replication.Desired{AllowedAt: asked}, replication.Progress{LastSuccess: after, AllowanceUsed: asked, Hold: hold}, exit.Held},
		"deletions allowed, not used yet": {replication.Desired{AllowedAt: asked}, replication.Progress{LastSuccess: after, AllowanceUsed: before, Hold: hold},
			exit.Temporary},
		"a new hold": {replication.Desired{}, replication.Progress{Hold: &replication.Hold{At: after}}, exit.Held},
		"another primary, which the next pass asks again": {replication.Desired{ResyncAt: asked},
			replication.Progress{LastSuccess: before, Hold: &replication.Hold{At: before, Primary: "other"}}, exit.Temporary},
	} {
		c.progress.LastAttempt = c.progress.LastSuccess
		st := replication.PairState{Desired: c.desired, Progress: c.progress}
		err := waitSynced(t.Context(), returning(st), []app.Pair{{Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: "acme"}}}}, asked, time.Nanosecond)
		if got := exit.Of(err); got != c.want {
			t.Errorf("%s: code %d (%v), want %d", name, got, err, c.want)
		}
	}
}

func TestAWaitNeedsAProcessThatRunsPasses(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	manager := func(ago time.Duration) pairstatus.Processes {
		return pairstatus.Processes{OnStack: true, Manager: &health.Process{Seen: now.Add(-ago)}}
	}
	for name, c := range map[string]struct {
		processes pairstatus.Processes
		want      string // "" for no error
	}{
		"a daemon":               {pairstatus.Processes{Running: []health.Process{{}}}, ""},
		"no daemon":              {pairstatus.Processes{}, "no daemon is running to do it"},
		"a manager":              {manager(time.Minute), ""},
		"a manager not seen yet": {pairstatus.Processes{OnStack: true}, ""},
		"a silent manager":       {manager(time.Hour), "the manager is not running, last run 1h ago"},
	} {
		err := passesRun(c.processes, now)
		if text := fmt.Sprint(err); (err == nil) != (c.want == "") || err != nil && (text != c.want || exit.Of(err) != exit.Temporary || exit.Hint(err) == "") {
			t.Errorf("%s: %v, code %d, want %q", name, err, exit.Of(err), c.want)
		}
	}
}

// No pass of a stopped pair comes, whoever stopped it. What was done before counts.
func TestAWaitForAStoppedPairEnds(t *testing.T) {
	asked := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	pair := app.Pair{Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: "acme"}}}
	for last, want := range map[time.Duration]exit.Code{-time.Minute: exit.Partial, time.Minute: exit.OK} {
		st := replication.PairState{Desired: replication.Desired{Stopped: true}, Progress: replication.Progress{LastAttempt: asked.Add(last)}}
		err := waitSynced(t.Context(), returning(st), []app.Pair{pair}, asked, time.Nanosecond)
		if exit.Of(err) != want || err != nil && !strings.Contains(err.Error(), "eu/acme is stopped") {
			t.Errorf("last pass %s after it was asked for: code %d (%v), want %d", last, exit.Of(err), err, want)
		}
	}
}

func TestAllPairsAreWaitedForInTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pairs []app.Pair
		for _, org := range []string{"a", "b", "c"} {
			pairs = append(pairs, app.Pair{Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: org}}})
		}
		began := time.Now()
		err := waitSynced(t.Context(), returning(replication.PairState{}), pairs, began, time.Hour)
		if took := time.Since(began); took > time.Hour+time.Minute {
			t.Errorf("waited for %s", took)
		}
		for _, p := range pairs {
			if exit.Of(err) != exit.Temporary || !strings.Contains(err.Error(), "of "+p.ID.String()+" did not happen within 1h") {
				t.Errorf("the error of code %d doesn't name %s: %v", exit.Of(err), p.ID, err)
			}
		}
	})
}

// The answer shows what has become of the pairs, not what they were before the wait.
func TestAnswersShowTheStatusAfterAWait(t *testing.T) {
	id, other, unread := replication.PairID{Replica: "eu", Org: "acme"}, replication.PairID{Replica: "us", Org: "acme"}, replication.PairID{Replica: "ap", Org: "acme"}
	answers := []Answer{{id, ResultStarted, replication.Held}, {unread, ResultAlreadyStopped, replication.Stopped}}
	setStatuses(answers, []pairstatus.PairRow{{Pair: other, Status: replication.Blocked}, {Pair: id, Status: replication.Synced}})
	if answers[0].Status != replication.Synced || answers[1].Status != replication.Stopped {
		t.Errorf("%+v", answers)
	}
}

func TestTablesShowResultsInWords(t *testing.T) {
	for _, r := range []Result{ResultStarted, ResultAlreadyStarted, ResultApproved, ResultHeld, ResultStopped, ResultAlreadyStopped,
		ResultResyncRequested, ResultObjectsRequested} {
		if text := (Answer{Result: r}).resultText(); text == "" || strings.Contains(text, "_") {
			t.Errorf("%s is shown as %q", r, text)
		}
	}
}
