package daemon_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/cli/internal/daemon"
)

// TestWhatRunsInTheBackgroundDelaysNoPass, even if it hangs, and ends with the daemon.
func TestWhatRunsInTheBackgroundDelaysNoPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := w.daemon(w.job("a", time.Minute, done))
		ended := false
		d.Tasks = append(d.Tasks, daemon.Task{First: time.Minute, Every: time.Minute, Do: func(ctx context.Context) error {
			<-ctx.Done()
			ended = true
			return nil
		}})
		during(t, d, 5*time.Minute+30*time.Second, nil)
		if n := w.count("a"); n < 5 || !ended {
			t.Errorf("%d passes in five minutes, ended: %v", n, ended)
		}
	})
}
