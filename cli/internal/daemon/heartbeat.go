package daemon

import (
	"context"
	"sync"
	"time"
)

// BeatEvery is the interval of heartbeats.
const BeatEvery = 30 * time.Second

// recordHeartbeats records heartbeats until ctx ends. It logs once that they can't be
// written.
func (d *Daemon) recordHeartbeats(ctx context.Context) {
	if d.Beat == nil {
		return
	}
	failing := false
	for {
		err := d.Beat(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			d.Log.Warn("the heartbeat can't be recorded", "error", err.Error())
		}
		failing = err != nil
		if waitFor(ctx, BeatEvery, nil) == ended {
			return
		}
	}
}

// firstError is the first error that stops the daemon.
type firstError struct {
	end  context.CancelFunc
	once sync.Once
	err  error // read after all goroutines have returned
}

// set records an error and stops the daemon; nil does nothing.
func (f *firstError) set(err error) {
	if err == nil {
		return
	}
	f.once.Do(func() { f.err = err })
	f.end()
}
