package daemon_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/pkg/replication"
)

// TestUnsyncedObjectsAreNoWorkThatIsLeft: a pass that did all it could is partial
// while an object is unsynced. The next one comes at the interval, and scheduled
// verifications are made all the same.
func TestUnsyncedObjectsAreNoWorkThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		job := w.job("a", time.Minute, done)
		passes, verifications := 0, 0
		job.Pass = func(context.Context, replication.PassOptions) (replication.Run, error) {
			passes++
			return replication.Run{Pair: job.ID, Outcome: replication.OutcomePartial, Left: 2}, nil
		}
		w.verified(job.ID, time.Time{})
		job.VerifyEvery = 24 * time.Hour
		job.Verify = func(context.Context, replication.VerifyOptions) (replication.Report, error) {
			verifications++
			w.verified(job.ID, time.Now())
			return replication.Report{Outcome: replication.OutcomeDone}, nil
		}
		during(t, w.daemon(job), 10*time.Minute-time.Second, nil)
		if passes != 10 || verifications != 1 {
			t.Errorf("%d passes and %d verifications in 10 minutes, want 10 and 1", passes, verifications)
		}
	})
}
