package main

import (
	"context"
	"testing"
	"time"

	"chefsync/cli/internal/exit"
	"chefsync/pkg/replication"
)

// record is a state that holds one pair as it is.
type record struct {
	replication.State
	pair replication.PairState
}

func (r record) Pair(context.Context, replication.PairID) (replication.PairState, error) {
	return r.pair, nil
}

// A pass that was at work when a compare was asked for may end in sync before that
// has begun.
func TestAWaitForACompareIsNotOverWithAnotherPass(t *testing.T) {
	asked := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		success, compare, resync time.Time
		want                     exit.Code
	}{
		"nothing yet":                       {asked.Add(-time.Minute), asked.Add(-time.Hour), asked, exit.Temporary},
		"a pass that was at work":           {asked.Add(time.Second), asked.Add(-time.Hour), asked, exit.Temporary},
		"the compare":                       {asked.Add(time.Minute), asked.Add(time.Second), asked, exit.OK},
		"a pass, and no compare was wanted": {asked.Add(time.Second), asked.Add(-time.Hour), time.Time{}, exit.OK},
	} {
		st := replication.PairState{
			Desired:  replication.Desired{ResyncAt: c.resync},
			Progress: replication.Progress{LastSuccess: c.success, LastCompare: c.compare},
		}
		err := waitSynced(t.Context(), record{pair: st}, []replication.PairID{{Replica: "eu", Org: "acme"}}, asked, time.Nanosecond)
		if got := exit.Of(err); got != c.want {
			t.Errorf("%s: code %d (%v), want %d", name, got, err, c.want)
		}
	}
}
