package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chefsync/pkg/config"
	"chefsync/pkg/replication"
)

func noon() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

func pair(org string) config.PairConfig {
	return config.PairConfig{Pair: replication.Pair{ID: replication.PairID{Replica: "eu", Org: org}, Interval: time.Minute, CompareEvery: 15 * time.Minute}}
}

// look oversees one pair with one record.
func look(p config.PairConfig, st replication.PairState) overview {
	st.ID = p.ID
	return oversee([]config.PairConfig{p}, map[replication.PairID]replication.PairState{p.ID: st}, noon())
}

func said(o overview) string {
	var all []string
	for _, f := range o.findings {
		all = append(all, f.message)
	}
	return strings.Join(all, "; ")
}

func TestAManagerNotices(t *testing.T) {
	ago := func(d time.Duration) time.Time { return noon().Add(-d) }
	feed := &replication.Position{Seq: 7}
	for _, c := range []struct {
		name  string
		state replication.PairState
		says  string // "" for nothing
	}{
		{"a pair in sync", replication.PairState{Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(time.Minute), LastSuccess: ago(time.Minute)}}, ""},
		{"a pair that nobody works on", replication.PairState{}, "never worked on"},
		{"an overdue pair", replication.PairState{Progress: replication.Progress{Status: replication.Syncing, Position: feed, LastAttempt: ago(time.Minute), LastSuccess: ago(11 * time.Minute)}}, "overdue"},
		{"a pair without a feed between compares", replication.PairState{Progress: replication.Progress{Status: replication.Synced, LastAttempt: ago(14 * time.Minute), LastSuccess: ago(14 * time.Minute)}}, ""},
		{"a bootstrap that takes too long", replication.PairState{Progress: replication.Progress{Status: replication.Bootstrapping, Since: ago(time.Hour), LastAttempt: ago(time.Minute)}}, "overdue"},
		{"a held pair", replication.PairState{Progress: replication.Progress{Status: replication.Held, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0), Hold: &replication.Hold{Reason: "too much"}}}, "the pair is held"},
		{"a blocked pair", replication.PairState{Progress: replication.Progress{Status: replication.Blocked, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0)}}, "blocked"},
		{"unsynced objects", replication.PairState{Progress: replication.Progress{Status: replication.Retrying, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0), Unsynced: 3}}, "unsynced objects"},
		{"a lease of a dead pass", replication.PairState{Lease: replication.Lease{Owner: "gone", Expires: ago(time.Minute)}, Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0)}}, "a pass died"},
		{"a lease at work", replication.PairState{Lease: replication.Lease{Owner: "alive", Expires: noon().Add(time.Minute)}, Progress: replication.Progress{Status: replication.Synced, Position: feed, LastAttempt: ago(0), LastSuccess: ago(0)}}, ""},
		{"a pair stopped long ago", replication.PairState{Desired: replication.Desired{Stopped: true}, Progress: replication.Progress{Position: feed, LastAttempt: ago(9 * time.Hour), LastSuccess: ago(9 * time.Hour)}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(look(pair("acme"), c.state)); (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
				t.Errorf("says %q, want %q", got, c.says)
			}
		})
	}
}

// A pass that dies records no attempt, and one that fails changes the status: what
// it began with tells how long there was no success.
func TestAFirstPassThatNeverEndsGrowsOld(t *testing.T) {
	ago := func(d time.Duration) time.Time { return noon().Add(-d) }
	work := &replication.Work{Full: true, Started: ago(time.Hour)}
	for name, g := range map[string]replication.Progress{
		"it dies each time":   {Status: replication.Bootstrapping, Since: ago(time.Hour), Work: work},
		"it fails each time":  {Status: replication.Retrying, Since: ago(time.Minute), LastAttempt: ago(time.Minute), Work: work},
		"it fails at reading": {Status: replication.Retrying, Since: ago(time.Hour), LastAttempt: ago(time.Minute)},
	} {
		o := look(pair("acme"), replication.PairState{Progress: g})
		if o.oldest != time.Hour || o.counts["Overdue"] != 1 || !strings.Contains(said(o), "overdue") || strings.Contains(said(o), "never") {
			t.Errorf("%s: age %s, says %q; want it overdue for an hour", name, o.oldest, said(o))
		}
	}
}

func TestNewsAreSaidAtOnceAndThenHourly(t *testing.T) {
	f := finding{since: noon()}
	var at []int
	for turn := range 30 { // two and a half hours
		if f.due(noon().Add(time.Duration(turn)*period + time.Minute)) {
			at = append(at, turn)
		}
	}
	if !slices.Equal(at, []int{0, 12, 24}) {
		t.Errorf("said in turns %v", at)
	}
}

func TestVerificationsAreStartedWhenDueAndFewAtOnce(t *testing.T) {
	var pairs []config.PairConfig
	records := map[replication.PairID]replication.PairState{}
	for i := range verifyAtOnce + 5 {
		p := pair("org-" + string(rune('a'+i)))
		p.VerifyEvery = 24 * time.Hour
		pairs = append(pairs, p)
		records[p.ID] = replication.PairState{Progress: replication.Progress{Status: replication.Synced, LastAttempt: noon(), LastSuccess: noon(), LastCompare: noon().Add(-48 * time.Hour), LastCheck: noon().Add(-25 * time.Hour)}}
	}
	fresh, busy, never := pairs[0].ID, pairs[1].ID, pairs[2]
	set := func(id replication.PairID, change func(*replication.Progress)) {
		st := records[id]
		change(&st.Progress)
		records[id] = st
	}
	set(fresh, func(g *replication.Progress) { g.LastCheck = noon().Add(-time.Hour) })
	set(busy, func(g *replication.Progress) { g.Status = replication.Syncing })
	pairs[2].VerifyEvery = 0
	o := oversee(pairs, records, noon())
	if len(o.verify) != verifyAtOnce || slices.Contains(o.verify, fresh) || slices.Contains(o.verify, busy) || slices.Contains(o.verify, never.ID) {
		t.Errorf("verifies %v", o.verify)
	}
}

// TestVerificationsThatNeverEndKeepNobodyWaiting: all pairs stay due, and yet each
// gets its turn.
func TestVerificationsThatNeverEndKeepNobodyWaiting(t *testing.T) {
	var pairs []config.PairConfig
	records := map[replication.PairID]replication.PairState{}
	for i := range 2*verifyAtOnce + 5 {
		p := pair(fmt.Sprintf("org-%d", i))
		p.VerifyEvery = 24 * time.Hour
		pairs = append(pairs, p)
		records[p.ID] = replication.PairState{Progress: replication.Progress{Status: replication.Synced, LastCompare: noon().Add(-48 * time.Hour)}}
	}
	started := map[replication.PairID]bool{}
	for i := range 5 {
		for _, id := range oversee(pairs, records, noon().Add(time.Duration(i)*period)).verify {
			started[id] = true
		}
	}
	if len(started) != len(pairs) {
		t.Errorf("%d of %d pairs got a turn", len(started), len(pairs))
	}
}

func TestMetricsCoverAllPairsAndAreNeverLeftOut(t *testing.T) {
	empty := oversee(nil, nil, noon()).metrics()
	o := look(pair("acme"), replication.PairState{Progress: replication.Progress{Status: replication.Retrying, Position: &replication.Position{}, LastAttempt: noon(), LastSuccess: noon().Add(-20 * time.Minute), Unsynced: 2, Pending: 5}})
	full := o.metrics()
	if len(empty) != len(full) {
		t.Errorf("%d metrics without pairs, %d with one", len(empty), len(full))
	}
	for name, want := range map[string]float64{"Pairs": 1, "Retrying": 1, "Overdue": 1, "Unsynced": 2, "Pending": 5, "OldestSuccessAge": 1200, "Synced": 0} {
		if full[name].Number != want {
			t.Errorf("%s is %v, want %v", name, full[name].Number, want)
		}
	}
}

func TestPairsThatWaitForAPersonAreOneMetric(t *testing.T) {
	pairs := []config.PairConfig{pair("held"), pair("blocked"), pair("well")}
	records := map[replication.PairID]replication.PairState{
		pairs[0].ID: {Progress: replication.Progress{Status: replication.Held, Hold: &replication.Hold{}}},
		pairs[1].ID: {Progress: replication.Progress{Status: replication.Blocked}},
		pairs[2].ID: {Progress: replication.Progress{Status: replication.Synced}},
	}
	if got := oversee(pairs, records, noon()).metrics()["Waiting"].Number; got != 2 {
		t.Errorf("%v pairs wait, want 2", got)
	}
}
