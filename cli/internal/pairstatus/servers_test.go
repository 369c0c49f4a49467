package pairstatus

import (
	"strings"
	"testing"
	"time"

	"chefsync/cli/internal/app"
	"chefsync/cli/internal/exit"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
	"chefsync/pkg/status"
)

func TestTheStatusOfAServerIsThatOfItsNewestCheck(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		record health.Server
		want   string
	}{
		"never checked":                          {health.Server{}, ServerUnknown},
		"up":                                     {health.Server{CheckedAt: ago(time.Minute), UpAt: ago(time.Minute)}, ServerUp},
		"down":                                   {health.Server{CheckedAt: ago(time.Minute), UpAt: ago(time.Hour), DownSince: ago(time.Hour)}, ServerUnreachable},
		"up yesterday":                           {health.Server{CheckedAt: ago(24 * time.Hour), UpAt: ago(24 * time.Hour)}, ServerUnknown},
		"up tomorrow, by a clock that was ahead": {health.Server{CheckedAt: ago(-24 * time.Hour), UpAt: ago(-24 * time.Hour)}, ServerUnknown},
		"down, and not checked since":            {health.Server{CheckedAt: ago(24 * time.Hour), DownSince: ago(25 * time.Hour)}, ServerUnknown},
	} {
		row := newServerRow("eu", "https://eu.example.com", c.record, now, maxCheckAge)
		if row.Status != c.want || row.UnreachableSince.IsZero() != (c.want != ServerUnreachable) {
			t.Errorf("%s: %+v, want %s", name, row, c.want)
		}
	}
}

func TestAPairOfAServerThatIsDownIsNotSynced(t *testing.T) {
	since := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	down := func(name string) ServerRow {
		return ServerRow{Name: name, Status: ServerUnreachable, UnreachableSince: since, Error: "no data for 30s", Hint: "look"}
	}
	up := ServerRow{Name: "eu", Status: ServerUp}
	for _, c := range []struct {
		servers          []ServerRow
		want             replication.Status
		primary, replica bool // are said to be unreachable
	}{
		{[]ServerRow{{Name: primaryName, Status: ServerUp}, up}, replication.Synced, false, false},
		{[]ServerRow{{Name: primaryName, Status: ServerUnknown}, {Name: "eu", Status: ServerUnknown}}, replication.Synced, false, false},
		{[]ServerRow{up, down("us")}, replication.Synced, false, false},
		{[]ServerRow{down("eu")}, status.Unreachable, false, true},
		{[]ServerRow{down(primaryName), up}, status.Unreachable, true, false},
	} {
		now := since.Add(time.Minute)
		f := status.Facts{Now: now, Down: unreachableServers(c.servers, replication.PairID{Replica: "eu", Org: "acme"})}
		f.State.Progress = replication.Progress{Status: replication.Synced, LastAttempt: now, LastSuccess: now, NextRun: now}
		row := newPairRow(app.Pair{}, f)
		if row.Status != c.want || (c.want == status.Unreachable) != strings.Contains(row.Note, "unreachable since 2026-11-29T12:00:00Z: no data for 30s") {
			t.Errorf("%+v: %s, note %q; want %s", c.servers, row.Status, row.Note, c.want)
		}
		if p, r := !row.PrimaryUnreachableSince.IsZero(), !row.ReplicaUnreachableSince.IsZero(); p != c.primary || r != c.replica {
			t.Errorf("%+v: primary unreachable %v, replica %v", c.servers, p, r)
		}
		if err := ExitError([]PairRow{row}); (exit.Of(err) == exit.Temporary) != (c.primary || c.replica) {
			t.Errorf("%+v: --exit-code ends with %d", c.servers, exit.Of(err))
		}
	}
}
