package daemon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chefsync/cli/internal/daemon"
	"chefsync/pkg/replication"
)

func TestTheDaemonRecordsThatItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		d := w.daemon(w.job("a", time.Minute, done))
		start := time.Now()
		var beats []time.Duration
		d.Tasks = append(d.Tasks, daemon.Task{Every: daemon.BeatEvery, Failing: "the heartbeat can't be recorded", Do: func(context.Context) error {
			beats = append(beats, time.Since(start))
			if len(beats) == 2 || len(beats) == 3 {
				return errors.New("disk full")
			}
			return nil
		}})
		during(t, d, 2*time.Minute+time.Second, nil)
		if len(beats) != 5 || beats[0] != 0 || beats[4] != 2*time.Minute {
			t.Errorf("beats at %v, want one at the start and every 30 s", beats)
		}
		if n := strings.Count(w.log.String(), `level=WARN msg="the heartbeat can't be recorded"`); n != 1 || w.count("a") != 2 {
			t.Errorf("that it can't be recorded is said %d times, %d passes; want it once, and the passes as ever:\n%s", n, w.count("a"), w.log.String())
		}
	})
}

func TestADaemonWhoseStateIsGoneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		wrote := false
		d := w.daemon(w.job("a", time.Minute, func(_ context.Context, n int, o replication.PassOptions) (replication.Outcome, error) {
			if n == 2 {
				<-o.Drain
				wrote = true
			}
			return replication.OutcomeDone, nil
		}))
		gone := errors.New("the file was removed")
		start := time.Now()
		d.Present = func() error {
			if time.Since(start) > 90*time.Second {
				return gone
			}
			return nil
		}
		if err := d.Run(t.Context()); !errors.Is(err, gone) {
			t.Errorf("Run: %v, want why it ended", err)
		}
		if took := time.Since(start); took > 95*time.Second || !wrote {
			t.Errorf("it ended after %s; the running pass ended: %v", took, wrote)
		}
	})
}
