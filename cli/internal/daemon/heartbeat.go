package daemon

import (
	"context"
	"sync"
	"time"
)

// BeatEvery is how often the daemon records that it lives.
const BeatEvery = 30 * time.Second

// heartbeat records that the daemon lives, until ctx ends. That a record can't be
// written is logged once.
func (d *Daemon) heartbeat(ctx context.Context) {
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
		if sleep(ctx, BeatEvery, nil) == ended {
			return
		}
	}
}

// failure is the first reason why the daemon can't go on.
type failure struct {
	end  context.CancelFunc
	once sync.Once
	err  error // read once all goroutines have ended
}

// because ends the daemon; nil is no reason.
func (f *failure) because(err error) {
	if err == nil {
		return
	}
	f.once.Do(func() { f.err = err })
	f.end()
}
