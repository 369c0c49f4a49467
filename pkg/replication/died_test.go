package replication_test

import (
	"testing"
	"time"

	"chefsync/pkg/replication"
)

// TestARunThatDiedIsShownAsDied: only the holder of the pair's lease is running.
func TestARunThatDiedIsShownAsDied(t *testing.T) {
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	seen, now := start.Add(2*time.Minute), start.Add(time.Hour)
	lease := func(fence int64, ends time.Duration) replication.Lease {
		return replication.Lease{Owner: "host:1:abc", Fence: fence, Expires: now.Add(ends)}
	}
	for name, c := range map[string]struct {
		id      string
		outcome replication.Outcome
		seen    time.Time
		lease   replication.Lease
		want    replication.Outcome
		ended   time.Time
	}{
		"running":                        {"20261129T120000.000Z-7", "running", seen, lease(7, time.Second), "running", time.Time{}},
		"its lease has ended":            {"20261129T120000.000Z-7", "running", seen, lease(7, 0), "died", seen},
		"its lease was freed":            {"20261129T120000.000Z-7", "running", seen, replication.Lease{Fence: 7}, "died", seen},
		"another one is running":         {"20261129T120000.000Z-7", "running", seen, lease(8, time.Second), "died", seen},
		"recorded by an older version":   {"20261129T120000.000Z-7", "running", time.Time{}, lease(8, time.Second), "died", start},
		"began since the state was read": {"20261129T120000.000Z-7", "running", seen, replication.Lease{Fence: 6}, "running", time.Time{}},
		"ended":                          {"20261129T120000.000Z-7", "done", time.Time{}, lease(8, time.Second), "done", time.Time{}},
		"of no known form":               {"run1", "running", seen, lease(8, time.Second), "running", time.Time{}},
	} {
		r := replication.Run{ID: c.id, Started: start, Seen: c.seen, Outcome: c.outcome}
		got := replication.ShownRun(r, replication.PairState{Lease: c.lease}, now)
		if got.Outcome != c.want || !got.Ended.Equal(c.ended) {
			t.Errorf("%s: %s, ended %s; want %s, %s", name, got.Outcome, got.Ended, c.want, c.ended)
		}
	}
}
