package notifier

import (
	"context"
	"log/slog"
	"time"

	"chefsync/cli/internal/exit"
)

// loop does something regularly.
type loop struct {
	log     *slog.Logger
	every   time.Duration
	failing string // the message for the log when it fails
	do      func(context.Context) error
}

// run runs the loop until ctx ends. That it fails is logged once, and so is that it works
// again.
func (l loop) run(ctx context.Context) {
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := l.do(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			l.log.Warn(l.failing, "error", err.Error(), "hint", exit.Hint(err))
		case err == nil && failing:
			l.log.Info("it works again: " + l.failing)
		}
		failing = err != nil
	}
}
