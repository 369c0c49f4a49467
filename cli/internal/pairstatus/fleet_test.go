package pairstatus

import (
	"errors"
	"slices"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func TestAFleetTellsWhatItKnows(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	a, b, stopped := replication.PairID{Replica: "eu", Org: "a"}, replication.PairID{Replica: "us", Org: "b"}, replication.PairID{Replica: "us", Org: "c"}
	elsewhere := replication.PairID{Replica: "us", Org: "d"}
	all := []app.Pair{{Pair: replication.Pair{ID: a}}, {Pair: replication.Pair{ID: b}}, {Pair: replication.Pair{ID: stopped}}}
	f := Fleet{read: all, all: append(slices.Clone(all), app.Pair{Pair: replication.Pair{ID: elsewhere}}), Servers: []ServerRow{
		{Name: "primary", Status: ServerUp, LastCheck: now},
		{Name: "eu", Status: ServerUnreachable, LastCheck: now, UnreachableSince: now.Add(-time.Minute), Error: "no route", Hint: "look"},
		{Name: "us", Status: ServerUnknown},
	}, Pairs: []PairRow{
		{Pair: a, Status: replication.Held, Reasons: []status.Reason{{Cause: status.CauseHeld, Status: replication.Held}}},
		{Pair: stopped, Status: replication.Stopped},
	}}
	got := f.Known()
	if len(got.Servers) != 3 || len(got.Pairs) != 4 {
		t.Fatalf("%+v", got)
	}
	if primary := got.Servers[0]; primary.Record == nil || primary.Record.Down() || len(primary.Pairs) != 3 {
		t.Errorf("primary: %+v, want it up, with the pairs that aren't stopped", primary)
	}
	if eu := got.Servers[1]; eu.Record == nil || !eu.Record.Down() || eu.Record.Error != "no route" || eu.Record.Hint != "look" || len(eu.Pairs) != 1 {
		t.Errorf("eu: %+v", eu)
	}
	if us := got.Servers[2]; us.Record != nil {
		t.Errorf("us: %+v, want it unknown", us)
	}
	if p := got.Pairs[0]; p.ID != a || p.Report == nil || p.Report.Status != replication.Held || !p.Report.Has(status.CauseHeld) {
		t.Errorf("%+v", p)
	}
	if p := got.Pairs[1]; p.ID != b || p.Report != nil || p.Elsewhere {
		t.Errorf("%+v, want it unknown: its record can't be read", p)
	}
	if p := got.Pairs[3]; p.ID != elsewhere || p.Report != nil || !p.Elsewhere {
		t.Errorf("%+v, want it left to the daemon that runs it", p)
	}
}

func TestADaemonWithoutPassesIsNotHealthy(t *testing.T) {
	overdue, late, stopped := PairRow{Overdue: true}, PairRow{Status: replication.Retrying}, PairRow{Status: replication.Stopped, Overdue: true}
	fresh := PairRow{Status: replication.Bootstrapping, Reasons: []status.Reason{{Cause: status.CauseNeverRun}}}
	for name, c := range map[string]struct {
		pairs []PairRow
		want  error
	}{
		"all are overdue":      {[]PairRow{overdue, overdue}, ErrNoPasses},
		"the rest is stopped":  {[]PairRow{overdue, stopped}, ErrNoPasses},
		"the rest never ran":   {[]PairRow{overdue, fresh}, ErrNoPasses},
		"none has run yet":     {[]PairRow{fresh, fresh}, nil},
		"one is not overdue":   {[]PairRow{overdue, late}, nil},
		"all are stopped":      {[]PairRow{stopped}, nil},
		"there are no pairs":   {nil, nil},
		"one that only failed": {[]PairRow{late}, nil},
	} {
		if err := (Fleet{Pairs: c.pairs}).CheckPasses(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
