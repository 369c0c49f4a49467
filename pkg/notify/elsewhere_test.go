package notify_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"chefsync/pkg/notify"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

// Two daemons with pairs of their own share a state: what one can't tell of the pairs of the
// other changes nothing of them.
func TestDaemonsWithPairsOfTheirOwnShareAState(t *testing.T) {
	eu, us := replication.PairID{Replica: "eu", Org: "acme"}, replication.PairID{Replica: "us", Org: "acme"}
	now, store, r := noon(), &memStore{}, &receiver{}
	held := map[replication.PairID]bool{eu: true, us: true}
	evaluate := func(own replication.PairID) {
		n := notify.Notifier{Store: store, Channels: []notify.Channel{{Name: "c", Send: r.send}}, Instance: "vm", Log: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return now }, Rules: notify.Rules{After: 5 * time.Minute, Every: time.Minute}}
		var f notify.Fleet
		for _, id := range []replication.PairID{eu, us} {
			p := notify.Pair{ID: id, Elsewhere: id != own}
			if id == own {
				p.Report = &status.Report{Status: replication.Synced}
				if held[id] {
					*p.Report = status.Report{Status: replication.Held, Reasons: []status.Reason{{Cause: status.CauseHeld, Status: replication.Held, Text: "9"}}}
				}
			}
			f.Pairs = append(f.Pairs, p)
		}
		if err := n.Evaluate(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(minutes int) {
		for range minutes {
			evaluate(eu)
			now = now.Add(30 * time.Second)
			evaluate(us)
			now = now.Add(30 * time.Second)
		}
	}
	wait(7)
	if got := r.titles(); !slices.Equal(got, []string{"eu/acme is held", "us/acme is held"}) {
		t.Errorf("told %q", got)
	}
	clear(held)
	wait(7)
	if got := r.titles()[min(2, len(r.messages)):]; !slices.Equal(got, []string{"eu/acme is no longer held", "us/acme is no longer held"}) {
		t.Errorf("then told %q", got)
	}
}
