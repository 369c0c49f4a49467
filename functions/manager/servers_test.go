package manager

import (
	"testing"
	"time"

	"chefsync/pkg/config"
	"chefsync/pkg/health"
	"chefsync/pkg/replication"
)

func TestAPairOfAServerThatIsDownIsNotSynced(t *testing.T) {
	p := testPair("acme")
	p.Replica = config.Server{Name: "eu"}
	synced := replication.PairState{ID: p.ID, Progress: replication.Progress{Status: replication.Synced, Position: &replication.Position{Seq: 7}, LastAttempt: testNow(), LastSuccess: testNow(), NextRun: testNow().Add(time.Minute)}}
	since := testNow().Add(-3 * time.Hour)
	for name, c := range map[string]struct {
		down   []health.Server
		synced int
		oldest time.Duration
	}{
		"all up":          {nil, 1, 0},
		"its replica":     {[]health.Server{{Name: "eu", DownSince: since}}, 0, 3 * time.Hour},
		"the primary":     {[]health.Server{{Name: "primary", DownSince: since}}, 0, 3 * time.Hour},
		"another replica": {[]health.Server{{Name: "us", DownSince: since}}, 1, 3 * time.Hour},
	} {
		o := assessPairs([]config.PairConfig{p}, map[replication.PairID]replication.PairState{p.ID: synced}, nil, c.down, testTolerance(), testNow())
		if o.counts["Synced"] != c.synced || o.counts["Retrying"] != 1-c.synced || o.successAge != c.oldest {
			t.Errorf("%s down: counts %v, oldest success %s ago; want %d synced and %s", name, o.counts, o.successAge, c.synced, c.oldest)
		}
	}
}

func TestAnOldRecordOfAServerIsIgnored(t *testing.T) {
	for age, want := range map[time.Duration]bool{0: true, 3 * assessEvery: true, 4 * assessEvery: false, -time.Hour: false} {
		if got := isDown(health.Server{CheckedAt: testNow().Add(-age), DownSince: testNow().Add(-24 * time.Hour)}, testNow()); got != want {
			t.Errorf("checked %s ago: down %v, want %v", age, got, want)
		}
	}
}
