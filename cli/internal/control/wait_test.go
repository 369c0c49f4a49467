package control

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// record is a state that holds one pair as it is.
type record struct {
	replication.State
	pair replication.PairState
}

func (r record) Pair(context.Context, replication.PairID) (replication.PairState, error) {
	return r.pair, nil
}

// A pass that was running when a compare was asked for may end in sync before that
// has begun.
func TestAWaitForACompareIsNotOverWithAnotherPass(t *testing.T) {
	asked := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		success, compare, resync time.Time
		want                     exit.Code
	}{
		"nothing yet":                       {asked.Add(-time.Minute), asked.Add(-time.Hour), asked, exit.Temporary},
		"a pass that was running":           {asked.Add(time.Second), asked.Add(-time.Hour), asked, exit.Temporary},
		"the compare":                       {asked.Add(time.Minute), asked.Add(time.Second), asked, exit.OK},
		"a pass, and no compare was wanted": {asked.Add(time.Second), asked.Add(-time.Hour), time.Time{}, exit.OK},
	} {
		st := replication.PairState{
			Desired:  replication.Desired{ResyncAt: c.resync},
			Progress: replication.Progress{LastSuccess: c.success, LastCompare: c.compare},
		}
		err := WaitSynced(t.Context(), record{pair: st}, []app.Pair{{Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: "acme"}}}}, asked, time.Nanosecond)
		if got := exit.Of(err); got != c.want {
			t.Errorf("%s: code %d (%v), want %d", name, got, err, c.want)
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
		err := WaitSynced(t.Context(), record{}, pairs, began, time.Hour)
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
	id := replication.PairID{Replica: "eu", Org: "acme"}
	answers := []Answer{{id, "started", replication.Held}, {id, ResultAlreadyStopped, replication.Stopped}}
	RefreshStatus(t.Context(), record{pair: replication.PairState{Progress: replication.Progress{Status: replication.Synced}}}, status.Tolerance{}, time.Now(), answers)
	for _, a := range answers {
		if a.Status != replication.Synced {
			t.Errorf("%+v", a)
		}
	}
	if got := answers[1].resultText(); got != "already stopped" {
		t.Errorf("%q", got)
	}
}
