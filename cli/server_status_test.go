package main

import (
	"strings"
	"testing"
	"time"

	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

func TestTheStatusOfAServerIsThatOfItsNewestCheck(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		record health.Server
		want   string
	}{
		"never checked":                          {health.Server{}, serverUnknown},
		"up":                                     {health.Server{CheckedAt: ago(time.Minute), UpAt: ago(time.Minute)}, serverUp},
		"down":                                   {health.Server{CheckedAt: ago(time.Minute), UpAt: ago(time.Hour), DownSince: ago(time.Hour)}, serverUnreachable},
		"up yesterday":                           {health.Server{CheckedAt: ago(24 * time.Hour), UpAt: ago(24 * time.Hour)}, serverUnknown},
		"up tomorrow, by a clock that was ahead": {health.Server{CheckedAt: ago(-24 * time.Hour), UpAt: ago(-24 * time.Hour)}, serverUnknown},
		"down, and not checked since":            {health.Server{CheckedAt: ago(24 * time.Hour), DownSince: ago(25 * time.Hour)}, serverUnknown},
	} {
		row := makeServerStatus("eu", "https://eu.example.com", c.record, now, serverLate)
		if row.Status != c.want || row.UnreachableSince.IsZero() != (c.want != serverUnreachable) {
			t.Errorf("%s: %+v, want %s", name, row, c.want)
		}
	}
}

func TestAPairOfAServerThatIsDownIsNotSynced(t *testing.T) {
	since := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	down := func(name string) serverRow {
		return serverRow{Name: name, Status: serverUnreachable, UnreachableSince: since, Error: "no data for 30s", Hint: "look"}
	}
	up := serverRow{Name: "eu", Status: serverUp}
	for _, c := range []struct {
		is      replication.Status
		servers []serverRow
		want    replication.Status
	}{
		{replication.Synced, []serverRow{{Name: primaryName, Status: serverUp}, up}, replication.Synced},
		{replication.Synced, []serverRow{{Name: primaryName, Status: serverUnknown}, {Name: "eu", Status: serverUnknown}}, replication.Synced},
		{replication.Synced, []serverRow{up, down("us")}, replication.Synced},
		{replication.Synced, []serverRow{down("eu")}, unreachable},
		{replication.Synced, []serverRow{down(primaryName), up}, unreachable},
		{replication.Retrying, []serverRow{down("eu")}, unreachable},
		{replication.Syncing, []serverRow{down("eu")}, unreachable},
		{replication.Bootstrapping, []serverRow{down("eu")}, unreachable},
		{replication.Held, []serverRow{down("eu")}, replication.Held},
		{replication.Blocked, []serverRow{down("eu")}, replication.Blocked},
		{replication.Stopped, []serverRow{down("eu")}, replication.Stopped},
	} {
		row := statusRow{Replica: "eu", Status: c.is}
		row.reach(c.servers)
		if row.Status != c.want || (c.want == unreachable) != strings.Contains(row.Note, "unreachable since 2026-11-29T12:00:00Z: no data for 30s") {
			t.Errorf("%s with %+v: %s, note %q; want %s", c.is, c.servers, row.Status, row.Note, c.want)
		}
		if p, r := !row.PrimaryUnreachableSince.IsZero(), !row.ReplicaUnreachableSince.IsZero(); p != (c.servers[0].Name == primaryName && c.servers[0].Status == serverUnreachable) ||
			r != (c.servers[0].Name == "eu" && c.servers[0].Status == serverUnreachable) {
			t.Errorf("%s with %+v: primary unreachable %v, replica %v", c.is, c.servers, p, r)
		}
	}
	if err := statusExit([]statusRow{{Status: unreachable}}, true); err == nil {
		t.Error("--exit-code is 0 for a pair that is unreachable")
	}
}
