package daemon

import (
	"context"
	"log/slog"
	"time"

	"chefsync/cli/internal/exit"
)

// BeatEvery is the interval of heartbeats.
const BeatEvery = 30 * time.Second

// Task is work that is done regularly.
type Task struct {
	First   time.Duration // the wait before the first time
	Every   time.Duration
	Failing string // the message for the log when it fails
	Do      func(context.Context) error
}

// run does the task until ctx ends. That it fails is logged once, and so is that it works
// again.
func (t Task) run(ctx context.Context, log *slog.Logger) {
	failing := false
	for wait := t.First; waitFor(ctx, wait, nil) != ended; wait = t.Every {
		err := t.Do(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			log.Warn(t.Failing, "error", err.Error(), "hint", exit.Hint(err))
		case err == nil && failing:
			log.Info("it works again: " + t.Failing)
		}
		failing = err != nil
	}
}
